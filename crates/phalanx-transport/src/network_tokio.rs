//! The real network: tokio's sockets, driven through quinn-udp so that segmentation offload (GSO, GRO) and congestion
//! marks work where the system has them.
//!
//! On Linux the socket also has an error queue (`error_queue`), which tells whose process is dead. That has two costs:
//! an error about one datagram fails the next call, whomever that one concerns, so that such calls are repeated; and
//! tokio takes the first error for the end of writing, so that its word that the socket may be written is worth nothing
//! from then on.

#[cfg(target_os = "linux")]
mod error_queue;
mod tcp;

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use quinn::udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSocketState};
use tokio::io::{Interest, Ready};

#[cfg(target_os = "linux")]
use crate::network::Unreachable;
use crate::network::{CongestionMark, Network, Received, Tcp, Transmit, UdpSocket, Writable};
use tcp::TokioTcp;

/// What is asked of the kernel for each direction: at 1 Gbit/s, 16 ms of traffic. It may grant less.
const SOCKET_BUFFER_BYTES: usize = 2 * 1024 * 1024;
/// How often a call is made that fails because of an earlier datagram. Each failure takes one error away; more errors than
/// this within one call come from a flood, and then a datagram is lost.
const TRIES_MAX: usize = 4;
/// How long to wait for a full send buffer once tokio cannot say when there is room: a sixteenth of what it takes to
/// empty it at 1 Gbit/s.
const FULL_BUFFER_PAUSE: Duration = Duration::from_millis(1);

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
        #[cfg(target_os = "linux")]
        if let Err(error) = error_queue::enable(&socket) {
            tracing::debug!(%error, "the system does not tell whose process is dead: links find out by silence");
        }
        let io = tokio::net::UdpSocket::from_std(socket)?;
        Ok(Arc::new(TokioSocket { io, state, is_full: AtomicBool::new(false) }))
    }

    fn tcp(&self) -> Option<Arc<dyn Tcp>> {
        Some(Arc::new(TokioTcp))
    }
}

#[derive(Debug)]
struct TokioSocket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    /// The last datagram found no room in the send buffer.
    is_full: AtomicBool,
}

impl TokioSocket {
    fn send(&self, transmit: &quinn::udp::Transmit<'_>) -> io::Result<()> {
        let mut outcome = Ok(());
        for _ in 0..TRIES_MAX {
            outcome = self.state.try_send((&self.io).into(), transmit);
            match &outcome {
                Err(error) if is_of_earlier_datagram(error) => {}
                _ => break,
            }
        }
        outcome
    }
}

/// Whether an error may tell of a datagram that was sent before, perhaps to somebody else. Elsewhere than on Linux a socket
/// that talks to everybody hears of no such thing.
fn is_of_earlier_datagram(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    return error_queue::is_from_network(error);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = error;
        false
    }
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
        let outcome = self.io.try_io(Interest::WRITABLE, || self.send(&transmit));
        let is_full = outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if is_full {
            self.is_full.store(true, Ordering::Relaxed);
        }
        outcome
    }

    fn writable(self: Arc<Self>) -> Writable {
        Box::pin(async move {
            if self.is_full.load(Ordering::Relaxed) {
                let ready = self.io.ready(Interest::WRITABLE).await?;
                if (ready & Ready::WRITABLE).is_empty() {
                    tokio::time::sleep(FULL_BUFFER_PAUSE).await;
                }
                self.is_full.store(false, Ordering::Relaxed);
            }
            Ok(())
        })
    }

    #[cfg(target_os = "linux")]
    fn unreachable(self: Arc<Self>) -> Unreachable {
        Box::pin(async move {
            // Fails only when the runtime ends.
            while self.io.ready(Interest::ERROR).await.is_ok() {
                match self.io.try_io(Interest::ERROR, || error_queue::read(&self.io)) {
                    Ok(Some(address)) => return address,
                    // An error of another kind, or none any more.
                    Ok(None) => tokio::task::yield_now().await,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        tracing::debug!(%error, "the error queue of the socket cannot be read");
                        break;
                    }
                }
            }
            std::future::pending().await
        })
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
                Err(error) if is_of_earlier_datagram(&error) => {}
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

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
