//! The proof of both ends, as a strict state machine without I/O, clock or randomness.
//!
//! ```text
//! dialler   HELLO →          ← HELLO   acceptor
//!           PROOF →                    verifies, and only then
//!                            ← PROOF   answers
//!        verifies            ← VERDICT
//! ```
//!
//! A proof is an Ed25519 signature by the key of the role that the hello claims, over
//! `label ‖ direction ‖ TLS exporter ‖ dialler's hello ‖ acceptor's hello`. The exporter (RFC 8446, section 7.5) is
//! different in every TLS session, so that a proof is worth nothing in another: who sits in the middle has two sessions.
//! The direction keeps a node from being shown its own proof; the hellos keep it from being proved to somebody else, and
//! the version from being lowered.
//!
//! The dialler proves first and the acceptor verifies before it answers, so that a node which listens signs nothing
//! for a stranger. The dialler does sign for whom it dials, but only over the exporter of that very session.
//!
//! Everything before the proofs is the word of a stranger, on both sides: it may end this handshake and do nothing
//! else. That is why the verdict, on which a node may act, comes last, and is looked at only after the acceptor's proof.

mod error;
mod message;

use std::collections::VecDeque;

use phalanx_base::{Boot, Role};

pub use error::{HandshakeError, Refusal, Step, WireRange};
pub(crate) use message::Hello;
pub use message::{MESSAGE_BYTES_MAX, NONCE_BYTES};
use message::{Message, Verdict, encode_proof};

use crate::trust::{Credential, LocalNode};

/// Length of what is taken from the TLS exporter.
pub const EXPORTER_BYTES: usize = 32;
/// The label under which it is taken.
pub(crate) const EXPORTER_LABEL: &[u8] = b"EXPORTER-phalanx/1-proof";

/// Sets these signatures apart from whatever else these keys might ever sign.
const PROOF_LABEL: &[u8] = b"phalanx/1 proof\0";

/// Which end of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It dialled.
    Dialler,
    /// It listens.
    Acceptor,
}

/// Who a peer is, once it is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Which node, and which start of it. That it has this id is its own word; that it may be in the cluster is not.
    pub boot: Boot,
    /// The role that it has proved.
    pub role: Role,
    /// The wire version that both speak.
    pub wire: u16,
}

/// What the owner of a [`Handshake`] has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeEvent {
    /// The dialler has proved itself: answer by [`Handshake::handle_admission`]. Only at the acceptor.
    AskAdmission(Proven),
    /// Both have proved themselves and the acceptor takes the dialler: send what is left to send, then the link is live.
    Done(Proven),
    /// It is over. After [`HandshakeError::Refused`] at the acceptor, send what is left to send and let the dialler
    /// close; otherwise close at once.
    Failed(HandshakeError),
}

#[derive(Debug)]
enum State {
    /// Nothing came yet.
    AwaitHello,
    /// The hellos are exchanged.
    AwaitProof { peer: Proven, transcript: Transcript },
    /// The acceptor's owner has to say whether it takes the dialler.
    AwaitAdmission { peer: Proven, transcript: Transcript },
    /// The acceptor is proved; the dialler waits for its verdict.
    AwaitVerdict { peer: Proven },
    /// Done or failed: nothing is read any more.
    Over,
}

/// What both ends sign, but for the direction.
#[derive(Debug)]
struct Transcript {
    dialler: Vec<u8>,
    acceptor: Vec<u8>,
}

/// The handshake of one end of one connection.
///
/// - *in*: [`handle_message`](Self::handle_message), [`handle_admission`](Self::handle_admission);
/// - *out*: [`poll_transmit`](Self::poll_transmit), [`poll_event`](Self::poll_event), both until `None` after each
///   input and once at the start.
///
/// The owner reads messages of at most [`MESSAGE_BYTES_MAX`] bytes from the wire, limits the time, and closes the
/// connection when it fails.
#[derive(Debug)]
pub struct Handshake {
    end: End,
    local: Hello,
    credential: Credential,
    exporter: [u8; EXPORTER_BYTES],
    /// Who the peer says it is.
    claimed: Option<Boot>,
    state: State,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<HandshakeEvent>,
}

impl Handshake {
    /// A handshake that has not begun. `exporter` is from this very TLS session, `nonce` is random.
    #[must_use]
    pub fn new(
        end: End,
        local: &LocalNode,
        credential: Credential,
        exporter: [u8; EXPORTER_BYTES],
        nonce: [u8; NONCE_BYTES],
    ) -> Self {
        let local = Hello::new(local, nonce);
        let mut transmits = VecDeque::new();
        if end == End::Dialler {
            transmits.push_back(local.encode());
        }
        let (claimed, state, events) = (None, State::AwaitHello, VecDeque::new());
        Self { end, local, credential, exporter, claimed, state, transmits, events }
    }

    /// A whole message from the peer. Does nothing once the handshake is over.
    pub fn handle_message(&mut self, bytes: &[u8]) {
        let Some(expected) = self.expected() else { return };
        let outcome = Message::decode(bytes, expected).and_then(|message| self.advance(message, bytes));
        if let Err(error) = outcome {
            self.fail(error);
        }
    }

    /// Whether this node takes the dialler, after [`HandshakeEvent::AskAdmission`]. Does nothing at any other time.
    pub fn handle_admission(&mut self, admission: Result<(), Refusal>) {
        let (peer, transcript) = match std::mem::replace(&mut self.state, State::Over) {
            State::AwaitAdmission { peer, transcript } => (peer, transcript),
            other => {
                self.state = other;
                return;
            }
        };
        if let Err(error) = self.prove(&transcript) {
            return self.fail(error);
        }
        match admission {
            Ok(()) => {
                self.transmits.push_back(Verdict::Admitted.encode());
                self.events.push_back(HandshakeEvent::Done(peer));
            }
            Err(refusal) => {
                self.transmits.push_back(Verdict::Refused(refusal).encode());
                self.events.push_back(HandshakeEvent::Failed(HandshakeError::Refused(refusal)));
            }
        }
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<HandshakeEvent> {
        self.events.pop_front()
    }

    /// What we said of ourselves.
    pub(crate) fn local(&self) -> &Hello {
        &self.local
    }

    /// Who the peer says it is, proved or not; `None` before its hello.
    #[must_use]
    pub fn claimed(&self) -> Option<&Boot> {
        self.claimed.as_ref()
    }

    /// Which message is next; `None` when it is over. While the acceptor's owner decides that is the verdict, and it is
    /// not the peer's to send: whatever comes then fails.
    pub(crate) fn expected(&self) -> Option<Step> {
        match self.state {
            State::AwaitHello => Some(Step::Hello),
            State::AwaitProof { .. } => Some(Step::Proof),
            State::AwaitAdmission { .. } | State::AwaitVerdict { .. } => Some(Step::Verdict),
            State::Over => None,
        }
    }

    fn advance(&mut self, message: Message, raw: &[u8]) -> Result<(), HandshakeError> {
        match (std::mem::replace(&mut self.state, State::Over), message) {
            (State::AwaitHello, Message::Hello(hello)) => self.on_hello(&hello, raw),
            (State::AwaitProof { peer, transcript }, Message::Proof(proof)) => {
                self.on_proof(peer, transcript, &proof)
            }
            (State::AwaitVerdict { peer }, Message::Verdict(verdict)) => self.on_verdict(peer, verdict),
            // `Message::decode` returns what `expected` names and nothing else, so this is a dialler's own verdict.
            (_, _) => Err(HandshakeError::Malformed { expected: Step::Verdict }),
        }
    }

    fn on_hello(&mut self, theirs: &Hello, raw: &[u8]) -> Result<(), HandshakeError> {
        self.claimed = Some(theirs.boot());
        let wire = self.judge(theirs)?;
        let peer = Proven { boot: theirs.boot(), role: theirs.role, wire };
        let ours = self.local.encode();
        let transcript = match self.end {
            End::Dialler => {
                let transcript = Transcript { dialler: ours, acceptor: raw.to_vec() };
                self.prove(&transcript)?;
                transcript
            }
            End::Acceptor => {
                self.transmits.push_back(ours.clone());
                Transcript { dialler: raw.to_vec(), acceptor: ours }
            }
        };
        self.state = State::AwaitProof { peer, transcript };
        Ok(())
    }

    /// Whether two hellos fit; both ends come to the same conclusion. Returns the wire version.
    fn judge(&self, theirs: &Hello) -> Result<u16, HandshakeError> {
        let ours = &self.local;
        let Some(wire) = ours.wire.common(theirs.wire) else {
            return Err(HandshakeError::Version { ours: ours.wire, theirs: theirs.wire });
        };
        if ours.cluster != theirs.cluster {
            let (ours, theirs) = (ours.cluster.clone(), theirs.cluster.clone());
            return Err(HandshakeError::WrongCluster { ours, theirs });
        }
        if ours.boot() == theirs.boot() {
            return Err(HandshakeError::Myself);
        }
        match (ours.role, theirs.role) {
            (Role::Control, _) | (_, Role::Control) => {}
            (Role::Worker | Role::Operator, Role::Worker | Role::Operator) => {
                return Err(HandshakeError::NoControl);
            }
        }
        Ok(wire)
    }

    fn on_proof(&mut self, peer: Proven, transcript: Transcript, proof: &[u8]) -> Result<(), HandshakeError> {
        let theirs = match self.end {
            End::Dialler => End::Acceptor,
            End::Acceptor => End::Dialler,
        };
        let signed = signed_bytes(theirs, &self.exporter, &transcript);
        if !self.credential.verify(peer.role, &signed, proof) {
            // Who signs with the other role's key has a credential of this cluster, but not the right one.
            let other = if peer.role == Role::Worker { Role::Control } else { Role::Worker };
            return Err(match self.credential.verify(other, &signed, proof) {
                true => HandshakeError::RoleNotProven { claimed: peer.role },
                false => HandshakeError::WrongSecret,
            });
        }
        self.state = match self.end {
            End::Dialler => State::AwaitVerdict { peer },
            End::Acceptor => {
                self.events.push_back(HandshakeEvent::AskAdmission(peer.clone()));
                State::AwaitAdmission { peer, transcript }
            }
        };
        Ok(())
    }

    fn on_verdict(&mut self, peer: Proven, verdict: Verdict) -> Result<(), HandshakeError> {
        match verdict {
            Verdict::Admitted => self.events.push_back(HandshakeEvent::Done(peer)),
            Verdict::Refused(refusal) => return Err(HandshakeError::Refused(refusal)),
        }
        Ok(())
    }

    fn prove(&mut self, transcript: &Transcript) -> Result<(), HandshakeError> {
        let (role, signed) = (self.local.role, signed_bytes(self.end, &self.exporter, transcript));
        let proof =
            self.credential.sign(role, &signed).ok_or(HandshakeError::RoleNotProven { claimed: role })?;
        self.transmits.push_back(encode_proof(&proof));
        Ok(())
    }

    fn fail(&mut self, error: HandshakeError) {
        self.state = State::Over;
        self.events.push_back(HandshakeEvent::Failed(error));
    }
}

/// What the given end signs. Lengths before the hellos keep one pair of hellos from reading as another.
fn signed_bytes(end: End, exporter: &[u8; EXPORTER_BYTES], transcript: &Transcript) -> Vec<u8> {
    let mut bytes = PROOF_LABEL.to_vec();
    bytes.push(match end {
        End::Dialler => b'd',
        End::Acceptor => b'a',
    });
    bytes.extend_from_slice(exporter);
    for hello in [&transcript.dialler, &transcript.acceptor] {
        bytes.extend_from_slice(&(hello.len() as u32).to_le_bytes());
        bytes.extend_from_slice(hello);
    }
    bytes
}

#[cfg(test)]
mod tests;
