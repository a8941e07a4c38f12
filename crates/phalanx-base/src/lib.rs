//! The nouns that cross the crates of Phalanx: who a node is, where it is reached, what it is labelled with,
//! and who owns which worker.
//!
//! This crate has no behaviour beyond making, checking, printing and parsing these nouns. It does no I/O, reads no
//! clock and draws no random number, so that every crate above can build on it.
//!
//! ```
//! use phalanx_base::{Address, Labels, NodeId};
//!
//! let node: NodeId = "camera-7".parse()?;
//! let address: Address = "phalanx://10.0.0.5:7000;transport=quic".parse()?;
//! let labels: Labels = "core;group=group1;master, meta2;labelA=1".parse()?;
//! assert_eq!(node.as_str(), "camera-7");
//! assert_eq!(address.to_string(), "phalanx://10.0.0.5:7000;transport=quic");
//! assert_eq!(labels.item("core").and_then(|item| item.value("group")), Some("group1"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Three types to know: [`NodeId`] (with its [`Generation`]: one [`Boot`]), [`Address`], and [`RosterView`], which is
//! all that placement needs to know about a cluster.

mod address;
mod entropy;
mod id;
mod labels;
mod lane;
mod owner;
mod roster;
mod status;

pub use address::{Address, AddressError, AddressList, Host, TransportKind};
pub use entropy::Entropy;
pub use id::{Boot, Fence, Generation, NodeId, NodeIdError};
pub use labels::{Item, Labels, LabelsError};
pub use lane::Lane;
pub use owner::{Move, Owner, Partition};
pub use roster::{RosterEntry, RosterState, RosterVersion, RosterView};
pub use status::{NodeStatus, Role};
