//! Two ends in processes of their own, ready to be measured.

use std::fmt;

use super::{Cluster, erlang, nats};
use crate::Failure;
use crate::helper::{Helper, Silent};
use crate::order::{Figures, Order};

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A control node and a worker of ours.
    Ours,
    /// TCP, a connection for each caller.
    Tcp,
    /// TLS over TCP, likewise.
    Tls,
    /// QUIC, many requests on one stream.
    Quinn,
    /// QUIC, a stream for each request.
    QuinnStreams,
    /// gRPC over TLS.
    Tonic,
    /// NATS, with its server between both ends.
    Nats,
    /// Two nodes of Erlang.
    Erpc,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Quinn => "quinn",
            Self::QuinnStreams => "quinn-streams",
            Self::Tonic => "tonic",
            Self::Nats => "nats",
            Self::Erpc => "erpc",
        })
    }
}

/// The processes of one peer.
pub(crate) struct Pair {
    /// The end that asks.
    client: Helper,
    /// The end that answers.
    server: Helper,
    /// What stands between them.
    _between: Option<Silent>,
}

impl Pair {
    /// Starts both ends, and lets them warm up.
    pub(crate) fn start(peer: Peer) -> Result<Self, Failure> {
        let of_roles = |server: &str, client: &str| -> Result<Self, Failure> {
            let server = Helper::role(server, &[])?;
            let client = Helper::role(client, &[&server.greeting])?;
            Ok(Self::new(client, server, None))
        };
        match peer {
            Peer::Ours => Cluster::start(1, None).map(Cluster::into_pair),
            Peer::Tcp => of_roles("tcp-server", "tcp-client"),
            Peer::Tls => of_roles("tls-server", "tls-client"),
            Peer::Quinn => of_roles("quinn-server", "quinn-frames-client"),
            Peer::QuinnStreams => of_roles("quinn-server", "quinn-streams-client"),
            Peer::Tonic => of_roles("tonic-server", "tonic-client"),
            Peer::Nats => nats::start(),
            Peer::Erpc => erlang::start(),
        }
    }

    pub(super) fn new(client: Helper, server: Helper, between: Option<Silent>) -> Self {
        Self { client, server, _between: between }
    }

    /// Gives the client an order; the figures have the time on a core of both ends too.
    pub(crate) fn measure(&mut self, order: &Order) -> Result<Figures, Failure> {
        let before_us = self.cpu_us();
        let figures = self.client.ask(order)?;
        Ok(Figures { cpu_us: self.cpu_us() - before_us, ..figures })
    }

    fn cpu_us(&self) -> f64 {
        self.client.cpu_us() + self.server.cpu_us()
    }
}
