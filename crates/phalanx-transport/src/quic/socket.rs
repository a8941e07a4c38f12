//! Our [`UdpSocket`] as quinn wants it.
//!
//! quinn's endpoint ends on any error of its socket but one. An error that tells of a single peer (an ICMP message, say,
//! which anybody can forge) must not end the node, so it is turned into that one, which quinn ignores.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn::udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit as QuinnTransmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use crate::network::{CongestionMark, Received, Transmit, UdpSocket, Writable};

/// A socket of ours inside quinn.
#[derive(Debug)]
pub(crate) struct Adapter(Arc<dyn UdpSocket>);

impl Adapter {
    pub(crate) fn new(socket: Arc<dyn UdpSocket>) -> Self {
        Self(socket)
    }
}

impl AsyncUdpSocket for Adapter {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { socket: self.0.clone(), waiting: None })
    }

    fn try_send(&self, transmit: &QuinnTransmit<'_>) -> io::Result<()> {
        self.0.try_send(&Transmit {
            destination: transmit.destination,
            mark: transmit.ecn.map(mark_of),
            contents: transmit.contents,
            segment_bytes: transmit.segment_size,
            source: transmit.src_ip,
        })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut received = [Received::default(); BATCH_SIZE];
        let room = buffers.len().min(meta.len()).min(BATCH_SIZE);
        let count = match ready!(self.0.poll_recv(cx, &mut buffers[..room], &mut received[..room])) {
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
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.transmit_segments_max()
    }

    fn max_receive_segments(&self) -> usize {
        self.0.receive_segments_max()
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
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
    socket: Arc<dyn UdpSocket>,
    waiting: Option<Writable>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let waiting = this.waiting.get_or_insert_with(|| this.socket.clone().writable());
        let outcome = ready!(waiting.as_mut().poll(cx));
        this.waiting = None;
        Poll::Ready(outcome)
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("socket", &self.socket).finish_non_exhaustive()
    }
}
