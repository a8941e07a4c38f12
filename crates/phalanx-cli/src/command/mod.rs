//! The commands, a file for each noun.

pub(crate) mod change;
mod choosing;
#[cfg(feature = "wasm")]
pub(crate) mod class;
pub(crate) mod completion;
pub(crate) mod config;
#[cfg(feature = "files")]
pub(crate) mod cp;
pub(crate) mod discover;
#[cfg(feature = "docker")]
pub(crate) mod docker;
pub(crate) mod events;
#[cfg(feature = "process")]
pub(crate) mod exec;
pub(crate) mod job;
#[cfg(feature = "kv")]
pub(crate) mod kv;
pub(crate) mod node;
#[cfg(feature = "process")]
mod program;
#[cfg(any(feature = "process", feature = "docker"))]
mod remote;
pub(crate) mod secret;
pub(crate) mod status;
pub(crate) mod task;
#[cfg(feature = "process")]
mod terminal;
pub(crate) mod top;
