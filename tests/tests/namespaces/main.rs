//! Real processes in network namespaces: clusters of the program `phalanx`, whose network is cut and healed.
//!
//! Each node is a process of its own in a namespace of its own; switches and cables are those of the kernel. Nothing is
//! stopped or paused: only datagrams do not arrive. The scenarios run one after the other, since each of them measures time:
//! see the figures with `cargo test -p tests --test namespaces -- --nocapture`. `--ignored` runs those that take minutes.
//!
//! Needs Linux, root, and Debian's iproute2.

#![allow(clippy::unwrap_used, reason = "a scenario that cannot go on has failed")]

mod agent;
mod cluster;
mod cuts;
mod ip;
mod isolated;
mod net;
mod one_way;
mod seen;
mod start_up;
mod turn;
mod without_udp;
