//! Dialling: one transport, or each of them in turn until one leads to a link.
//!
//! As happy eyeballs do for addresses (RFC 8305), a transport that does not answer is not waited for: after a moment the
//! next one is tried beside it. Only one of them proves at a time, so that the peer sees one link, and not two of which one
//! is dropped.

mod paths;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use phalanx_base::TransportKind;
use quinn::ConnectError;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep_until};

use crate::endpoint::DialError;
use crate::link::{Link, canonical};
use crate::prove::Prover;
use crate::quic::tls::SERVER_NAME;
use crate::tcp::TcpSide;
use paths::Paths;

/// How long a transport has for itself: QUIC's first packet, and two more should that be lost.
const HEAD_START: Duration = Duration::from_secs(2);

/// What dials.
pub(crate) struct Dialler {
    pub(crate) quinn: quinn::Endpoint,
    pub(crate) client: quinn::ClientConfig,
    pub(crate) prover: Arc<Prover>,
    pub(crate) tcp: Option<Arc<TcpSide>>,
    pub(crate) timeout: Duration,
    paths: Mutex<Paths>,
}

impl Dialler {
    pub(crate) fn new(
        quinn: quinn::Endpoint,
        client: quinn::ClientConfig,
        prover: Arc<Prover>,
        tcp: Option<Arc<TcpSide>>,
        timeout: Duration,
    ) -> Self {
        Self { quinn, client, prover, tcp, timeout, paths: Mutex::default() }
    }

    /// Every transport there is, in the order in which to try them.
    fn order(&self, address: SocketAddr) -> Vec<TransportKind> {
        if self.tcp.is_none() {
            return vec![TransportKind::Quic];
        }
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        paths.order(Instant::now(), canonical(address))
    }

    fn proven(&self, address: SocketAddr, kind: TransportKind) {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        paths.proven(Instant::now(), canonical(address), kind);
    }

    /// Dials over one transport, or each in turn.
    pub(crate) async fn dial(
        &self,
        address: SocketAddr,
        over: Option<TransportKind>,
    ) -> Result<Link, DialError> {
        let deadline = Instant::now() + self.timeout;
        let mut order = over.map_or_else(|| self.order(address), |kind| vec![kind]).into_iter();
        let proving = AsyncMutex::new(());
        // A busy peer has answered over one transport long before it has proven itself: to try the others too would make it
        // busier still.
        let answered = AtomicBool::new(false);
        let (mut attempts, mut next_at, mut failed) = (FuturesUnordered::new(), Instant::now(), None);
        loop {
            if answered.load(Ordering::Relaxed) && !attempts.is_empty() {
                next_at = deadline;
            }
            if attempts.is_empty() || (Instant::now() >= next_at && order.len() > 0) {
                let Some(kind) = order.next() else {
                    return Err(failed.unwrap_or(DialError::TimedOut));
                };
                attempts.push(self.attempt(address, kind, &proving, &answered));
                next_at = Instant::now() + HEAD_START;
            }
            let has_next = order.len() > 0;
            tokio::select! {
                biased;
                Some((kind, outcome)) = attempts.next() => match outcome {
                    Ok(link) => {
                        if over.is_none() {
                            self.proven(address, kind);
                        }
                        return Ok(link);
                    }
                    Err(error) if !is_of_the_way(&error) => return Err(error),
                    Err(error) => {
                        tracing::debug!(%address, %kind, %error, "a transport did not get through");
                        failed.get_or_insert(error);
                        answered.store(false, Ordering::Relaxed);
                        next_at = Instant::now();
                    }
                },
                () = sleep_until(deadline) => return Err(failed.unwrap_or(DialError::TimedOut)),
                () = sleep_until(next_at), if has_next => {}
            }
        }
    }

    async fn attempt(
        &self,
        address: SocketAddr,
        kind: TransportKind,
        proving: &AsyncMutex<()>,
        answered: &AtomicBool,
    ) -> (TransportKind, Result<Link, DialError>) {
        // A dial is rare, and its future would make each one large that dials somewhere below.
        let outcome = match kind {
            TransportKind::Quic => Box::pin(self.over_quic(address, proving, answered)).await,
            TransportKind::Tls | TransportKind::WebSocket => {
                Box::pin(self.over_tcp(address, kind, proving, answered)).await
            }
        };
        (kind, outcome)
    }

    async fn over_quic(
        &self,
        address: SocketAddr,
        proving: &AsyncMutex<()>,
        answered: &AtomicBool,
    ) -> Result<Link, DialError> {
        let connecting = self.quinn.connect_with(self.client.clone(), address, SERVER_NAME);
        let connecting = connecting.map_err(|error| match error {
            ConnectError::EndpointStopping => DialError::Closed,
            error => DialError::Unreachable { address, why: error.to_string() },
        })?;
        let connecting = async {
            let mut connecting = connecting;
            // Where that fails the connection says why.
            answered.store(connecting.handshake_data().await.is_ok(), Ordering::Relaxed);
            connecting.await
        };
        let mut watch = self.prover.evidence.watch_dial(address);
        let connection = tokio::select! {
            biased;
            connection = connecting => connection?,
            () = watch.unreachable() => {
                let why = "its host says that nobody listens there".to_owned();
                return Err(DialError::Unreachable { address, why });
            }
        };
        drop(watch);
        let _turn = proving.lock().await;
        Ok(self.prover.dialled(connection).await?)
    }

    async fn over_tcp(
        &self,
        address: SocketAddr,
        kind: TransportKind,
        proving: &AsyncMutex<()>,
        answered: &AtomicBool,
    ) -> Result<Link, DialError> {
        let Some(tcp) = &self.tcp else {
            let why = format!("this network has no TCP, which {kind} needs");
            return Err(DialError::Unreachable { address, why });
        };
        let secured = tcp.connect(address, kind).await?;
        answered.store(true, Ordering::Relaxed);
        let _turn = proving.lock().await;
        Ok(self.prover.dialled_tcp(secured, &tcp.links).await?)
    }
}

/// Whether an error tells of the way to a peer, which another transport may not take, and not of the peer.
fn is_of_the_way(error: &DialError) -> bool {
    matches!(error, DialError::Unreachable { .. } | DialError::TimedOut | DialError::Lost(_))
}

#[cfg(test)]
mod tests;
