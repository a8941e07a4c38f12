//! A link: one authenticated connection between two nodes, whatever carries it.

mod memory;
mod stream;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use phalanx_base::{Boot, Lane, Role, TransportKind};

use crate::close::{CloseReason, LinkLost};
use crate::mux::carrier::{Halves, MuxCarrier};
use crate::quic::carrier::QuicCarrier;
use memory::MemoryCarrier;
pub(crate) use stream::GIVEN_UP;
pub use stream::{FrameReceiver, FrameSender, StreamError};
use stream::{RecvHalf, SendHalf};

/// Who is at the other end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Which node, and which start of it.
    pub boot: Boot,
    /// The role that it has proved.
    pub role: Role,
    /// Where it was when the link began; `None` in memory. A QUIC peer may move, see [`Link::remote`].
    pub remote: Option<SocketAddr>,
    /// Whether this node dialled. Of two links that came of dialling each other at once, this tells them apart the
    /// same way on both ends.
    pub dialled: bool,
    /// The wire version that both speak.
    pub wire: u16,
}

/// Names a link within this process; a later link has a greater id. Never leaves the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

impl LinkId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// As a number, for tables of the layers above.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a datagram was not sent. Even one that was sent may be lost on the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// It does not fit into a packet.
    #[error("a datagram of {bytes} bytes is longer than {bytes_max}, what this link takes now")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The longest that fits now.
        bytes_max: usize,
    },
    /// The peer takes no datagrams.
    #[error("the peer takes no datagrams")]
    Unsupported,
    /// The link is gone.
    #[error(transparent)]
    Link(LinkLost),
}

/// How urgent a lane is among the streams of a link; the greater goes first.
pub(crate) fn priority(lane: Lane) -> i32 {
    match lane {
        Lane::Control => 3,
        Lane::Request => 2,
        Lane::Event => 1,
        Lane::Bulk => 0,
    }
}

/// How many streams each end may have open at the other. QUIC keeps a place for each in both directions whether it is
/// used or not: a link end with 1,024 takes 113 kB, with 256 it takes 50 kB, and a control node has thousands of links to
/// workers but only a hundred to its peers.
pub(crate) fn streams_max(ours: Role, theirs: Role) -> u16 {
    match (ours, theirs) {
        (Role::Control, Role::Control) => 1024,
        (Role::Worker, _) | (_, Role::Worker) => 256,
        // A person's program asks a few things at a time.
        (Role::Operator, _) | (_, Role::Operator) => 16,
    }
}

/// One authenticated connection between two nodes. Cheap to clone; all clones are the same link.
///
/// It carries framed streams, each on a [`Lane`] with a priority of its own, and datagrams. When the last clone and the
/// last stream of it are dropped it closes with [`CloseReason::Dropped`].
#[derive(Clone)]
pub struct Link(Arc<Inner>);

struct Inner {
    id: LinkId,
    peer: Peer,
    carrier: Carrier,
}

enum Carrier {
    Quic(Arc<QuicCarrier>),
    Mux(Arc<MuxCarrier>),
    Memory(Arc<MemoryCarrier>),
}

impl Link {
    pub(crate) fn quic(carrier: Arc<QuicCarrier>, peer: Peer) -> Self {
        Self(Arc::new(Inner { id: LinkId::next(), peer, carrier: Carrier::Quic(carrier) }))
    }

    pub(crate) fn mux(carrier: Arc<MuxCarrier>, peer: Peer) -> Self {
        Self(Arc::new(Inner { id: LinkId::next(), peer, carrier: Carrier::Mux(carrier) }))
    }

    /// Two ends of a link in memory, as between a control node and the worker in the same process. The first belongs to
    /// `a` and sees `b` as its peer, the second the other way round. No proof is made: who can call this has both.
    #[must_use]
    pub fn pair(a: Peer, b: Peer) -> (Link, Link) {
        let (of_a, of_b) = MemoryCarrier::pair(streams_max(a.role, b.role));
        let link = |carrier, peer| {
            let carrier = Carrier::Memory(Arc::new(carrier));
            Self(Arc::new(Inner { id: LinkId::next(), peer, carrier }))
        };
        (link(of_a, b), link(of_b, a))
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// Which link this is.
    #[must_use]
    pub fn id(&self) -> LinkId {
        self.0.id
    }

    /// What carries it; `None` in memory.
    #[must_use]
    pub fn transport(&self) -> Option<TransportKind> {
        match &self.0.carrier {
            Carrier::Quic(_) => Some(TransportKind::Quic),
            Carrier::Mux(mux) => Some(mux.transport()),
            Carrier::Memory(_) => None,
        }
    }

    /// Where the peer is now; `None` in memory.
    #[must_use]
    pub fn remote(&self) -> Option<SocketAddr> {
        match &self.0.carrier {
            Carrier::Quic(quic) => Some(quic.remote()),
            Carrier::Mux(mux) => Some(mux.remote()),
            Carrier::Memory(_) => None,
        }
    }

    /// The best estimate of a round trip; zero in memory.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        match &self.0.carrier {
            Carrier::Quic(quic) => quic.round_trip(),
            Carrier::Mux(mux) => mux.round_trip(),
            Carrier::Memory(_) => Duration::ZERO,
        }
    }

    /// Opens a stream on a lane, and tells the peer which at once. Waits while as many streams of ours are open as the
    /// peer takes: 1,024 between control nodes, 256 where one end is a worker.
    ///
    /// Cancellation safe: nothing remains of a call that was dropped.
    ///
    /// # Errors
    /// [`LinkLost`]; no stream was opened.
    pub async fn open(&self, lane: Lane) -> Result<(FrameSender, FrameReceiver), LinkLost> {
        Ok(match &self.0.carrier {
            Carrier::Quic(quic) => quic_stream(quic, quic.open(lane).await?),
            Carrier::Mux(mux) => mux_stream(mux.open(lane).await?),
            Carrier::Memory(memory) => memory_stream(memory.open(lane).await?),
        })
    }

    /// The next stream that the peer opened, in no order that could be relied on. Streams that name no lane that this
    /// version knows are refused and not seen here.
    ///
    /// Cancellation safe: no stream is lost by a call that was dropped. Of several callers at once each gets streams of
    /// its own.
    ///
    /// # Errors
    /// [`LinkLost`]
    pub async fn accept(&self) -> Result<(Lane, FrameSender, FrameReceiver), LinkLost> {
        let (lane, (sender, receiver)) = match &self.0.carrier {
            Carrier::Quic(quic) => {
                let (lane, send, recv) = quic.accept().await?;
                (lane, quic_stream(quic, (send, recv)))
            }
            Carrier::Mux(mux) => {
                let (lane, halves) = mux.accept().await?;
                (lane, mux_stream(halves))
            }
            Carrier::Memory(memory) => {
                let (lane, halves) = memory.accept().await?;
                (lane, memory_stream(halves))
            }
        };
        Ok((lane, sender, receiver))
    }

    /// Sends a datagram at once, or not at all; it may be lost. When many wait, the oldest is dropped. An empty one only
    /// shows the peer's link that this end lives: the peer's user does not see it.
    ///
    /// # Errors
    /// [`DatagramError`]; it was not sent.
    pub fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        match &self.0.carrier {
            Carrier::Quic(quic) => quic.send_datagram(datagram),
            Carrier::Mux(mux) => mux.send_datagram(datagram),
            Carrier::Memory(memory) => memory.send_datagram(datagram),
        }
    }

    /// The next datagram from the peer.
    ///
    /// Cancellation safe.
    ///
    /// # Errors
    /// [`LinkLost`]
    pub async fn recv_datagram(&self) -> Result<Bytes, LinkLost> {
        match &self.0.carrier {
            Carrier::Quic(quic) => quic.recv_datagram().await,
            Carrier::Mux(mux) => mux.recv_datagram().await,
            Carrier::Memory(memory) => memory.recv_datagram().await,
        }
    }

    /// The longest datagram that fits now: at least 1,100 bytes on any network that carries QUIC, more once the path's
    /// packet size is known. 0 when the peer takes none.
    #[must_use]
    pub fn datagram_bytes_max(&self) -> usize {
        match &self.0.carrier {
            Carrier::Quic(quic) => quic.datagram_bytes_max(),
            Carrier::Mux(mux) => mux.datagram_bytes_max(),
            Carrier::Memory(memory) => memory.datagram_bytes_max(),
        }
    }

    /// Closes the link at once; what was sent and not yet received may be lost. Does nothing when it is closed.
    pub fn close(&self, reason: CloseReason) {
        match &self.0.carrier {
            Carrier::Quic(quic) => quic.close(reason),
            Carrier::Mux(mux) => mux.close(reason),
            Carrier::Memory(memory) => memory.close(reason),
        }
    }

    /// Closes the link once the peer has every frame whose [`send`](FrameSender::send) has returned, at the latest after
    /// `limit`; whether the peer has them all. What the peer has it can still read after the close.
    ///
    /// From the call on no stream is opened, and each stream of this end is finished: a send that still waits for room
    /// ends, with a part of its frame sent or not, and a further one fails with [`StreamError::Finished`]. Datagrams are not
    /// waited for.
    ///
    /// Cancellation: a call that was dropped has closed the link at once.
    pub async fn close_flushed(&self, reason: CloseReason, limit: Duration) -> bool {
        match &self.0.carrier {
            Carrier::Quic(quic) => quic.close_flushed(reason, limit).await,
            Carrier::Mux(mux) => mux.close_flushed(reason, limit).await,
            Carrier::Memory(memory) => {
                // What is in memory has arrived.
                let is_open = memory.close_reason().is_none();
                memory.close(reason);
                is_open
            }
        }
    }

    /// Waits until the link is gone, and says why.
    ///
    /// Cancellation safe.
    pub async fn closed(&self) -> LinkLost {
        match &self.0.carrier {
            Carrier::Quic(quic) => quic.closed().await,
            Carrier::Mux(mux) => mux.closed().await,
            Carrier::Memory(memory) => memory.closed().await,
        }
    }

    /// Why the link is gone; `None` while it is not.
    #[must_use]
    pub fn close_reason(&self) -> Option<LinkLost> {
        match &self.0.carrier {
            Carrier::Quic(quic) => quic.close_reason(),
            Carrier::Mux(mux) => mux.close_reason(),
            Carrier::Memory(memory) => memory.close_reason(),
        }
    }

    /// The connection below, for tests that misbehave.
    #[cfg(test)]
    pub(crate) fn connection(&self) -> &quinn::Connection {
        match &self.0.carrier {
            Carrier::Quic(quic) => quic.connection(),
            Carrier::Mux(_) | Carrier::Memory(_) => panic!("no QUIC carries this link"),
        }
    }

    /// Whether the link is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.close_reason().is_some()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Peer { boot, role, remote, dialled, .. } = &self.0.peer;
        let mut debug = f.debug_struct("Link");
        debug.field("id", &self.0.id.0).field("peer", &format_args!("{boot}")).field("role", role);
        debug.field("remote", remote).field("dialled", dialled).finish_non_exhaustive()
    }
}

/// An IPv4 address as such, also where a socket for both families saw it as IPv6.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn quic_stream(
    quic: &Arc<QuicCarrier>,
    (send, recv): (quinn::SendStream, quinn::RecvStream),
) -> (FrameSender, FrameReceiver) {
    (
        FrameSender::new(SendHalf::Quic(quic.outgoing().add(send), quic.clone())),
        FrameReceiver::new(RecvHalf::Quic(recv, quic.clone())),
    )
}

fn mux_stream((send, recv): Halves) -> (FrameSender, FrameReceiver) {
    (FrameSender::new(SendHalf::Mux(send)), FrameReceiver::new(RecvHalf::Mux(recv)))
}

fn memory_stream((send, recv): memory::Halves) -> (FrameSender, FrameReceiver) {
    (FrameSender::new(SendHalf::Memory(send)), FrameReceiver::new(RecvHalf::Memory(recv)))
}
