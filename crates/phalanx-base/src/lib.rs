#![doc = include_str!("../README.md")]
//!
//! This crate does no more than make, check, print and parse these nouns, so that every crate above can build on it.

mod address;
mod address_list;
mod entropy;
mod host;
mod id;
mod item;
mod label_text;
mod labels;
mod lane;
mod owner;
mod planted;
mod roster;
mod seal;
mod spawn;
mod status;
mod usage;

pub use address::{Address, AddressError, TransportKind};
pub use address_list::{AddressList, AddressListError};
pub use entropy::Entropy;
pub use host::{DnsName, Host, HostError};
pub use id::{Boot, Fence, Generation, NodeId, NodeIdError};
pub use item::{Item, ItemError, ItemPart};
pub use labels::{Labels, LabelsError};
pub use lane::Lane;
pub use owner::{Move, Owner, Partition};
pub use planted::is_planted;
pub use roster::{RosterEntry, RosterState, RosterVersion, RosterView};
pub use seal::{ClusterSeal, SEAL_BYTES};
pub use spawn::{Spawn, Work};
pub use status::{NodeStatus, Role};
pub use usage::Usage;
