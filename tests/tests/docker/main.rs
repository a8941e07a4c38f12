//! Containers as tasks, on real Docker daemons.
//!
//! Each scenario starts a daemon of its own, with its folders, its socket and its containerd below a temporary folder, and
//! sends it an image that is made here of Debian's static busybox: nothing comes from a network. The machine's own daemon,
//! if it has one, is left alone.
//!
//! Needs Linux, root, and Debian's docker.io and busybox-static.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a scenario that cannot go on has failed")]

mod archive;
mod commands;
mod daemon;
mod ends;
mod images;
mod inside;
mod limits;
mod lost;
mod orphans;
mod output;
mod permits;
mod registry;
mod stage;
