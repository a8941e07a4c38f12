//! For tests: real sockets behind a network that can be told to lie and to swallow.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::network::{Network, Received, Tcp, Transmit, UdpSocket, Unreachable, Writable};
use crate::network_tokio::TokioNetwork;

/// Real sockets; what nobody said can be heard on them, and nothing goes through while they are mute.
#[derive(Debug, Clone)]
pub(crate) struct Liar {
    forge: mpsc::Sender<SocketAddr>,
    forged: Arc<AsyncMutex<mpsc::Receiver<SocketAddr>>>,
    mute: Arc<AtomicBool>,
}

impl Liar {
    pub(crate) fn new() -> Self {
        let (forge, forged) = mpsc::channel(1000);
        Self { forge, forged: Arc::new(AsyncMutex::new(forged)), mute: Arc::default() }
    }

    /// From now on nothing goes through.
    pub(crate) fn mute(&self) {
        self.mute.store(true, Ordering::SeqCst);
    }

    /// From now on all goes through.
    pub(crate) fn unmute(&self) {
        self.mute.store(false, Ordering::SeqCst);
    }

    /// What a host says whose process is dead.
    pub(crate) fn say_dead(&self, address: SocketAddr) {
        self.forge.try_send(address).unwrap();
    }
}

impl Network for Liar {
    fn bind(&self, listen: SocketAddr) -> io::Result<Arc<dyn UdpSocket>> {
        Ok(Arc::new(LyingSocket { real: TokioNetwork.bind(listen)?, liar: self.clone() }))
    }

    fn tcp(&self) -> Option<Arc<dyn Tcp>> {
        TokioNetwork.tcp()
    }
}

#[derive(Debug)]
struct LyingSocket {
    real: Arc<dyn UdpSocket>,
    liar: Liar,
}

impl UdpSocket for LyingSocket {
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.liar.mute.load(Ordering::SeqCst) { Ok(()) } else { self.real.try_send(transmit) }
    }
    fn writable(self: Arc<Self>) -> Writable {
        self.real.clone().writable()
    }
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> Poll<io::Result<usize>> {
        loop {
            let count = ready!(self.real.poll_recv(cx, buffers, received))?;
            if !self.liar.mute.load(Ordering::SeqCst) {
                return Poll::Ready(Ok(count));
            }
        }
    }
    fn unreachable(self: Arc<Self>) -> Unreachable {
        let forged = self.liar.forged.clone();
        Box::pin(async move { forged.lock().await.recv().await.unwrap() })
    }
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.real.local_addr()
    }
}
