//! The real program, run as its users run it: agents in processes of their own, asked by commands.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg_attr(
    not(all(feature = "kv", feature = "files", feature = "process")),
    allow(dead_code, reason = "commands that run for long are tested with all drivers")
)]
mod agents;
mod alone;
#[cfg(all(feature = "kv", feature = "files", feature = "process", feature = "wasm"))]
mod classes;
mod cluster;
#[cfg(all(feature = "kv", feature = "files", feature = "process"))]
mod copies;
#[cfg(all(feature = "kv", feature = "files", feature = "process"))]
mod jobs;
#[cfg(all(feature = "kv", feature = "files", feature = "process"))]
mod nodes;
#[cfg(all(feature = "kv", feature = "files", feature = "process"))]
mod programs;
#[cfg(all(feature = "kv", feature = "files", feature = "process"))]
mod terminals;
#[cfg(all(feature = "kv", feature = "files", feature = "process"))]
mod workers;
