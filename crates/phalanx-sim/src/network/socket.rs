//! One UDP socket of a simulated machine.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use phalanx_transport::{Received, Transmit, UdpSocket, Unreachable, Writable};

use super::{Packet, Wire};

/// How many datagrams wait to be read before more are lost: about what Linux keeps by default for packets of this size.
const WAITING_MAX: usize = 256;

/// How many hints about dead peers wait.
const HINTS_MAX: usize = 64;

#[derive(Default)]
struct Waiting {
    datagrams: VecDeque<(SocketAddr, Bytes)>,
    hints: VecDeque<SocketAddr>,
    reader: Option<Waker>,
    hint_reader: Option<Waker>,
    closed: bool,
}

/// What has arrived for a socket.
#[derive(Default)]
pub(super) struct Port(Mutex<Waiting>);

impl Port {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn receive(&self, from: SocketAddr, contents: Bytes) {
        let mut waiting = self.lock();
        if waiting.datagrams.len() < WAITING_MAX {
            waiting.datagrams.push_back((from, contents));
        }
        wake(waiting.reader.take());
    }

    pub(super) fn hint(&self, address: SocketAddr) {
        let mut waiting = self.lock();
        if waiting.hints.len() < HINTS_MAX {
            waiting.hints.push_back(address);
        }
        wake(waiting.hint_reader.take());
    }

    /// Its process has died.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A bound socket.
pub(super) struct SimSocket {
    pub(super) wire: Arc<Wire>,
    pub(super) local: SocketAddr,
    pub(super) port: Arc<Port>,
}

impl Debug for SimSocket {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimSocket").field(&self.local).finish()
    }
}

impl UdpSocket for SimSocket {
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.port.lock().closed {
            return Ok(());
        }
        let size = transmit.segment_bytes.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(size) {
            let packet = Packet::Datagram(Bytes::copy_from_slice(datagram));
            self.wire.send(self.local, transmit.destination, &packet);
        }
        Ok(())
    }

    fn writable(self: Arc<Self>) -> Writable {
        Box::pin(std::future::ready(Ok(())))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> Poll<io::Result<usize>> {
        let mut waiting = self.port.lock();
        let mut count = 0;
        for (buffer, description) in buffers.iter_mut().zip(received.iter_mut()) {
            let Some((source, contents)) = waiting.datagrams.pop_front() else { break };
            // What does not fit is cut, as by a system.
            let bytes = contents.len().min(buffer.len());
            buffer[..bytes].copy_from_slice(&contents[..bytes]);
            *description = Received { source, bytes, segment_bytes: bytes, mark: None, destination: None };
            count += 1;
        }
        if count > 0 {
            return Poll::Ready(Ok(count));
        }
        waiting.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn unreachable(self: Arc<Self>) -> Unreachable {
        Box::pin(std::future::poll_fn(move |cx| {
            let mut waiting = self.port.lock();
            match waiting.hints.pop_front() {
                Some(address) => Poll::Ready(address),
                None => {
                    waiting.hint_reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let mut state = self.wire.lock();
        // A socket that was closed by the death of its process must not take that of the next one with it.
        if state.ports.get(&self.local).is_some_and(|port| Arc::ptr_eq(port, &self.port)) {
            state.ports.remove(&self.local);
        }
    }
}
