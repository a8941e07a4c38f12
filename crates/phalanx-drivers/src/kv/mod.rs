//! Small data at a worker: keys and values with versions, which live as long as the worker's process.
//!
//! What a task leaves for the next one, a setting, a mark of how far something got. It is not replicated and not stored:
//! with the process it is gone, and a [`Version`] of before fits nothing any more.

mod class;
mod client;
mod limits;
mod store;
mod table;

pub use class::{Condition, Kv, KvError, KvReply, KvRequest, KvUsage, Listed, Page, Version, Versioned};
pub use client::{KvCallError, KvClient};
pub use limits::{KEY_BYTES_CEILING, KvLimits, PAGE_KEYS_MAX, VALUE_BYTES_CEILING};
pub use store::KvStore;
pub use table::Table;
