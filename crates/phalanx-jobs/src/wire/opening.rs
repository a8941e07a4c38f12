//! What a stream is for, and the frames of a transfer.

use bytes::Bytes;
use phalanx_base::{Fence, Generation, NodeId};
use serde::{Deserialize, Serialize};

use super::{DecodeError, Frame, GatewayCall, GatewayCancel, GatewayOutcome, Kind, Published, TaskId};
use crate::outcome::Reason;

/// The first frame of each stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opening {
    /// A lane of a session between a control node (the opener) and a worker.
    Session,
    /// Calls from a control node to another one.
    Peer,
    /// Membership's messages between control nodes.
    Gossip,
    /// A transfer into a task of this worker.
    Transfer {
        /// The fence of the session.
        fence: Fence,
        /// The boot of the worker.
        generation: Generation,
        /// Where the bytes go.
        task: TaskId,
        /// Which transfer.
        transfer: TransferId,
    },
    /// A transfer into a task of a worker whose proxy the receiver hosts.
    PeerTransfer {
        /// Which worker.
        worker: NodeId,
        /// The boot of the worker, as stamped where the transfer entered.
        generation: Generation,
        /// Where the bytes go.
        task: TaskId,
        /// Which transfer.
        transfer: TransferId,
    },
    /// News from a control node, for whoever is there.
    News,
    /// Calls of a program that is no node: they enter the cluster here. Taken from operators only.
    Gateway,
    /// What control nodes know, from one to another.
    Metadata,
    /// A transfer from a task of this worker: what the opener says after this frame is what it has received.
    Fetch {
        /// The fence of the session.
        fence: Fence,
        /// The boot of the worker.
        generation: Generation,
        /// Where the bytes come from.
        task: TaskId,
        /// Which transfer.
        transfer: TransferId,
        /// What is wanted, in the words of the task's class; at most [`FETCH_NOTE_BYTES_MAX`].
        note: Bytes,
    },
    /// A transfer from a task of a worker whose proxy the receiver hosts.
    PeerFetch {
        /// Which worker.
        worker: NodeId,
        /// The boot of the worker, as stamped where the transfer was asked for.
        generation: Generation,
        /// Where the bytes come from.
        task: TaskId,
        /// Which transfer.
        transfer: TransferId,
        /// What is wanted, in the words of the task's class; at most [`FETCH_NOTE_BYTES_MAX`].
        note: Bytes,
    },
}

/// The longest note of a transfer that is asked for, in bytes: with the longest names around it, it fits the opening's cap.
pub const FETCH_NOTE_BYTES_MAX: usize = 512;

/// The number of a transfer into or from one task, unique for the control node where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TransferId(pub u64);

/// A piece of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk(pub Bytes);

/// The end of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferEnd {
    /// How many bytes were sent.
    pub bytes: u64,
    /// Their BLAKE3 hash.
    pub blake3: [u8; 32],
}

/// What arrived: the receiver counted and hashed it itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// How many bytes have arrived.
    pub bytes: u64,
    /// Their BLAKE3 hash.
    pub blake3: [u8; 32],
}

/// What becomes of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferReply {
    /// The task has taken all of it.
    Received(Receipt),
    /// The worker does not take it.
    Refused(Reason),
    /// The task let go of it before its end.
    Abandoned,
    /// Length or hash differ from what was announced.
    Corrupt,
    /// The task that sends could not read on (shortened).
    Failed(String),
    /// The worker takes it: nothing was sent before, and now it may be.
    Begun,
}

macro_rules! framed {
    ($($type:ident),*) => {$(
        impl $type {
            /// The frame of this message.
            #[must_use]
            pub fn to_frame(&self) -> Frame {
                super::message::encode(Kind::$type, self)
            }

            /// The message in a frame.
            ///
            /// # Errors
            /// [`DecodeError`] when the frame is of another kind or does not decode.
            pub fn from_frame(frame: &Frame) -> Result<Self, DecodeError> {
                if frame.kind != Kind::$type as u8 {
                    return Err(DecodeError::UnknownKind(frame.kind));
                }
                super::message::decode(Kind::$type, &frame.body)
            }
        }
    )*};
}

framed!(Opening, TransferEnd, TransferReply, Published, GatewayCall, GatewayCancel, GatewayOutcome);

impl Chunk {
    /// The frame of this chunk.
    #[must_use]
    pub fn into_frame(self) -> Frame {
        Frame { kind: Kind::Chunk as u8, body: self.0 }
    }
}
