//! How calls and tasks end: the words on the wire, and the errors a caller matches on.
//!
//! The four ends of a call are promises, not descriptions: *not executed* is said only by the worker, or by a node
//! that never sent the call on; *unknown* is the honest rest.

use bytes::Bytes;
use phalanx_base::{NodeId, NodeStatus};
use serde::{Deserialize, Serialize};

use crate::class::Payload;

/// The longest text that a panic or a log line contributes to a reason, in bytes.
pub const REASON_TEXT_BYTES_MAX: usize = 512;

/// Why a call did not run, was ended, or is in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reason {
    /// No control node knows a worker of that name.
    #[error("no control node knows this worker: check its name, or wait until it has attached")]
    NotFound,
    /// The worker is known, but has no link now.
    #[error("the worker is not connected: it attaches again by itself, try again then")]
    NotConnected,
    /// The control node that was asked does not host the worker's proxy (any more).
    #[error("the worker's proxy is not hosted here: ask its owner")]
    NotHosted,
    /// The control node to forward to cannot be reached.
    #[error("control node {0} cannot be reached: try again when the cluster has noticed")]
    OwnerUnreachable(NodeId),
    /// The link was lost after the call had been sent.
    #[error("the link was lost while the call was under way")]
    LinkLost,
    /// The worker takes no such call in its state.
    #[error("the worker is {0}, which does not take this call")]
    NotReady(NodeStatus),
    /// The call came under a fence that is not the present one.
    #[error("the call came from a control node that no longer hosts the worker's proxy")]
    Fenced,
    /// The call was meant for another boot of the worker.
    #[error("the worker has restarted since the call was addressed")]
    OtherGeneration,
    /// The deadline passed.
    #[error("the deadline passed")]
    DeadlineExceeded,
    /// The caller went away.
    #[error("the caller went away")]
    Cancelled,
    /// A cap was reached: the call may be repeated later.
    #[error("{0} is at its cap: try again later")]
    Busy(Cap),
    /// The worker has no handler for the class.
    #[error("the worker has no handler for this job class: register it there with `.job::<…>(…)`")]
    NoSuchClass,
    /// The worker's handler is for another version of the class.
    #[error("the worker has version {theirs} of this job class, the caller has version {ours}")]
    OtherVersion {
        /// The caller's version.
        ours: u32,
        /// The worker's version.
        theirs: u32,
    },
    /// The handler does not implement this kind of call.
    #[error("the handler of this job class does not take this kind of call")]
    NotSupported,
    /// The worker has no such task (any more).
    #[error("the worker has no such task (any more)")]
    NoSuchTask,
    /// The task has ended.
    #[error("the task has ended")]
    TaskEnded,
    /// The task let go of the command without an answer.
    #[error("the task let go of the command without an answer")]
    NoReply,
    /// A command before this one is missing.
    #[error("an earlier command of this handle did not arrive: send it again before this one")]
    CommandOutOfOrder,
    /// The message is larger than its cap.
    #[error("{bytes} bytes are more than the cap of {bytes_max}: send them as a transfer")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The cap.
        bytes_max: u64,
    },
    /// The message does not decode as the class's type.
    #[error("the message does not decode as the type of its class: the two ends disagree on it")]
    Malformed,
    /// The handler panicked, with this text (shortened).
    #[error("the handler panicked: {0}")]
    Panicked(String),
    /// The id lies below the window that the worker keeps.
    #[error("the worker no longer keeps what became of this call")]
    Forgotten,
    /// The node shuts down.
    #[error("the node shuts down")]
    ShuttingDown,
    /// The worker has seen this attempt of the instance, or a later one.
    #[error(
        "this attempt of the instance, or a later one, was started on the worker before: start a later one"
    )]
    Superseded,
    /// The task is accepted, and an earlier attempt of its instance has not ended yet.
    #[error("the task waits for the end of an earlier attempt: try again when it runs")]
    TaskStarting,
}

/// The bounded things that can be full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Cap {
    /// Requests that run at one time.
    #[error("the worker's number of running requests")]
    RunningRequests,
    /// Tasks that run at one time.
    #[error("the worker's number of tasks")]
    Tasks,
    /// Commands that wait in one task.
    #[error("the task's queue of commands")]
    Commands,
    /// Event logs that wait to be acknowledged.
    #[error("the worker's number of unacknowledged event logs")]
    EventLogs,
    /// Calls in flight on one session.
    #[error("the number of calls in flight to the worker")]
    CallsInFlight,
    /// An inbox inside a node.
    #[error("a node's inbox")]
    Inbox,
    /// Callers that a worker remembers.
    #[error("the worker's number of known callers")]
    Callers,
}

/// How a call ended, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It ran, and this is its answer.
    Done(Bytes),
    /// It ran, and ended with the class's own error.
    Failed(Bytes),
    /// It began, and was ended without an answer.
    Aborted(Reason),
    /// It never began, and never will.
    NotExecuted(Reason),
    /// Nobody can say whether it began.
    Unknown(Reason),
}

/// How a task ended, as it travels. It never changes once it is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskEnd {
    /// With its output.
    Done(Bytes),
    /// With the class's own error.
    Failed(Bytes),
    /// Because it was told to stop.
    Stopped,
    /// Without a word: it panicked, or did not take the class's message.
    Aborted(Reason),
    /// With the boot of the worker that ran it.
    Lost,
    /// Because it was killed.
    Killed,
}

/// Why a request or a command has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// It ran, and this is the class's own error.
    #[error("the job failed")]
    Failed(E),
    /// It began on the worker and was ended there; its effects may be partial.
    #[error("the call was ended on the worker: {0}")]
    Aborted(Reason),
    /// It never began: repeating it is safe.
    #[error("the call was not executed: {0}")]
    NotExecuted(Reason),
    /// Nobody can say whether it began: repeat it only if doing it twice is right.
    #[error("nobody can say whether the call was executed: {0}")]
    Unknown(Reason),
}

impl<E> CallError<E> {
    /// The reason, unless the class itself failed.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Failed(_) => None,
            Self::Aborted(reason) | Self::NotExecuted(reason) | Self::Unknown(reason) => Some(reason),
        }
    }
}

/// Why a task has no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError<E> {
    /// It ended with the class's own error.
    #[error("the task failed")]
    Failed(E),
    /// It was told to stop.
    #[error("the task was stopped")]
    Stopped,
    /// It was ended without a word of its own.
    #[error("the task was ended: {0}")]
    Aborted(Reason),
    /// It was killed.
    #[error("the task was killed")]
    Killed,
    /// The worker's boot ended with it.
    #[error("the task was lost with the boot of its worker: start it again")]
    Lost,
    /// What became of it cannot be learnt.
    #[error("nobody can say what became of the task: {0}")]
    Unknown(Reason),
}

impl Outcome {
    /// The typed answer, or the typed error.
    pub(crate) fn typed<T: Payload, E: Payload>(self) -> Result<T, CallError<E>> {
        match self {
            Outcome::Done(body) => {
                postcard::from_bytes(&body).map_err(|_| CallError::Aborted(Reason::Malformed))
            }
            Outcome::Failed(body) => Err(match postcard::from_bytes(&body) {
                Ok(error) => CallError::Failed(error),
                Err(_) => CallError::Aborted(Reason::Malformed),
            }),
            Outcome::Aborted(reason) => Err(CallError::Aborted(reason)),
            Outcome::NotExecuted(reason) => Err(CallError::NotExecuted(reason)),
            Outcome::Unknown(reason) => Err(CallError::Unknown(reason)),
        }
    }
}

impl TaskEnd {
    /// The typed output, or the typed error.
    ///
    /// # Errors
    /// [`TaskError`] says how the task ended without an output.
    pub fn typed<T: Payload, E: Payload>(&self) -> Result<T, TaskError<E>> {
        match self {
            TaskEnd::Done(body) => {
                postcard::from_bytes(body).map_err(|_| TaskError::Aborted(Reason::Malformed))
            }
            TaskEnd::Failed(body) => Err(match postcard::from_bytes(body) {
                Ok(error) => TaskError::Failed(error),
                Err(_) => TaskError::Aborted(Reason::Malformed),
            }),
            TaskEnd::Stopped => Err(TaskError::Stopped),
            TaskEnd::Killed => Err(TaskError::Killed),
            TaskEnd::Aborted(reason) => Err(TaskError::Aborted(reason.clone())),
            TaskEnd::Lost => Err(TaskError::Lost),
        }
    }
}

/// Shortens a text of unknown origin to what a reason may carry.
pub(crate) fn shortened(text: &str) -> String {
    shortened_to(text, REASON_TEXT_BYTES_MAX)
}

/// The begin of a text, of whole characters.
pub(crate) fn shortened_to(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// The text of a caught panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    shortened(text.unwrap_or("without a text"))
}
