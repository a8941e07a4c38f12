#![doc = include_str!("../README.md")]

mod changes;
mod clock;
mod config;
mod error;
mod key;
mod log;
mod memory;
mod metadata;
mod origins;
mod peers;
mod random;
mod record;
mod replica;
mod wire;

pub use changes::{CHANGES_MAX, Event};
pub use clock::STAMP_AHEAD_MS_MAX;
pub use config::{Limits, MetadataConfig, Rule};
pub use error::{Refused, WriteError};
pub use key::{Key, KeyError, Table};
pub use memory::{LISTEN, REMOVAL_KEPT_MS, RestoreError};
pub use metadata::{BATCH, EXCHANGE_INTERVAL, Metadata, Status, Transmit};
pub use origins::{NODES_MAX, REMOVED_KEPT, SUPERSEDED_KEPT};
pub use peers::PEERS_MAX;
pub use record::{Order, Stamp};
pub use replica::Entry;
pub use wire::{DecodeError, LOGS_MAX, MESSAGE_BYTES_MAX, Message, Position, VALUE_BYTES_MAX};
