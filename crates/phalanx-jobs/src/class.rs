//! The contract of a kind of work: its name, its version, and the types that travel.
//!
//! The contract stands alone so that a caller can depend on it without the code of either half: the worker's half is a
//! [`JobHandler`](crate::JobHandler), the control node's half an [`EventHandler`](crate::EventHandler).

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What can travel: serialisable both ways, and owned.
pub trait Payload: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Payload for T {}

/// The contract of a kind of work. Use [`Nothing`] for what a class does not have.
pub trait JobClass: Send + Sync + 'static {
    /// The name on the wire: 1 to [`CLASS_NAME_BYTES_MAX`] bytes, unique among the classes of a cluster.
    const NAME: &'static str;
    /// Raised with each change of a type below that old peers cannot read; another version is refused by name.
    const VERSION: u32;

    /// A short question to a worker.
    type Request: Payload;
    /// Its answer.
    type Reply: Payload;
    /// What a long piece of work starts with.
    type Task: Payload;
    /// What it ends with.
    type Output: Payload;
    /// What a running task can be told.
    type Command: Payload;
    /// Its answer.
    type CommandReply: Payload;
    /// What a running task tells.
    type Event: Payload;
    /// What can go wrong, in the words of this class.
    type Error: Payload;
}

/// The longest name of a class, in bytes: it travels with each call.
pub const CLASS_NAME_BYTES_MAX: usize = 64;

/// How many classes a worker has handlers for: it names them all in one message when it attaches, which must stay within
/// its cap with the longest names.
pub const JOB_CLASSES_MAX: usize = 128;

/// The type without a value: for the parts of a contract that a class does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nothing {}

impl Serialize for Nothing {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        match *self {}
    }
}

impl<'de> Deserialize<'de> for Nothing {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("this class has no such message"))
    }
}
