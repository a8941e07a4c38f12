//! Where a node is reached: `phalanx://host:port;transport=quic`, alone or in a list.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The machine in an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Host {
    /// An IP address; IPv6 is written in brackets.
    Ip(IpAddr),
    /// A DNS name, in lower case.
    Name(String),
}

/// What carries a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TransportKind {
    /// QUIC over UDP.
    Quic,
}

/// Where a node is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    host: Host,
    port: Option<u16>,
    transport: Option<TransportKind>,
}

/// Why a text is not an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {}

/// Several addresses of one node, best first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AddressList(Vec<Address>);
