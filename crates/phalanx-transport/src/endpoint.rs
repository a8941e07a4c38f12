//! An endpoint: one socket that dials and accepts, and gives out links to peers that have proved themselves.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use phalanx_base::{Generation, Role, TransportKind};
use quinn::{ConnectionError, Incoming, TransportErrorCode};
use tokio::sync::Mutex;

use crate::admit::Admit;
use crate::close::{CloseReason, LinkLost};
use crate::dial::Dialler;
use crate::handshake::{HandshakeError, Refusal, WireRange};
use crate::link::Link;
use crate::network::ByteStream;
use crate::prove::{ProofError, Prover};
use crate::quic::carrier::link_lost;
use crate::quic::settings::Settings;
use crate::quic::socket::Adapter;
use crate::quic::tls::Tls;
use crate::seams::{Seams, SpawnRuntime};
use crate::tcp::{Sockets, TcpLinks, TcpSide};
use crate::trust::{ClusterNameError, Credential, LocalNode, check_name};

/// Times and limits of an [`Endpoint`]. The defaults suit a LAN and the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointConfig {
    /// How long a peer may take from its first packet to its proof: 3 s. Longer lets strangers hold more of us.
    pub handshake_timeout: Duration,
    /// How long [`Endpoint::dial`] may take in all: 5 s, so that two lost first packets are made up for.
    pub dial_timeout: Duration,
    /// After how much silence a link is lost: 10 s. The smaller of both ends' counts.
    pub idle_timeout: Duration,
    /// After how much silence a packet is sent to prevent that: 1 s. When the peer's process is dead, its host answers
    /// such a packet, and the link is lost within another second. An idle link costs two packets a second each way, 125
    /// bytes with their headers (measured): a node with 1,000 links, 1 Mbit/s.
    pub keep_alive_interval: Duration,
    /// How many handshakes of diallers may be under way: 256, as many as a slow machine ends within `handshake_timeout`; more
    /// are told that this node is busy, which costs nothing, and come again.
    pub half_open_max: usize,
    /// From how many on a dialler must first show that packets reach it at the address that it gives: 128.
    pub half_open_unchecked_max: usize,
    /// Whether to take links by TLS over TCP, on the same port number: yes. For networks that block UDP.
    pub listen_tls: bool,
    /// Whether to take links by WebSocket over TLS, on the same port: yes. For networks that let nothing else through.
    pub listen_websocket: bool,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(3),
            dial_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(10),
            keep_alive_interval: Duration::from_secs(1),
            half_open_max: 256,
            half_open_unchecked_max: 128,
            listen_tls: true,
            listen_websocket: true,
        }
    }
}

/// Why an endpoint could not be made; nothing remains of it.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The name of the cluster is not valid.
    #[error(transparent)]
    Cluster(#[from] ClusterNameError),
    /// The credential is not enough for the role.
    #[error("the credential does not allow the role {role}: a control node needs the cluster secret")]
    RoleNotAllowed {
        /// The role that was asked for.
        role: Role,
    },
    /// There is no tokio runtime.
    #[error("there is no tokio runtime here: call this inside one, with time and I/O enabled")]
    NoRuntime,
    /// The socket could not be bound.
    #[error("cannot listen on {listen}: {source}")]
    Socket {
        /// The address that was asked for.
        listen: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The port is free for UDP, and cannot be bound for TCP.
    #[error("cannot listen on {listen} for TCP: {source}; free the port, choose another, or do without TCP")]
    Tcp {
        /// The address that was asked for.
        listen: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// Why there is no link to an address; nothing remains of the attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// This socket cannot send to that address, or the host there has said twice that nobody listens.
    #[error("{address} cannot be reached from this socket: {why}")]
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answered, or not in time.
    #[error("nobody answered in time")]
    TimedOut,
    /// The endpoint is closed.
    #[error("this endpoint is closed")]
    Closed,
    /// The peer takes nobody now: it has too much to do, or it stops. QUIC has one answer for both.
    #[error("the peer has too much to do, or stops: try another, or again later")]
    Busy,
    /// The peer belongs to a cluster with another name.
    #[error("the peer belongs to the cluster {theirs:?}, not to {ours:?}")]
    WrongCluster {
        /// The name of our cluster.
        ours: String,
        /// The name that the peer says.
        theirs: String,
    },
    /// The peer does not have the same secret.
    #[error("the peer does not have the same cluster secret")]
    WrongSecret,
    /// One end claimed a role that its credential does not allow.
    #[error("the credential does not allow the role {claimed} that was claimed with it")]
    RoleNotProven {
        /// The role that was claimed.
        claimed: Role,
    },
    /// Neither end is a control node.
    #[error("neither end is a control node: workers and operators dial control nodes only")]
    NoControl,
    /// The address leads back to this node.
    #[error("the address leads back to this node itself")]
    Myself,
    /// The peer, which has proved itself, knows a later boot of this node.
    #[error("the peer knows a later boot of this node (generation {known}): take a generation above it")]
    Stale {
        /// The generation that it knows.
        known: Generation,
    },
    /// No wire version is common.
    #[error("no wire version in common: ours {ours}, the peer's {theirs}; upgrade the older node")]
    Version {
        /// What we speak.
        ours: WireRange,
        /// What the peer speaks.
        theirs: WireRange,
    },
    /// The peer did not keep to the handshake, or says that we did not.
    #[error("the handshake went wrong: {0}")]
    Protocol(HandshakeError),
    /// The peer closed the connection for a reason of its own.
    #[error("the peer closed the connection: {0}")]
    Refused(CloseReason),
    /// The connection was lost halfway, or whoever answered does not speak this protocol.
    #[error(transparent)]
    Lost(LinkLost),
}

impl From<HandshakeError> for DialError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::WrongCluster { ours, theirs } => Self::WrongCluster { ours, theirs },
            HandshakeError::WrongSecret => Self::WrongSecret,
            HandshakeError::RoleNotProven { claimed } => Self::RoleNotProven { claimed },
            HandshakeError::NoControl => Self::NoControl,
            HandshakeError::Myself | HandshakeError::Refused(Refusal::Myself) => Self::Myself,
            HandshakeError::Version { ours, theirs } => Self::Version { ours, theirs },
            HandshakeError::TimedOut => Self::TimedOut,
            HandshakeError::Refused(Refusal::Stale { known }) => Self::Stale { known },
            HandshakeError::Refused(Refusal::Busy) => Self::Busy,
            error @ (HandshakeError::Malformed { .. }
            | HandshakeError::OutOfOrder { .. }
            | HandshakeError::CalledInvalid) => Self::Protocol(error),
        }
    }
}

impl From<ConnectionError> for DialError {
    fn from(error: ConnectionError) -> Self {
        match &error {
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::LocallyClosed => Self::Closed,
            ConnectionError::ConnectionClosed(close)
                if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
            {
                Self::Busy
            }
            error => match link_lost(error) {
                LinkLost::ClosedByPeer(reason) => Self::Refused(reason),
                lost => Self::Lost(lost),
            },
        }
    }
}

impl From<ProofError> for DialError {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Here(error) | ProofError::There(error) => error.into(),
            ProofError::Lost(error) => error,
        }
    }
}

/// One socket that dials and accepts. Cheap to clone; all clones are the same endpoint.
///
/// Links outlive it: dropping the last clone stops accepting, and each link goes on until it is closed or dropped.
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    quinn: quinn::Endpoint,
    dialler: Dialler,
    tcp: Option<Arc<TcpSide>>,
    config: EndpointConfig,
    local_addr: SocketAddr,
    prover: Arc<Prover>,
    adapter: Arc<Adapter>,
    is_closed: AtomicBool,
    /// Handshakes of diallers, driven by whoever awaits [`Endpoint::accept`].
    half_open: Mutex<FuturesUnordered<BoxFuture<'static, Option<Link>>>>,
}

impl Endpoint {
    /// Binds a socket and listens. Must be called inside a tokio runtime, whose clock QUIC's timers follow.
    ///
    /// Peers are let in only while somebody awaits [`accept`](Self::accept), also those that this same endpoint dials.
    ///
    /// # Errors
    /// [`BindError`]
    pub fn bind(
        config: EndpointConfig,
        local: LocalNode,
        credential: Credential,
        listen: SocketAddr,
        seams: &Seams<'_>,
        admit: Arc<dyn Admit>,
    ) -> Result<Self, BindError> {
        check_name(&local.cluster)?;
        if !credential.may_be(local.role) {
            return Err(BindError::RoleNotAllowed { role: local.role });
        }
        let handshake_timeout = config.handshake_timeout;
        let endpoint_closed = Arc::new(OnceLock::new());
        let evidence = Arc::default();
        let entropy = seams.entropy.clone();
        let prover =
            Prover { local, credential, entropy, admit, handshake_timeout, endpoint_closed, evidence };
        Self::bind_unchecked(config, prover, listen, seams)
    }

    /// Does not ask whether the credential is enough for the role; a node that lies would not either.
    pub(crate) fn bind_unchecked(
        config: EndpointConfig,
        prover: Prover,
        listen: SocketAddr,
        seams: &Seams<'_>,
    ) -> Result<Self, BindError> {
        tokio::runtime::Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let tls =
            Tls::new(&seams.tls, &*prover.entropy).map_err(|error| BindError::Tls(error.to_string()))?;
        let reset_key = prover.credential.reset_key(&prover.local);
        let settings = Settings::new(&config, &tls, &prover.entropy, reset_key.as_slice());
        let failed = |source| BindError::Socket { listen, source };
        let Sockets { udp, local_addr, listener } = Sockets::bind(&config, listen, seams.network)?;
        let adapter = Arc::new(Adapter::new(udp, prover.evidence.clone()));
        let quinn = quinn::Endpoint::new_with_abstract_socket(
            settings.endpoint,
            Some(settings.server),
            adapter.clone(),
            Arc::new(SpawnRuntime(seams.spawn.clone())),
        )
        .map_err(failed)?;
        let tcp = seams.network.tcp().map(|tcp| {
            let links = TcpLinks::new(&config, seams.spawn.clone());
            Arc::new(TcpSide::new(
                tcp,
                listener,
                local_addr,
                &tls.over_tcp,
                &config,
                seams.entropy.clone(),
                links,
            ))
        });
        let (half_open, prover) = (Mutex::default(), Arc::new(prover));
        let dialler =
            Dialler::new(quinn.clone(), settings.client, prover.clone(), tcp.clone(), config.dial_timeout);
        let is_closed = AtomicBool::new(false);
        let inner = Inner { quinn, dialler, tcp, config, local_addr, prover, adapter, is_closed, half_open };
        Ok(Self(Arc::new(inner)))
    }

    /// Dials an address and proves both ends. Takes at most [`EndpointConfig::dial_timeout`].
    ///
    /// QUIC has a second for itself. Then TLS over TCP is tried beside it, and a second later WebSocket: the first that gets
    /// through is taken. For ten minutes what got through comes first for this address; then QUIC has its turn again.
    ///
    /// Cancellation safe: nothing remains of a call that was dropped; the peer may have seen a link for a moment.
    ///
    /// # Errors
    /// [`DialError`]; where no transport gets through, that of the first.
    pub async fn dial(&self, address: SocketAddr) -> Result<Link, DialError> {
        self.dial_any(address, None).await
    }

    /// Dials as [`dial`](Self::dial) does, over this transport only.
    ///
    /// # Errors
    /// [`DialError`]
    pub async fn dial_over(&self, address: SocketAddr, transport: TransportKind) -> Result<Link, DialError> {
        self.dial_any(address, Some(transport)).await
    }

    async fn dial_any(&self, address: SocketAddr, over: Option<TransportKind>) -> Result<Link, DialError> {
        if self.0.prover.endpoint_closed.get().is_some() {
            return Err(DialError::Closed);
        }
        // On the heap: callers hold many of these, and most of the time each waits.
        Box::pin(self.0.dialler.dial(address, over)).await
    }

    /// The next link of a peer that dialled and has proved itself; `None` once the endpoint is closed. The handshakes of
    /// all diallers run inside this call, side by side, and each refusal is one line in the log.
    ///
    /// Cancellation safe: handshakes under way go on in the next call. Of several callers at once one works, and each
    /// gets links of its own.
    pub async fn accept(&self) -> Option<Link> {
        let mut half_open = self.0.half_open.lock().await;
        loop {
            tokio::select! {
                biased;
                Some(outcome) = half_open.next(), if !half_open.is_empty() => {
                    if outcome.is_some() {
                        return outcome;
                    }
                }
                incoming = self.0.quinn.accept() => {
                    let incoming = incoming?;
                    if let Some(incoming) = self.consider(incoming, half_open.len()) {
                        half_open.push(Box::pin(self.0.prover.clone().incoming(incoming)));
                    }
                }
                (io, remote) = accept_tcp(self.0.tcp.as_deref()) => {
                    if let Some(tcp) = self.0.tcp.as_ref().filter(|_| self.may_take(remote, half_open.len())) {
                        let work = tcp.clone().incoming(io, remote, self.0.prover.clone());
                        half_open.push(Box::pin(work));
                    }
                }
            }
        }
    }

    /// Whether one more dialler may come over TCP, which has shown where it is. Else its connection is dropped.
    fn may_take(&self, remote: SocketAddr, half_open: usize) -> bool {
        let has_room = half_open < self.0.config.half_open_max;
        if !has_room {
            tracing::debug!(%remote, half_open, "too many handshakes are under way");
        }
        has_room && self.0.prover.endpoint_closed.get().is_none()
    }

    /// Sends a dialler away, or back with a token, when there are too many; otherwise gives it back.
    fn consider(&self, incoming: Incoming, half_open: usize) -> Option<Incoming> {
        let config = &self.0.config;
        if self.0.prover.endpoint_closed.get().is_some() {
            // Its links are being flushed: a new one would come too late.
            incoming.refuse();
            return None;
        }
        if half_open >= config.half_open_max {
            tracing::debug!(remote = %incoming.remote_address(), half_open, "too many handshakes are under way");
            incoming.refuse();
            return None;
        }
        if half_open >= config.half_open_unchecked_max && !incoming.remote_address_validated() {
            // Fails only for an address that is validated, and this one is not.
            let _ = incoming.retry();
            return None;
        }
        Some(incoming)
    }

    #[cfg(test)]
    pub(crate) fn dialler(&self) -> &Dialler {
        &self.0.dialler
    }

    #[cfg(test)]
    pub(crate) fn evidence(&self) -> &Arc<crate::evidence::Evidence> {
        &self.0.prover.evidence
    }

    /// The address that the socket is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr
    }

    /// What this node says of itself.
    #[must_use]
    pub fn local_node(&self) -> &LocalNode {
        &self.0.prover.local
    }

    /// Closes every link and every handshake at once, and accepts and dials no more. Does nothing the second time.
    pub fn close(&self, reason: CloseReason) {
        let reason = self.0.prover.endpoint_closed.get_or_init(|| reason);
        let (code, detail) = reason.encode();
        self.0.quinn.close(code.into(), detail);
        if let Some(tcp) = &self.0.tcp {
            tcp.stop();
            tcp.links.carriers().iter().for_each(|carrier| carrier.close(reason.clone()));
        }
        self.0.is_closed.store(true, Ordering::Release);
    }

    /// Closes as [`close`](Self::close) does, once every peer has what was sent to it, at the latest after `limit`;
    /// whether all of them have. See [`Link::close_flushed`] for what that covers. Nobody is dialled from the call on.
    ///
    /// Cancellation: a call that was dropped has closed the links and not the endpoint; call [`close`](Self::close).
    pub async fn close_flushed(&self, reason: CloseReason, limit: Duration) -> bool {
        let reason = self.0.prover.endpoint_closed.get_or_init(|| reason).clone();
        let carriers = self.0.prover.evidence.carriers();
        let open = carriers.iter().filter(|carrier| carrier.close_reason().is_none());
        let flushed = join_all(open.map(|carrier| carrier.close_flushed(reason.clone(), limit)));
        let over_tcp = self.0.tcp.as_ref().map(|tcp| tcp.links.carriers()).unwrap_or_default();
        let open = over_tcp.iter().filter(|carrier| carrier.close_reason().is_none());
        let flushed_tcp = join_all(open.map(|carrier| carrier.close_flushed(reason.clone(), limit)));
        let (flushed, flushed_tcp) = tokio::join!(flushed, flushed_tcp);
        self.close(reason);
        flushed.into_iter().chain(flushed_tcp).all(|flushed| flushed)
    }

    /// Waits until every peer has heard of the end of its link, or its time is over. Call it after
    /// [`close`](Self::close) and before the program ends. Then the port is free, whoever still holds the endpoint or a
    /// link of it. Before a close it waits until there is no link, and frees nothing.
    ///
    /// Cancellation safe.
    pub async fn wait_idle(&self) {
        self.0.quinn.wait_idle().await;
        if let Some(tcp) = &self.0.tcp {
            tcp.links.wait_idle().await;
        }
        if self.0.is_closed.load(Ordering::Acquire) {
            self.0.adapter.release();
        }
    }
}

/// The next connection over TCP; never where there is no TCP.
async fn accept_tcp(tcp: Option<&TcpSide>) -> (Box<dyn ByteStream>, SocketAddr) {
    match tcp {
        Some(tcp) => tcp.accept().await,
        None => std::future::pending().await,
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LocalNode { cluster, boot, role } = self.local_node();
        let mut debug = f.debug_struct("Endpoint");
        debug.field("cluster", cluster).field("boot", &format_args!("{boot}")).field("role", role);
        debug.field("local_addr", &self.0.local_addr).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
