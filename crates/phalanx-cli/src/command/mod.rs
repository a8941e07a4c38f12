//! The commands, a file for each noun.

pub(crate) mod change;
pub(crate) mod config;
pub(crate) mod discover;
pub(crate) mod events;
pub(crate) mod node;
pub(crate) mod secret;
pub(crate) mod status;
