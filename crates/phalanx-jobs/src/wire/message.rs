//! The messages of sessions, and those between control nodes.

use std::borrow::Cow;

use bytes::Bytes;
use phalanx_base::{AddressList, Fence, Generation, Labels, NodeId, NodeStatus, RosterVersion, Usage};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{
    CallId, CommandStream, Declined, DecodeError, Frame, Instance, Kind, List, Listed, Offer, TaskId, Wanted,
};
use crate::outcome::{Outcome, TaskEnd};

/// A control node asks a worker to accept it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// How much of the roster the sender knows.
    pub roster: RosterVersion,
    /// The greatest fence of this worker that the sender has seen.
    pub last_fence: Fence,
    /// The control node that the sender sees down, if the worker named it as its present owner.
    pub sees_down: Option<NodeId>,
    /// The proof that the present owner gave the worker away: a [`HandoverToken`](super::HandoverToken) in its encoding.
    pub handover_token: Option<Bytes>,
    /// Whom to dial if the sender is lost, best first.
    pub standbys: Vec<Standby>,
}

/// A control node that stands in for an owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// Which node.
    pub node: NodeId,
    /// Where it is reached.
    pub addresses: AddressList,
}

/// The worker has accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The fence of this session.
    pub fence: Fence,
    /// The worker's state.
    pub status: NodeStatus,
    /// The worker's labels.
    pub labels: Labels,
    /// The job classes it has handlers for.
    pub classes: Vec<ClassName>,
    /// How many `TaskSnapshot`s follow.
    pub tasks: u32,
}

/// A job class by name and version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClassName {
    /// Its name: that of a class of this program is not copied with each call.
    pub name: Cow<'static, str>,
    /// Its version.
    pub version: u32,
}

/// One event log of the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSnapshot {
    /// The fence of this session.
    pub fence: Fence,
    /// Which task.
    pub task: TaskId,
    /// Its class.
    pub class: ClassName,
    /// Everything up to this number has been acknowledged to the worker.
    pub acked: u64,
    /// The control-side state as of `acked`, if it was sent along.
    pub checkpoint: Option<Bytes>,
    /// Which attempt of which instance of a job it is, if it is one.
    pub instance: Option<Instance>,
}

/// The worker has another live owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nack {
    /// Who that is.
    pub present: NodeId,
    /// The present fence.
    pub fence: Fence,
}

/// The worker should ask another control node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// The owner, and where it is reached.
    pub owner: Standby,
    /// How much of the roster the sender knows.
    pub roster: RosterVersion,
}

/// The owner gives the worker up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The fence of this session.
    pub fence: Fence,
    /// Who should host the proxy now.
    pub owner: Standby,
}

/// The worker has accepted another proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandDown {
    /// The fence of this session, which is not the present one any more.
    pub fence: Fence,
}

/// The owner's heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The fence of this session.
    pub fence: Fence,
    /// How much of the roster the owner knows.
    pub roster: RosterVersion,
    /// The standbys, when they have changed.
    pub standbys: Option<Vec<Standby>>,
}

/// The worker's heartbeat and report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The fence of this session.
    pub fence: Fence,
    /// The worker's state.
    pub status: NodeStatus,
    /// How many tasks run.
    pub tasks: u32,
    /// The labels, when they have changed.
    pub labels: Option<Labels>,
}

/// How full the worker is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    /// The fence of this session.
    pub fence: Fence,
    /// How full it is.
    pub usage: Usage,
}

/// The worker has no owner, and cannot reach the one that it was sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranded {
    /// Who that is.
    pub owner: NodeId,
}

/// Events of a task have been handled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The fence of this session.
    pub fence: Fence,
    /// Which task.
    pub task: TaskId,
    /// Everything up to this number.
    pub through: u64,
    /// The control-side state after it, for the worker to keep.
    pub checkpoint: Option<Bytes>,
}

/// What a task does when its worker has lost its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnDisconnect {
    /// It goes on.
    #[default]
    Keep,
    /// It is told to stop after so many milliseconds without an owner.
    StopAfter {
        /// The time in milliseconds.
        milliseconds: u64,
    },
}

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    /// A short question.
    Request {
        /// To which class.
        class: ClassName,
        /// The class's request.
        body: Bytes,
    },
    /// Start a task; its id is the call's.
    Start {
        /// Of which class.
        class: ClassName,
        /// The class's task.
        body: Bytes,
        /// What happens when the worker loses its owner.
        on_disconnect: OnDisconnect,
        /// Which attempt of which instance of a job it is, if it is one. One that is not later than each that the worker
        /// remembers of this instance is refused.
        instance: Option<Instance>,
    },
    /// Tell a task something.
    Command {
        /// Which task.
        task: TaskId,
        /// Which stream of commands.
        stream: CommandStream,
        /// Its number in the stream, from 0, without a gap.
        sequence: u64,
        /// The class's command.
        body: Bytes,
    },
    /// Wait until a task has ended, and say how.
    Output {
        /// Which task.
        task: TaskId,
    },
    /// Tell a task to stop, and end it after a time.
    Stop {
        /// Which task.
        task: TaskId,
        /// How long it may take, in milliseconds.
        grace_ms: u64,
    },
    /// End a task now.
    Kill {
        /// Which task.
        task: TaskId,
    },
}

/// Work for the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Which call.
    pub id: CallId,
    /// The fence of the session it travels on.
    pub fence: Fence,
    /// The boot of the worker, as stamped where the call entered.
    pub generation: Generation,
    /// How long it may still take, in milliseconds; each node starts its own clock with it.
    pub remaining_ms: u64,
    /// What is asked for.
    pub verb: Verb,
}

/// The caller of a call went away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Which call.
    pub id: CallId,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeOf {
    /// Which call.
    pub id: CallId,
    /// How.
    pub outcome: Outcome,
}

/// One entry of a task's event log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The fence of this session.
    pub fence: Fence,
    /// Which task.
    pub task: TaskId,
    /// Its number, from 1; of a gap the first.
    pub sequence: u64,
    /// What it is.
    pub body: EventBody,
}

/// What an entry of an event log is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventBody {
    /// An event of the class.
    Emitted(Bytes),
    /// Events that did not fit the outbox, through this number.
    Gap {
        /// The last missing number.
        through: u64,
    },
    /// The task has ended; nothing follows.
    Ended(TaskEnd),
}

impl EventBody {
    /// How many bytes of a user it carries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Emitted(body) | Self::Ended(TaskEnd::Done(body) | TaskEnd::Failed(body)) => body.len(),
            Self::Gap { .. } | Self::Ended(_) => 0,
        }
    }

    /// How the task has ended, where the entry says that.
    #[must_use]
    pub fn end(&self) -> Option<&TaskEnd> {
        match self {
            Self::Ended(end) => Some(end),
            Self::Emitted(_) | Self::Gap { .. } => None,
        }
    }
}

/// A call for a worker whose proxy the receiver hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// For which worker.
    pub worker: NodeId,
    /// Which call.
    pub id: CallId,
    /// The boot of the worker, as stamped where the call entered.
    pub generation: Generation,
    /// How long it may still take, in milliseconds.
    pub remaining_ms: u64,
    /// What is asked for.
    pub verb: Verb,
}

/// What a control node knows of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// Which worker.
    pub worker: NodeId,
    /// What the sender knows.
    pub hosting: Hosting,
}

/// How a control node stands to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hosting {
    /// It has never met the worker, or has forgotten it.
    Unknown,
    /// It hosted the worker's proxy, and the link was lost.
    NotConnected,
    /// The worker's proxy is about to come or has just gone.
    Between,
    /// It hosts the worker's proxy.
    Hosted {
        /// Under which fence; of two hosts the one with the greater fence is right.
        fence: Fence,
        /// The worker's boot.
        generation: Generation,
    },
}

macro_rules! messages {
    ($($name:ident($body:ty)),* $(,)?) => {
        /// Every message with a body in postcard.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Message { $(
            #[doc = concat!("See [`Kind::", stringify!($name), "`].")]
            $name($body),
        )* }

        impl Message {
            /// Its kind.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self { $(Self::$name(_) => Kind::$name,)* }
            }

            /// Its frame.
            #[must_use]
            pub fn to_frame(&self) -> Frame {
                match self { $(Self::$name(body) => encode(Kind::$name, body),)* }
            }

            /// The message in a frame.
            ///
            /// # Errors
            /// [`DecodeError`] when no message has that kind, or the body does not decode.
            pub fn from_frame(frame: &Frame) -> Result<Self, DecodeError> {
                $(if frame.kind == Kind::$name as u8 {
                    return decode(Kind::$name, &frame.body).map(Self::$name);
                })*
                Err(DecodeError::UnknownKind(frame.kind))
            }
        }

        $(impl From<$body> for Message {
            fn from(body: $body) -> Self {
                Self::$name(body)
            }
        })*
    };
}

/// Wraps the bodies that another kind uses too.
macro_rules! wrapped {
    ($($(#[$doc:meta])* $name:ident($inner:ty)),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name(pub $inner);
    )*};
}

wrapped! {
    /// Do you host this worker's proxy?
    Locate(NodeId),
}

/// The caller of a forwarded call went away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardCancel {
    /// For which worker.
    pub worker: NodeId,
    /// Which call.
    pub id: CallId,
}

/// How a forwarded call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardOutcome {
    /// Which call.
    pub id: CallId,
    /// How.
    pub outcome: Outcome,
}

messages! {
    Attach(Attach), Attached(Attached), TaskSnapshot(TaskSnapshot), Nack(Nack), Redirect(Redirect), Release(Release),
    StandDown(StandDown), Beat(Beat), Report(Report), Gauge(Gauge), Stranded(Stranded), Ack(Ack), Call(Call), Cancel(Cancel), Outcome(OutcomeOf),
    Event(Event), Forward(Forward), ForwardCancel(ForwardCancel), ForwardOutcome(ForwardOutcome), Locate(Locate),
    Located(Located), Wanted(Wanted), Offer(Offer), Declined(Declined), List(List),
    Listed(Listed),
}

impl Message {
    /// The fence it carries, if its kind carries one.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        match self {
            Self::Attached(body) => Some(body.fence),
            Self::TaskSnapshot(body) => Some(body.fence),
            Self::Release(body) => Some(body.fence),
            Self::StandDown(body) => Some(body.fence),
            Self::Beat(body) => Some(body.fence),
            Self::Report(body) => Some(body.fence),
            Self::Gauge(body) => Some(body.fence),
            Self::Ack(body) => Some(body.fence),
            Self::Call(body) => Some(body.fence),
            Self::Event(body) => Some(body.fence),
            _ => None,
        }
    }
}

pub(super) fn encode<T: Serialize>(kind: Kind, body: &T) -> Frame {
    let body = crate::codec::to_bytes(body)
        .expect("a message is made of numbers, strings and bytes, which always encode");
    Frame { kind: kind as u8, body }
}

pub(super) fn decode<T: DeserializeOwned>(kind: Kind, body: &[u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        _ => Err(DecodeError::Body(kind)),
    }
}
