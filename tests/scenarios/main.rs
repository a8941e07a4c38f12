//! What a cluster promises, on real sockets: each file is one promise from several sides.

#![allow(clippy::unwrap_used, reason = "a scenario that cannot go on has failed")]

mod by_hand;
mod calls;
mod choosing;
mod discovering;
mod drain;
mod failures;
mod fetches;
#[cfg(unix)]
mod files;
mod forwarding;
mod functions;
mod jobs;
mod joins;
mod kv;
mod labelling;
mod mass_failure;
mod news;
mod operations;
mod operators;
mod owner_crash;
#[cfg(target_os = "linux")]
mod process;
mod refusals;
mod restarts;
mod stored;
mod tasks;
mod transfers;
#[cfg(feature = "wasm")]
mod wasm;
