//! The handshake over TLS over TCP.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::channel::BytesChannel;
use super::{ProofError, Prover};
use crate::handshake::{End, HandshakeError, Proven};
use crate::link::{Link, Peer, streams_max};
use crate::tcp::{Secured, TcpLinks};

/// How long a peer that is refused may take to hear why.
const REFUSAL_TIME: Duration = Duration::from_millis(500);

impl Prover {
    /// Proves a connection that this node dialled.
    pub(crate) async fn dialled_tcp(&self, secured: Secured, links: &TcpLinks) -> Result<Link, ProofError> {
        let deadline = Instant::now() + self.handshake_timeout;
        self.prove_tcp(End::Dialler, secured, links, deadline).await
    }

    /// Takes a connection that came in, until `deadline`; `None`, and a line in the log, when there is no link.
    pub(crate) async fn incoming_tcp(
        &self,
        secured: Secured,
        links: &TcpLinks,
        deadline: Instant,
    ) -> Option<Link> {
        self.prove_tcp(End::Acceptor, secured, links, deadline).await.ok()
    }

    async fn prove_tcp(
        &self,
        end: End,
        Secured { mut io, exporter, route }: Secured,
        links: &TcpLinks,
        deadline: Instant,
    ) -> Result<Link, ProofError> {
        let mut channel = BytesChannel(&mut *io);
        let (handshake, outcome) = self.run_over(end, &mut channel, exporter, deadline).await;
        match outcome {
            Ok(Proven { boot, role, wire }) => {
                let peer =
                    Peer { boot, role, remote: Some(route.remote), dialled: end == End::Dialler, wire };
                let carrier = links.begin(io, end, route, streams_max(self.local.role, role));
                Ok(Link::mux(carrier, peer))
            }
            Err(error) => {
                match &error {
                    ProofError::Here(HandshakeError::Refused(_)) if end == End::Acceptor => {
                        // The dialler has a verdict to read; closing now might take it away.
                        let _ = timeout_at(deadline, channel.closed()).await;
                    }
                    ProofError::Here(error) => {
                        let (code, detail) = error.encode();
                        let told = async {
                            if channel.close(code, &detail).await.is_ok() {
                                channel.closed().await;
                            }
                        };
                        let _ = timeout(REFUSAL_TIME, told).await;
                    }
                    ProofError::There(_) | ProofError::Lost(_) => {}
                }
                if end == End::Acceptor {
                    self.refused(route.remote, handshake.claimed(), &error);
                }
                Err(error)
            }
        }
    }
}
