//! The seam for the network: sockets as traits of our own, so that a simulator can replace the wire and nothing else.
//!
//! The shape follows what fast UDP needs (several datagrams in one call, congestion marks, the local address of each
//! datagram); an in-memory network may ignore all of it and take the defaults. It may do without TCP, too.

use std::fmt::Debug;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

/// Where sockets come from.
pub trait Network: Send + Sync + 'static {
    /// Binds a UDP socket to an address; port 0 lets the system choose.
    ///
    /// # Errors
    /// What the system says, for example that the port is taken.
    fn bind(&self, listen: SocketAddr) -> io::Result<Arc<dyn UdpSocket>>;

    /// Its TCP side, over which links go where UDP is blocked; `None` where it has none.
    fn tcp(&self) -> Option<Arc<dyn Tcp>> {
        None
    }
}

/// Ordered bytes in both directions, such as a TCP connection.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for T {}

/// Ready with a connection, see [`Tcp::connect`].
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>> + Send>>;

/// Where TCP connections come from.
pub trait Tcp: Send + Sync + 'static {
    /// Listens on an address.
    ///
    /// # Errors
    /// What the system says, for example that the port is taken.
    fn listen(&self, listen: SocketAddr) -> io::Result<Box<dyn TcpListener>>;

    /// Connects from one of this host's addresses, or from any where `from` is unspecified. Nothing remains of a future
    /// that was dropped.
    fn connect(&self, from: IpAddr, address: SocketAddr) -> Connecting;
}

/// Takes TCP connections; until it is dropped.
pub trait TcpListener: Send + Sync + 'static {
    /// The next connection, and where it comes from.
    ///
    /// # Errors
    /// What the system says; the next call may succeed.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn ByteStream>, SocketAddr)>>;
}

/// Explicit congestion notification (RFC 3168) of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CongestionMark {
    /// The sender understands marks, code point ECT(0).
    Ect0,
    /// The sender understands marks, code point ECT(1).
    Ect1,
    /// A router on the way was congested.
    Congested,
}

/// Datagrams to send in one call.
#[derive(Debug, Clone)]
pub struct Transmit<'a> {
    /// Whom to.
    pub destination: SocketAddr,
    /// The mark to set.
    pub mark: Option<CongestionMark>,
    /// One datagram; or several of `segment_bytes` each, of which the last may be shorter.
    pub contents: &'a [u8],
    /// The size of each datagram where `contents` holds several.
    pub segment_bytes: Option<usize>,
    /// From which of this host's addresses.
    pub source: Option<IpAddr>,
}

/// What is known about the datagrams received into one buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Who sent them.
    pub source: SocketAddr,
    /// How many bytes of the buffer are filled.
    pub bytes: usize,
    /// The size of each datagram where the buffer holds several, of which the last may be shorter; else `bytes`.
    pub segment_bytes: usize,
    /// The mark they carry.
    pub mark: Option<CongestionMark>,
    /// To which of this host's addresses they came.
    pub destination: Option<IpAddr>,
}

impl Default for Received {
    /// A value to be overwritten.
    fn default() -> Self {
        let source = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
        Self { source, bytes: 0, segment_bytes: 0, mark: None, destination: None }
    }
}

/// Ready when a socket may take another datagram.
pub type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Ready with an address at which nobody listens, see [`UdpSocket::unreachable`].
pub type Unreachable = Pin<Box<dyn Future<Output = SocketAddr> + Send>>;

/// A UDP socket that any number of tasks send on and one receives from.
pub trait UdpSocket: Send + Sync + Debug + 'static {
    /// Sends, or says [`io::ErrorKind::WouldBlock`]; then whoever wants to send awaits [`writable`](Self::writable).
    ///
    /// # Errors
    /// `WouldBlock`; any other error loses these datagrams and nothing else.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()>;

    /// A future of its own for each caller, ready when a datagram may be taken. An in-memory network is always ready.
    fn writable(self: Arc<Self>) -> Writable;

    /// Receives into as many buffers as are ready, describing each in `received`; returns how many.
    ///
    /// # Errors
    /// Any error ends the endpoint, unless it tells of one peer only, such as [`io::ErrorKind::ConnectionRefused`].
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> Poll<io::Result<usize>>;

    /// The next address for which the network says that nobody listens there: a host answers so (ICMP, port
    /// unreachable) when the process that had the port is dead. It is a hint, since anybody can forge it. One caller at
    /// a time; hints that nobody awaits may be lost. A network that has none never says anything.
    ///
    /// Cancellation safe.
    fn unreachable(self: Arc<Self>) -> Unreachable {
        Box::pin(std::future::pending())
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// What the system says.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// How many datagrams one [`Transmit`] may hold.
    fn transmit_segments_max(&self) -> usize {
        1
    }

    /// How many datagrams one buffer may hold after [`poll_recv`](Self::poll_recv).
    fn receive_segments_max(&self) -> usize {
        1
    }

    /// Whether the network may split a datagram; if so, no larger packet size is searched for.
    fn may_fragment(&self) -> bool {
        false
    }
}
