//! How a worker changes hands: what control nodes say to each other, and the token by which the worker knows that its
//! owner has let go.
//!
//! The receiver asks ([`Wanted`]), the present owner offers ([`Offer`]) or the receiver declines ([`Declined`]). The token
//! travels through the receiver to the worker, which alone reads it.

use bytes::Bytes;
use phalanx_base::{Fence, Generation, NodeId};
use serde::{Deserialize, Serialize};

use super::TaskId;

/// I am the acting owner of a worker that you host: offer it to me.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Which worker.
    pub worker: NodeId,
    /// The boot to which the sender has a link.
    pub generation: Generation,
}

/// Take this worker. From here on the sender handles no event of it, until it is told to stand down or the offer has had
/// its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Which worker.
    pub worker: NodeId,
    /// Which boot of it: a state of another boot is worth nothing.
    pub generation: Generation,
    /// The fence that the sender holds.
    pub fence: Fence,
    /// Grows with each offer that the sender makes under this fence; sent again it is the same.
    pub number: u64,
    /// How long it may be used, in milliseconds: well before the sender goes on by itself.
    pub valid_ms: u64,
    /// A [`HandoverToken`] in its encoding, for the worker.
    pub token: Bytes,
    /// The control-side states that are too large for a checkpoint at the worker.
    pub states: Vec<TaskState>,
}

/// The control-side state of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskState {
    /// Which task.
    pub task: TaskId,
    /// The state, after everything that was acknowledged.
    pub state: Bytes,
}

/// The offer is not taken: go on as before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declined {
    /// Which worker.
    pub worker: NodeId,
    /// The fence of the offer.
    pub fence: Fence,
    /// Its number.
    pub number: u64,
}

/// The greatest sum of states in one offer, in bytes: with them an offer is still within its cap.
pub const OFFER_STATES_BYTES_MAX: usize = 768 << 10;

/// By whom a worker may be taken over, and from where: refused unless all of it is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverToken {
    /// Which worker is given away.
    pub worker: NodeId,
    /// Which boot of it.
    pub generation: Generation,
    /// The fence of the giver, which must be the present one.
    pub fence: Fence,
    /// Who may take it.
    pub receiver: NodeId,
    /// What the giver has acknowledged, which must be what has arrived.
    pub cursors: CursorsDigest,
}

impl HandoverToken {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let bytes = postcard::to_stdvec(self);
        bytes.expect("a token is made of numbers, strings and bytes, which always encode").into()
    }

    /// The token in these bytes; `None` where there is none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match postcard::take_from_bytes(bytes) {
            Ok((token, [])) => Some(token),
            _ => None,
        }
    }
}

/// How far every event log of a worker is acknowledged, in 32 bytes: BLAKE3 over how many were acknowledged to their end
/// under the present fence, and each (task, number) in order of the tasks. Logs of which nothing is acknowledged do not
/// count, since only one end may know them yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorsDigest(pub [u8; 32]);

impl CursorsDigest {
    /// The digest of these, which come in the order of their tasks.
    #[must_use]
    pub fn of<'a>(closed: u64, acknowledged: impl IntoIterator<Item = (&'a TaskId, u64)>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&closed.to_le_bytes());
        for (task, through) in acknowledged.into_iter().filter(|(_, through)| *through > 0) {
            let TaskId(call) = task;
            let node = call.caller.node.as_str();
            // The length first, so that no two lists have the same bytes.
            hasher.update(&(node.len() as u64).to_le_bytes());
            hasher.update(node.as_bytes());
            for number in [call.caller.generation.as_u64(), call.sequence, through] {
                hasher.update(&number.to_le_bytes());
            }
        }
        Self(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::CallId;
    use phalanx_base::Boot;

    fn task(sequence: u64) -> TaskId {
        let caller = Boot { node: NodeId::new("c").unwrap(), generation: Generation::from_u64(1) };
        TaskId(CallId { caller, sequence })
    }

    #[test]
    fn a_digest_knows_every_number_and_nothing_that_is_not_acknowledged() {
        let (one, two) = (task(1), task(2));
        let digest = CursorsDigest::of(1, [(&one, 5), (&two, 7)]);
        assert_eq!(digest, CursorsDigest::of(1, [(&one, 5), (&two, 7), (&task(3), 0)]));
        assert_ne!(digest, CursorsDigest::of(1, [(&one, 5), (&two, 8)]));
        assert_ne!(digest, CursorsDigest::of(1, [(&one, 5)]));
        assert_ne!(digest, CursorsDigest::of(2, [(&one, 5), (&two, 7)]));
    }

    #[test]
    fn a_token_survives_its_encoding_and_nonsense_is_none() {
        let token = HandoverToken {
            worker: NodeId::new("w").unwrap(),
            generation: Generation::from_u64(3),
            fence: Fence(4),
            receiver: NodeId::new("b").unwrap(),
            cursors: CursorsDigest([7; 32]),
        };
        let bytes = token.encode();
        assert_eq!(HandoverToken::decode(&bytes), Some(token));
        assert_eq!(HandoverToken::decode(&bytes[1..]), None);
        assert_eq!(HandoverToken::decode(&[&bytes[..], &[0]].concat()), None);
    }
}
