//! The TCP side of an endpoint: it connects, listens, and sets up TLS on what comes of that.

use std::future::{pending, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use phalanx_base::{Entropy, TransportKind};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ConnectionCommon, ServerConfig};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::websocket::{self, Side, WebSocketStream};
use super::{Route, Secured, TcpLinks};
use crate::close::LinkLost;
use crate::endpoint::{DialError, EndpointConfig};
use crate::handshake::{EXPORTER_BYTES, EXPORTER_LABEL};
use crate::link::{Link, canonical};
use crate::network::{ByteStream, Tcp, TcpListener};
use crate::prove::Prover;
use crate::quic::tls::{ALPN, ALPN_HTTP, SERVER_NAME, TlsOverTcp};

/// How long to wait after an accept that failed, for example since this process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct TcpSide {
    tcp: Arc<dyn Tcp>,
    /// From where this node connects: the address that it listens on.
    from: IpAddr,
    listener: Mutex<Option<Box<dyn TcpListener>>>,
    server: Arc<ServerConfig>,
    client_tls: Arc<ClientConfig>,
    client_websocket: Arc<ClientConfig>,
    entropy: Arc<dyn Entropy>,
    pub(crate) links: TcpLinks,
}

impl TcpSide {
    pub(crate) fn new(
        tcp: Arc<dyn Tcp>,
        listener: Option<Box<dyn TcpListener>>,
        local_addr: SocketAddr,
        tls: &TlsOverTcp,
        config: &EndpointConfig,
        entropy: Arc<dyn Entropy>,
        links: TcpLinks,
    ) -> Self {
        let offered = [(ALPN, config.listen_tls), (ALPN_HTTP, config.listen_websocket)];
        let offered: Vec<&[u8]> =
            offered.into_iter().filter(|(_, is_on)| *is_on).map(|(protocol, _)| protocol).collect();
        Self {
            tcp,
            from: local_addr.ip(),
            listener: Mutex::new(listener),
            server: tls.server(&offered),
            client_tls: tls.client(ALPN),
            client_websocket: tls.client(ALPN_HTTP),
            entropy,
            links,
        }
    }

    fn listener(&self) -> MutexGuard<'_, Option<Box<dyn TcpListener>>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next connection, on which nothing was read; never when nobody listens.
    ///
    /// Cancellation safe.
    pub(crate) async fn accept(&self) -> (Box<dyn ByteStream>, SocketAddr) {
        loop {
            let accepted = poll_fn(|cx| match &*self.listener() {
                Some(listener) => listener.poll_accept(cx).map(Some),
                None => Poll::Ready(None),
            });
            match accepted.await {
                Some(Ok((io, remote))) => return (io, canonical(remote)),
                Some(Err(error)) => {
                    tracing::debug!(%error, "a TCP connection was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
                None => pending().await,
            }
        }
    }

    /// Listens no more; the port is free.
    pub(crate) fn stop(&self) {
        drop(self.listener().take());
    }

    /// Takes a connection that came in as far as a link; `None`, and a line in the log, when that cannot be.
    pub(crate) async fn incoming(
        self: Arc<Self>,
        io: Box<dyn ByteStream>,
        remote: SocketAddr,
        prover: Arc<Prover>,
    ) -> Option<Link> {
        let deadline = Instant::now() + prover.handshake_timeout;
        match timeout_at(deadline, self.secure(io, remote)).await {
            Ok(Ok(secured)) => prover.incoming_tcp(secured, &self.links, deadline).await,
            // A scanner, most likely. Too cheap to make for more than this.
            Ok(Err(error)) => {
                tracing::debug!(%remote, %error, "an incoming TCP connection came to nothing");
                None
            }
            Err(_elapsed) => {
                tracing::debug!(%remote, "an incoming TCP connection did not get to TLS in time");
                None
            }
        }
    }

    /// Sets up TLS, and WebSocket over it where the dialler wants that.
    async fn secure(&self, io: Box<dyn ByteStream>, remote: SocketAddr) -> io::Result<Secured> {
        let mut stream = TlsAcceptor::from(self.server.clone()).accept(io).await?;
        let (_, session) = stream.get_ref();
        let (exporter, protocol) = (export(&**session), session.alpn_protocol().map(<[u8]>::to_vec));
        match protocol.as_deref() {
            Some(ALPN) => {
                let route = Route { remote, transport: TransportKind::Tls };
                Ok(Secured { io: Box::new(stream), exporter, route })
            }
            Some(ALPN_HTTP) => {
                websocket::accept(&mut stream).await?;
                let io = Box::new(WebSocketStream::new(stream, Side::Server));
                Ok(Secured { io, exporter, route: Route { remote, transport: TransportKind::WebSocket } })
            }
            // Without a protocol it is some other program.
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a protocol that is not ours")),
        }
    }

    /// Connects, and sets up TLS, and WebSocket over it where that is wanted.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        transport: TransportKind,
    ) -> Result<Secured, DialError> {
        let address = canonical(address);
        let unreachable = |error: io::Error| DialError::Unreachable { address, why: error.to_string() };
        let io = self.tcp.connect(self.from, address).await.map_err(unreachable)?;
        let lost = |error: io::Error| DialError::Lost(LinkLost::Carrier(error.to_string()));
        let client = match transport {
            TransportKind::WebSocket => &self.client_websocket,
            TransportKind::Quic | TransportKind::Tls => &self.client_tls,
        };
        let name = ServerName::try_from(SERVER_NAME).map_err(|error| lost(io::Error::other(error)))?;
        let mut stream = TlsConnector::from(client.clone()).connect(name, io).await.map_err(lost)?;
        let (_, session) = stream.get_ref();
        let exporter = export(&**session);
        if session.alpn_protocol() != client.alpn_protocols.first().map(Vec::as_slice) {
            return Err(lost(io::Error::other("whoever answers there speaks another protocol")));
        }
        let route = Route { remote: address, transport };
        if transport != TransportKind::WebSocket {
            return Ok(Secured { io: Box::new(stream), exporter, route });
        }
        websocket::request(&mut stream, address, &*self.entropy).await.map_err(lost)?;
        let io = Box::new(WebSocketStream::new(stream, Side::Client(self.entropy.clone())));
        Ok(Secured { io, exporter, route })
    }
}

/// What only the two ends of a TLS session know of it.
fn export<Data>(session: &ConnectionCommon<Data>) -> Option<[u8; EXPORTER_BYTES]> {
    session.export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, Some(b"")).ok()
}
