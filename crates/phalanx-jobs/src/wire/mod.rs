//! What travels on a link, and who may say it: the messages, and the one table of verbs.
//!
//! The table is the whole permission system of the wire: a kind that is not in it does not exist, and a kind from the
//! wrong end, on the wrong lane, or over its cap is refused before a byte of its body is decoded.

mod gateway;
mod handover;
mod ids;
mod instance;
mod listing;
mod message;
mod news;
mod opening;
mod table;

pub use gateway::{GatewayCall, GatewayCancel, GatewayOutcome};
pub use handover::{
    CursorsDigest, Declined, HandoverToken, OFFER_STATES_BYTES_MAX, Offer, TaskState, Wanted,
};
pub use ids::{CallId, CallIdError, CommandStream, TaskId};
pub use instance::{INSTANCE_NAME_BYTES_MAX, Instance, InstanceError, JOB_NAME_BYTES_MAX};
pub use listing::{HostedWorker, List, Listed, PAGE_BYTES_MAX};
pub use message::{
    Ack, Attach, Attached, Beat, Call, Cancel, ClassName, Event, EventBody, Forward, ForwardCancel,
    ForwardOutcome, Gauge, Hosting, Locate, Located, Message, Nack, OnDisconnect, OutcomeOf, Redirect,
    Release, Report, StandDown, Standby, Stranded, TaskSnapshot, Verb,
};
pub use news::{NEWS_BYTES_MAX, NEWS_NAME_BYTES_MAX, News, Published};
pub use opening::{Chunk, FETCH_NOTE_BYTES_MAX, Opening, Receipt, TransferEnd, TransferId, TransferReply};
pub use table::{Direction, FRAME_RULES, FrameRule, Kind, rule};

use bytes::Bytes;

/// One frame: a kind and its encoded body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The byte that names the kind.
    pub kind: u8,
    /// The body, in postcard or raw bytes as its kind says.
    pub body: Bytes,
}

/// Why a frame is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No message has this kind.
    #[error("no message has kind {0}: the peer speaks a newer version or nonsense")]
    UnknownKind(u8),
    /// The body does not decode.
    #[error("the body of a {0:?} does not decode")]
    Body(Kind),
}

/// The greatest body of a request, reply, task input, command, event or output, in bytes. What is larger is a
/// transfer: a megabyte takes some 10 ms on a gigabit link, about as long as a neighbour on the same stream can wait.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// The greatest chunk of a transfer, in bytes: large enough that the frame header vanishes, small enough that a
/// window of them is cheap.
pub const CHUNK_BYTES_MAX: usize = 256 << 10;

/// The greatest checkpoint of control-side state, in bytes: the worker keeps one for each task.
pub const CHECKPOINT_BYTES_MAX: usize = 64 << 10;
