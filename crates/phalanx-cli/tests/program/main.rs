//! The real program, run as its users run it: agents in processes of their own, asked by commands.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agents;
mod alone;
mod cluster;
