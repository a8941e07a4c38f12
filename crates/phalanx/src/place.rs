//! Where to dial: a socket, and the one transport to use where only one will do.

use std::fmt;
use std::net::SocketAddr;

use phalanx_base::{Address, TransportKind};
use phalanx_transport::{DialError, Endpoint, Link};

/// A socket, and how to reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) socket: SocketAddr,
    /// `None`: whichever gets through.
    pub(crate) transport: Option<TransportKind>,
}

impl Place {
    pub(crate) async fn dial(self, endpoint: &Endpoint) -> Result<Link, DialError> {
        match self.transport {
            None => endpoint.dial(self.socket).await,
            Some(transport) => endpoint.dial_over(self.socket, transport).await,
        }
    }
}

impl From<SocketAddr> for Place {
    fn from(socket: SocketAddr) -> Self {
        Self { socket, transport: None }
    }
}

impl From<Place> for Address {
    fn from(place: Place) -> Self {
        let address = Address::from(place.socket);
        match place.transport {
            None => address,
            Some(transport) => address.with_transport(transport),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            None => self.socket.fmt(f),
            Some(transport) => write!(f, "{} over {transport}", self.socket),
        }
    }
}
