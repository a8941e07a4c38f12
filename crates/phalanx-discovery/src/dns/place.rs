//! One host that the user named, and how its nodes are to be found.

use phalanx_base::{Address, Host, TransportKind};

/// One host that the user named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: Host,
    /// The port for addresses; services name their own.
    pub(super) port: Option<u16>,
    /// The transport for addresses; services name their own.
    pub(super) transport: Option<TransportKind>,
    pub(super) route: Route,
}

/// Which records lead to the nodes of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// Addresses only.
    Addresses,
    /// `_phx._udp` and `_phx._tcp` only.
    Services,
    /// NAPTR, else services, else addresses.
    Chain,
    /// Addresses of a name that this machine knows by itself, the chain of another one.
    Guess,
    /// The service of a port of a Kubernetes service, else addresses.
    NamedPort(String),
}

impl Place {
    /// The place of an address.
    pub(super) fn new(address: &Address, route: Route) -> Self {
        let (port, transport) = (address.explicit_port(), address.transport());
        Self { host: address.host().clone(), port, transport, route }
    }

    /// The address of this place itself.
    pub(super) fn address(&self) -> Address {
        let address = Address::new(self.host.clone(), self.port.unwrap_or(Address::DEFAULT_PORT));
        match self.transport {
            Some(transport) => address.with_transport(transport),
            None => address,
        }
    }
}
