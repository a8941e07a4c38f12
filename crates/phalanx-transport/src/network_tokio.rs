//! The real network: tokio's sockets, driven through quinn-udp so that segmentation offload (GSO, GRO) and congestion
//! marks work where the system has them.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn::udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSocketState};
use tokio::io::Interest;

use crate::network::{CongestionMark, Network, Received, Transmit, UdpSocket, Writable};

/// What is asked of the kernel for each direction: at 1 Gbit/s, 16 ms of traffic. It may grant less.
const SOCKET_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// The real network. Sockets must be bound inside a tokio runtime with I/O enabled.
///
/// A socket bound to `[::]` serves IPv4 too where that is the system's default (as on Linux).
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioNetwork;

impl Network for TokioNetwork {
    fn bind(&self, listen: SocketAddr) -> io::Result<Arc<dyn UdpSocket>> {
        let socket = std::net::UdpSocket::bind(listen)?;
        let state = UdpSocketState::new((&socket).into())?;
        for outcome in [
            state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER_BYTES),
            state.set_send_buffer_size((&socket).into(), SOCKET_BUFFER_BYTES),
        ] {
            if let Err(error) = outcome {
                tracing::debug!(%error, "the system keeps its own size of socket buffer");
            }
        }
        let io = tokio::net::UdpSocket::from_std(socket)?;
        Ok(Arc::new(TokioSocket { io, state }))
    }
}

#[derive(Debug)]
struct TokioSocket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
}

impl UdpSocket for TokioSocket {
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let transmit = quinn::udp::Transmit {
            destination: transmit.destination,
            ecn: transmit.mark.map(to_quinn),
            contents: transmit.contents,
            segment_size: transmit.segment_bytes,
            src_ip: transmit.source,
        };
        self.io.try_io(Interest::WRITABLE, || self.state.send((&self.io).into(), &transmit))
    }

    fn writable(self: Arc<Self>) -> Writable {
        Box::pin(async move { self.io.writable().await })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> Poll<io::Result<usize>> {
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        let room = buffers.len().min(received.len()).min(BATCH_SIZE);
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let outcome = self.io.try_io(Interest::READABLE, || {
                self.state.recv((&self.io).into(), &mut buffers[..room], &mut meta[..room])
            });
            match outcome {
                Ok(count) => {
                    for (to, from) in received.iter_mut().zip(&meta).take(count) {
                        *to = Received {
                            source: from.addr,
                            bytes: from.len,
                            segment_bytes: from.stride,
                            mark: from.ecn.map(from_quinn),
                            destination: from.dst_ip,
                        };
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn transmit_segments_max(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn receive_segments_max(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

fn to_quinn(mark: CongestionMark) -> EcnCodepoint {
    match mark {
        CongestionMark::Ect0 => EcnCodepoint::Ect0,
        CongestionMark::Ect1 => EcnCodepoint::Ect1,
        CongestionMark::Congested => EcnCodepoint::Ce,
    }
}

fn from_quinn(mark: EcnCodepoint) -> CongestionMark {
    match mark {
        EcnCodepoint::Ect0 => CongestionMark::Ect0,
        EcnCodepoint::Ect1 => CongestionMark::Ect1,
        EcnCodepoint::Ce => CongestionMark::Congested,
    }
}
