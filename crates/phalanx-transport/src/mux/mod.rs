//! A link over any ordered stream of bytes, such as TLS over TCP: streams with flow control, priorities among lanes, and
//! datagrams, all over one connection.
//!
//! ```text
//! users of a link ── pipes ── driver (one task) ── core (no I/O) ── frames ── bytes
//! ```
//!
//! The [`core`] decides what is sent next and what a peer may do; the [`driver`] moves bytes between it, the connection and
//! the [`pipe`]s that users write to and read from. Data waits in the pipes only: the core counts it.
//!
//! An existing multiplexer (yamux, HTTP/2) would have no priorities across streams, or none that the sender decides by
//! itself: a heartbeat would wait behind a transfer.

pub(crate) mod carrier;
pub(crate) mod core;
mod datagrams;
pub(crate) mod driver;
pub(crate) mod pipe;
mod shared;
mod windows;
pub(crate) mod wire;
