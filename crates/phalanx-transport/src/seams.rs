//! What an endpoint takes from outside, in one value: a simulator replaces exactly this.

use std::fmt::{self, Debug, Formatter};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use phalanx_base::{Entropy, Spawn, Work};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime};
use rustls::crypto::CryptoProvider;

use crate::entropy::SystemEntropy;
use crate::network::Network;
use crate::network_tokio::TokioNetwork;

/// The network, randomness, cryptography and tasks of an [`Endpoint`](crate::Endpoint).
#[derive(Clone)]
pub struct Seams<'a> {
    /// Where sockets come from.
    pub network: &'a dyn Network,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// The algorithms of TLS, and their own randomness.
    pub tls: TlsProvider,
    /// How QUIC's tasks are started.
    pub spawn: Arc<dyn Spawn>,
}

impl Seams<'_> {
    /// The real world; tasks go to the tokio runtime that runs whoever starts them.
    #[must_use]
    pub fn real() -> Self {
        Self {
            network: &TokioNetwork,
            entropy: Arc::new(SystemEntropy::new()),
            tls: TlsProvider::ring(),
            spawn: Arc::new(OnTokio),
        }
    }
}

/// The cryptography of TLS: ring's unless a build needs another one, such as a validated module, or a simulator one whose
/// keys come from a seed. It must offer TLS 1.3 with Ed25519 and AES-128-GCM, which QUIC's first packets are made with.
#[derive(Clone)]
pub struct TlsProvider(pub(crate) Arc<CryptoProvider>);

impl TlsProvider {
    /// ring's.
    #[must_use]
    pub fn ring() -> Self {
        Self(Arc::new(rustls::crypto::ring::default_provider()))
    }

    /// Another one.
    #[must_use]
    pub fn new(provider: CryptoProvider) -> Self {
        Self(Arc::new(provider))
    }
}

impl Debug for TlsProvider {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("TlsProvider")
    }
}

/// Starts everything where the caller runs.
struct OnTokio;

impl Spawn for OnTokio {
    fn spawn(&self, work: Work) {
        tokio::spawn(work);
    }

    fn spawn_user(&self, work: Work) {
        tokio::spawn(work);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        tokio::task::spawn_blocking(work);
    }
}

/// quinn's view of the runtime: tokio's clock and timers, and tasks through the seam.
pub(crate) struct SpawnRuntime(pub(crate) Arc<dyn Spawn>);

impl Debug for SpawnRuntime {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SpawnRuntime")
    }
}

impl Runtime for SpawnRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(work);
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> std::io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}
