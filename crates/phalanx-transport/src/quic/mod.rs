//! Everything about QUIC that is not a decision: sockets, TLS and settings for quinn, and links carried by it.

pub(crate) mod carrier;
pub(crate) mod outgoing;
pub(crate) mod settings;
pub(crate) mod socket;
pub(crate) mod tls;
