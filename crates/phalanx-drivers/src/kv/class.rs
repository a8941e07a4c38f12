//! The contract of small data: what a worker can be asked, and what it answers.

use std::fmt;

use bytes::Bytes;
use phalanx_jobs::{JobClass, Nothing};
use serde::{Deserialize, Serialize};

/// The job class of small data. A worker has it once its program has registered a [`KvStore`](super::KvStore).
#[derive(Debug)]
pub struct Kv;

impl JobClass for Kv {
    const NAME: &'static str = "driver.kv";
    const VERSION: u32 = 1;
    type Request = KvRequest;
    type Reply = KvReply;
    type Task = Nothing;
    type Output = Nothing;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = Nothing;
    type Error = KvError;
}

/// The version of a value. It grows with each change of the store, so that a key which was deleted and set again never
/// has a version of before; and it names the life of the store, so that none of a former process fits a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// Which life of the store: another one after each start of the worker.
    pub life: u64,
    /// The number of the change, from 1, which grows within one life.
    pub number: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{}", self.life >> 32, self.number)
    }
}

/// When a change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Whatever is there.
    Always,
    /// Only if the key is absent.
    Absent,
    /// Only if the key has this version.
    Is(Version),
}

/// What a worker can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvRequest {
    /// The value of a key.
    Get {
        /// Which key.
        key: String,
    },
    /// Set the value of a key.
    Put {
        /// Which key.
        key: String,
        /// To what.
        value: Bytes,
        /// When.
        condition: Condition,
    },
    /// Remove a key.
    Delete {
        /// Which key.
        key: String,
        /// When.
        condition: Condition,
    },
    /// A page of keys.
    List {
        /// How they begin.
        prefix: String,
        /// After which key; `None` for the first page.
        after: Option<String>,
        /// How many at most; never more than [`PAGE_KEYS_MAX`](super::PAGE_KEYS_MAX).
        keys_max: u32,
    },
    /// How much is kept.
    Usage,
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvReply {
    /// The value, if the key is there.
    Value(Option<Versioned>),
    /// The value is set, and has this version.
    Put(Version),
    /// Whether there was something to remove.
    Deleted(bool),
    /// A page of keys.
    Page(Page),
    /// How much is kept.
    Usage(KvUsage),
}

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned {
    /// Which version.
    pub version: Version,
    /// The value.
    pub value: Bytes,
}

/// A page of keys, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The keys.
    pub keys: Vec<Listed>,
    /// Whether more follow: ask for those after the last one.
    pub more: bool,
}

/// A key in a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// The version of its value.
    pub version: Version,
    /// The length of its value, in bytes.
    pub value_bytes: u64,
}

/// How much a worker keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvUsage {
    /// How many keys.
    pub keys: u64,
    /// Of how many.
    pub keys_max: u64,
    /// How many bytes of keys and values.
    pub bytes: u64,
    /// Of how many.
    pub bytes_max: u64,
}

/// Why a change was not made. Nothing has changed with any of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum KvError {
    /// The condition does not hold.
    #[error("the key is at {}: read it again, and decide anew", .present.map_or("no version".to_owned(), |version| format!("version {version}")))]
    Conflict {
        /// The version of the key, if it is there.
        present: Option<Version>,
    },
    /// The key is empty or too long.
    #[error("a key of {bytes} bytes, where 1 to {bytes_max} are allowed: choose another one")]
    Key {
        /// Its length in bytes.
        bytes: u64,
        /// The cap.
        bytes_max: u64,
    },
    /// The value is too large.
    #[error(
        "a value of {bytes} bytes, where {bytes_max} are allowed: send it as a file, or raise `value_bytes_max` at the worker"
    )]
    Value {
        /// Its length in bytes.
        bytes: u64,
        /// The cap.
        bytes_max: u64,
    },
    /// Keys and values together would be too large.
    #[error("the worker keeps no more than {bytes_max} bytes: delete some keys, or raise `bytes_max` there")]
    BytesFull {
        /// The cap.
        bytes_max: u64,
    },
    /// There would be too many keys.
    #[error("the worker keeps no more than {keys_max} keys: delete some, or raise `keys_max` there")]
    KeysFull {
        /// The cap.
        keys_max: u64,
    },
}
