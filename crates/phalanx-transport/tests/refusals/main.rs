//! Peers that have TLS, our application protocol and every bad intention, on real sockets. Each of them must be refused
//! with a typed error and in time, before anybody is asked whether to admit it, and without a link.

// Helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used)]

mod diallers;
mod frames;
mod limits;
mod listeners;
mod over_tcp;
mod raw;
mod relay;
mod victim;
