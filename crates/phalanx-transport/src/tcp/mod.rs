//! Links over TCP, for networks without UDP: TLS, and WebSocket over TLS, on the same port number as QUIC. Which of the two a
//! dialler wants it says in the TLS handshake (ALPN).

mod links;
mod side;
mod sockets;
mod websocket;

pub(crate) use links::TcpLinks;
pub(crate) use side::TcpSide;
pub(crate) use sockets::Sockets;

use std::net::SocketAddr;

use phalanx_base::TransportKind;

use crate::handshake::EXPORTER_BYTES;
use crate::network::ByteStream;

/// A connection whose TLS session stands, and what only its two ends know of that session.
pub(crate) struct Secured {
    pub(crate) io: Box<dyn ByteStream>,
    pub(crate) exporter: Option<[u8; EXPORTER_BYTES]>,
    pub(crate) route: Route,
}

/// Where the other end of a connection is, and over what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) remote: SocketAddr,
    pub(crate) transport: TransportKind,
}
