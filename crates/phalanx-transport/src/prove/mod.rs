//! Runs the handshake's state machine over a connection: moves bytes, keeps the time, closes what failed.

mod channel;
mod tcp;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use phalanx_base::{Boot, Entropy};
use quinn::{Connection, Incoming};
use tokio::time::{Instant, timeout_at};

use crate::admit::Admit;
use crate::close::CloseReason;
use crate::endpoint::DialError;
use crate::evidence::Evidence;
use crate::handshake::{
    EXPORTER_BYTES, EXPORTER_LABEL, End, Handshake, HandshakeError, HandshakeEvent, Proven, Refusal, Step,
};
use crate::link::{Link, Peer, canonical, streams_max};
use crate::quic::carrier::QuicCarrier;
use crate::quic::settings::{draw, widen};
use crate::trust::{Credential, LocalNode};
use channel::{Channel, ChannelError, QuicChannel};

/// What every handshake of an endpoint needs.
pub(crate) struct Prover {
    pub(crate) local: LocalNode,
    pub(crate) credential: Credential,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) admit: Arc<dyn Admit>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) endpoint_closed: Arc<OnceLock<CloseReason>>,
    pub(crate) evidence: Arc<Evidence>,
}

/// How a handshake ended without a link.
#[derive(Debug)]
pub(crate) enum ProofError {
    /// This end found that it cannot be.
    Here(HandshakeError),
    /// The peer found that it cannot be, and said so.
    There(HandshakeError),
    /// The connection was lost.
    Lost(DialError),
}

impl Prover {
    /// Proves a connection that this node dialled.
    pub(crate) async fn dialled(&self, connection: Connection) -> Result<Link, ProofError> {
        let deadline = Instant::now() + self.handshake_timeout;
        let (_, outcome) = self.run(End::Dialler, &connection, deadline).await;
        self.conclude(End::Dialler, connection, outcome)
    }

    /// Takes a connection that came in as far as a link; `None`, and a line in the log, when that cannot be.
    pub(crate) async fn incoming(self: Arc<Self>, incoming: Incoming) -> Option<Link> {
        let deadline = Instant::now() + self.handshake_timeout;
        let remote = canonical(incoming.remote_address());
        let connecting = incoming.accept().ok()?;
        let connection = match timeout_at(deadline, connecting).await {
            Ok(Ok(connection)) => connection,
            // Not even TLS: a scanner, or packets with a forged source. Too cheap to make for more than this.
            Ok(Err(error)) => {
                tracing::debug!(%remote, %error, "an incoming connection came to nothing");
                return None;
            }
            Err(_elapsed) => {
                tracing::debug!(%remote, "an incoming connection did not get to TLS in time");
                return None;
            }
        };
        let (handshake, outcome) = self.run(End::Acceptor, &connection, deadline).await;
        let told = matches!(outcome, Err(ProofError::Here(HandshakeError::Refused(_))));
        if told {
            // The dialler has a verdict to read; closing now might take it away.
            let _ = timeout_at(deadline, connection.closed()).await;
        }
        match self.conclude(End::Acceptor, connection, outcome) {
            Ok(link) => Some(link),
            Err(error) => {
                self.refused(remote, handshake.claimed(), &error);
                None
            }
        }
    }

    /// Makes a link of a handshake that is done, and closes the connection of one that failed.
    fn conclude(
        &self,
        end: End,
        connection: Connection,
        outcome: Result<Proven, ProofError>,
    ) -> Result<Link, ProofError> {
        match outcome {
            Ok(Proven { boot, role, wire }) => {
                widen(&connection, end, streams_max(self.local.role, role));
                let remote = Some(canonical(connection.remote_address()));
                let peer = Peer { boot, role, remote, dialled: end == End::Dialler, wire };
                let carrier = Arc::new(QuicCarrier::new(connection, self.endpoint_closed.clone()));
                self.evidence.watch(&carrier);
                Ok(Link::quic(carrier, peer))
            }
            Err(error) => {
                if let ProofError::Here(error) = &error {
                    let (code, detail) = error.encode();
                    connection.close(code.into(), &detail);
                }
                Err(error)
            }
        }
    }

    /// The one line that is logged for each refusal. It holds what was said in the clear, and nothing secret.
    fn refused(&self, remote: SocketAddr, claimed: Option<&Boot>, error: &ProofError) {
        let claimed = claimed.map_or_else(|| "unknown".to_owned(), ToString::to_string);
        match error {
            // A list of all nodes names this one too: a node that finds itself in it is no event.
            ProofError::Here(error @ (HandshakeError::Myself | HandshakeError::Refused(Refusal::Myself))) => {
                tracing::info!(%remote, "this node has dialled itself");
                self.admit.refused(remote, error);
            }
            ProofError::Here(error) => {
                tracing::warn!(%remote, %claimed, %error, "a peer was refused");
                self.admit.refused(remote, error);
            }
            ProofError::There(error) => {
                tracing::warn!(%remote, %claimed, %error, "a peer refused this node");
                self.admit.refused(remote, error);
            }
            ProofError::Lost(error) => {
                tracing::warn!(%remote, %claimed, %error, "a peer was lost during its handshake");
            }
        }
    }

    /// Runs a handshake over a QUIC connection.
    async fn run(
        &self,
        end: End,
        connection: &Connection,
        deadline: Instant,
    ) -> (Handshake, Result<Proven, ProofError>) {
        let mut exporter = [0; EXPORTER_BYTES];
        let exported = connection.export_keying_material(&mut exporter, EXPORTER_LABEL, b"");
        let exporter = exported.is_ok().then_some(exporter);
        self.run_over(end, &mut QuicChannel::new(end, connection), exporter, deadline).await
    }

    async fn run_over(
        &self,
        end: End,
        channel: &mut impl Channel,
        exporter: Option<[u8; EXPORTER_BYTES]>,
        deadline: Instant,
    ) -> (Handshake, Result<Proven, ProofError>) {
        let nonce = draw(&*self.entropy);
        let exported = exporter.unwrap_or([0; EXPORTER_BYTES]);
        let mut handshake = Handshake::new(end, &self.local, self.credential.clone(), exported, nonce);
        if exporter.is_none() {
            // Only without a finished TLS session, which a connection that comes here has.
            return (handshake, Err(ProofError::Here(HandshakeError::WrongSecret)));
        }
        let outcome = match timeout_at(deadline, self.exchange(channel, &mut handshake)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(ProofError::Here(HandshakeError::TimedOut)),
        };
        (handshake, outcome)
    }

    async fn exchange(
        &self,
        channel: &mut impl Channel,
        handshake: &mut Handshake,
    ) -> Result<Proven, ProofError> {
        loop {
            while let Some(event) = handshake.poll_event() {
                match event {
                    HandshakeEvent::AskAdmission(peer) => {
                        handshake.handle_admission(self.admit.admit(&peer.boot, peer.role));
                    }
                    HandshakeEvent::Done(peer) => {
                        send_all(channel, handshake).await?;
                        return Ok(peer);
                    }
                    HandshakeEvent::Failed(error) => {
                        if matches!(error, HandshakeError::Refused(_)) {
                            send_all(channel, handshake).await?;
                        }
                        return Err(ProofError::Here(error));
                    }
                }
            }
            send_all(channel, handshake).await?;
            let message = channel.receive().await.map_err(|error| failed(error, handshake))?;
            handshake.handle_message(&message);
        }
    }
}

/// Sends what the handshake has to send.
async fn send_all(channel: &mut impl Channel, handshake: &mut Handshake) -> Result<(), ProofError> {
    while let Some(message) = handshake.poll_transmit() {
        channel.send(&message).await.map_err(|error| failed(error, handshake))?;
    }
    Ok(())
}

/// Why the handshake is over; perhaps by a close that says it.
fn failed(error: ChannelError, handshake: &Handshake) -> ProofError {
    match error {
        ChannelError::Broken => {
            let expected = handshake.expected().unwrap_or(Step::Hello);
            ProofError::Here(HandshakeError::Malformed { expected })
        }
        ChannelError::Lost { error, told } => {
            let told =
                told.and_then(|(code, detail)| HandshakeError::decode(code, &detail, handshake.local()));
            told.map_or(ProofError::Lost(error), ProofError::There)
        }
    }
}
