#![doc = include_str!("../README.md")]

// The in-memory cluster of the integration tests, for the one test that has to open a gate inside.
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;
#[cfg(test)]
extern crate self as phalanx_membership;

mod config;
mod detector;
mod digest;
#[cfg(feature = "tokio")]
pub mod driver;
mod event;
mod health;
mod identity;
mod majority;
mod membership;
mod observations;
mod outbox;
mod peers;
mod probe;
mod random;
mod record;
mod roster;
mod snapshot;
mod sync;
mod timers;
mod view;
mod wire;

#[cfg(test)]
mod cap_tests;
#[cfg(test)]
mod timer_gate_tests;
#[cfg(test)]
mod wire_vectors;

pub use config::{Config, ConfigError};
pub use detector::MEMBERS_MAX;
pub use event::{EVENTS_MAX, Event, Liveness};
pub use membership::{Counters, Membership, RemoveError, StartError};
pub use outbox::{Channel, DATAGRAMS_QUEUED_MAX, SYNC_BYTES_QUEUED_MAX, Transmit};
pub use peers::LinkLoss;
pub use record::{LocalMember, RECORD_BYTES_MAX, RecordError, ZONE_BYTES_MAX};
pub use roster::ROSTER_NODES_MAX;
pub use snapshot::{RosterSnapshot, SnapshotError};
pub use sync::{SYNC_BYTES_MAX, SyncError};
pub use view::{ClusterView, MemberView};
pub use wire::{DATAGRAM_BYTES_MAX, DatagramError};
