//! One port number for both protocols.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::endpoint::{BindError, EndpointConfig};
use crate::network::{Network, TcpListener, UdpSocket};

/// How often another port is tried where the system may choose, and has chosen one that is taken for TCP.
const TRIES_MAX: usize = 16;

/// The sockets of an endpoint.
pub(crate) struct Sockets {
    pub(crate) udp: Arc<dyn UdpSocket>,
    pub(crate) local_addr: SocketAddr,
    pub(crate) listener: Option<Box<dyn TcpListener>>,
}

impl Sockets {
    pub(crate) fn bind(
        config: &EndpointConfig,
        listen: SocketAddr,
        network: &dyn Network,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError::Socket { listen, source };
        let tcp = network.tcp().filter(|_| config.listen_tls || config.listen_websocket);
        let mut tries = 0;
        loop {
            let udp = network.bind(listen).map_err(failed)?;
            let local_addr = udp.local_addr().map_err(failed)?;
            let Some(tcp) = &tcp else { return Ok(Self { udp, local_addr, listener: None }) };
            tries += 1;
            match tcp.listen(local_addr) {
                Ok(listener) => return Ok(Self { udp, local_addr, listener: Some(listener) }),
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && listen.port() == 0
                        && tries < TRIES_MAX => {}
                Err(source) => return Err(BindError::Tcp { listen: local_addr, source }),
            }
        }
    }
}
