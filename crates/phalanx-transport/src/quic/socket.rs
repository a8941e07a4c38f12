//! Our [`UdpSocket`] as quinn wants it.
//!
//! quinn's endpoint ends on any error of its socket but one. An error that tells of a single peer (an ICMP message, say,
//! which anybody can forge) must not end the node, so it is turned into that one, which quinn ignores. quinn's
//! connections likewise end when a packet cannot be sent; here that packet is lost, as on the way, and nothing else.
//!
//! What the network says of dead peers is collected here too: quinn polls its socket whenever anything happens to it, so
//! that this needs no task of its own, and ends with the socket.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::task::{Context, Poll, ready};

use quinn::udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit as QuinnTransmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use crate::evidence::Evidence;
use crate::network::{CongestionMark, Received, Transmit, UdpSocket, Unreachable, Writable};

/// How many hints are taken at a time, so that a flood of them does not hold up packets.
const HINTS_MAX: usize = 16;

/// A socket of ours inside quinn, until it is released.
pub(crate) struct Adapter {
    /// Gone once everything is over: quinn and each connection hold this value longer than the port may be taken.
    socket: RwLock<Option<Arc<dyn UdpSocket>>>,
    hint: Mutex<Option<Unreachable>>,
    evidence: Arc<Evidence>,
}

impl Adapter {
    pub(crate) fn new(socket: Arc<dyn UdpSocket>, evidence: Arc<Evidence>) -> Self {
        Self { socket: RwLock::new(Some(socket)), hint: Mutex::default(), evidence }
    }

    /// Lets the socket go, and its port with it. Nothing is sent or received any more.
    pub(crate) fn release(&self) {
        drop(self.socket.write().unwrap_or_else(PoisonError::into_inner).take());
        drop(self.hint.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Held while the socket is used, so that nobody has it any more once it is released.
    fn socket(&self) -> RwLockReadGuard<'_, Option<Arc<dyn UdpSocket>>> {
        self.socket.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what the network says of dead peers.
    fn poll_hints(&self, socket: &Arc<dyn UdpSocket>, cx: &mut Context<'_>) {
        let mut hint = self.hint.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..HINTS_MAX {
            let next = hint.get_or_insert_with(|| socket.clone().unreachable());
            let Poll::Ready(address) = next.as_mut().poll(cx) else { return };
            *hint = None;
            self.evidence.hint(address);
        }
        cx.waker().wake_by_ref();
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for Adapter {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { adapter: self, waiting: None })
    }

    fn try_send(&self, transmit: &QuinnTransmit<'_>) -> io::Result<()> {
        let socket = self.socket();
        let Some(socket) = &*socket else { return Ok(()) };
        let outcome = socket.try_send(&Transmit {
            destination: transmit.destination,
            mark: transmit.ecn.map(mark_of),
            contents: transmit.contents,
            segment_bytes: transmit.segment_size,
            source: transmit.src_ip,
        });
        match outcome {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                tracing::trace!(destination = %transmit.destination, %error, "a packet was not sent");
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut received = [Received::default(); BATCH_SIZE];
        let room = buffers.len().min(meta.len()).min(BATCH_SIZE);
        // Without a socket nothing ever comes; whoever holds quinn's driver awake then is not the socket.
        let socket = self.socket();
        let Some(socket) = &*socket else { return Poll::Pending };
        self.poll_hints(socket, cx);
        let count = match ready!(socket.poll_recv(cx, &mut buffers[..room], &mut received[..room])) {
            Ok(count) => count.min(room),
            Err(error) if passes(error.kind()) => {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            Err(error) => return Poll::Ready(Err(error)),
        };
        for (to, from) in meta.iter_mut().zip(&received).take(count) {
            // `RecvMeta` has fields that only some platforms know, so that it is changed rather than made.
            to.addr = from.source;
            to.len = from.bytes;
            to.stride = from.segment_bytes;
            to.ecn = from.mark.map(code_point_of);
            to.dst_ip = from.destination;
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket().as_ref().ok_or(io::ErrorKind::NotConnected)?.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket().as_ref().map_or(1, |socket| socket.transmit_segments_max())
    }

    fn max_receive_segments(&self) -> usize {
        self.socket().as_ref().map_or(1, |socket| socket.receive_segments_max())
    }

    fn may_fragment(&self) -> bool {
        self.socket().as_ref().is_some_and(|socket| socket.may_fragment())
    }
}

/// Whether an error tells of one peer, or of this moment, and not of the socket.
fn passes(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::Interrupted
    )
}

fn mark_of(code_point: EcnCodepoint) -> CongestionMark {
    match code_point {
        EcnCodepoint::Ect0 => CongestionMark::Ect0,
        EcnCodepoint::Ect1 => CongestionMark::Ect1,
        EcnCodepoint::Ce => CongestionMark::Congested,
    }
}

fn code_point_of(mark: CongestionMark) -> EcnCodepoint {
    match mark {
        CongestionMark::Ect0 => EcnCodepoint::Ect0,
        CongestionMark::Ect1 => EcnCodepoint::Ect1,
        CongestionMark::Congested => EcnCodepoint::Ce,
    }
}

/// Waits until the socket may take another datagram, for one connection.
struct Poller {
    adapter: Arc<Adapter>,
    waiting: Option<Writable>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let socket = this.adapter.socket();
        let Some(socket) = &*socket else { return Poll::Ready(Ok(())) };
        let waiting = this.waiting.get_or_insert_with(|| socket.clone().writable());
        let outcome = ready!(waiting.as_mut().poll(cx));
        this.waiting = None;
        Poll::Ready(outcome)
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("adapter", &self.adapter).finish_non_exhaustive()
    }
}
