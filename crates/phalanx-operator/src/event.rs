//! What happens in a cluster, as one control node tells it to operators.

use bytes::Bytes;
use phalanx::{Address, Boot, Fence, Instance, NodeId, NodeStatus, TaskState};
use serde::{Deserialize, Serialize};

/// Something that has happened, with its number. The numbers of one boot of a node grow by one; what is missing has been
/// forgotten, and an [`EventKind::Missed`] stands in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number.
    pub number: u64,
    /// When it happened, in milliseconds since the Unix epoch, by the clock of the node that tells.
    pub unix_ms: u64,
    /// What has happened.
    pub kind: EventKind,
}

/// What has happened. The order of the variants is the wire form: add at the end, take none away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A control node is new, or has restarted.
    Joined {
        /// Which.
        node: Boot,
        /// Where it is called, where that is known.
        address: Option<Address>,
    },
    /// A control node that was suspect or down is alive.
    Up(Boot),
    /// A control node did not answer.
    Suspect(Boot),
    /// A control node did not answer for too long.
    Down(Boot),
    /// A control node has left.
    Left(Boot),
    /// A control node was removed, or forgotten.
    Removed(Boot),
    /// The node that tells was removed by an operator.
    Expelled,
    /// The node that tells sees no more than half of the control nodes.
    PartitionOccurred,
    /// It sees more than half of them again.
    PartitionHealed,
    /// The roster of the control nodes has changed.
    RosterUpdated {
        /// The version of the roster.
        version: u64,
    },
    /// A worker that the node hosts or hosted is another way.
    Worker {
        /// Which.
        node: NodeId,
        /// How it is.
        status: NodeStatus,
        /// Under which fence the node hosts it, if it does.
        hosted: Option<Fence>,
    },
    /// A worker has new labels.
    Labelled {
        /// Which.
        node: NodeId,
    },
    /// Events of tasks came twice, and were dropped.
    Redelivered {
        /// How many.
        count: u64,
    },
    /// Most of the workers of the node were lost at once.
    MassFailure {
        /// How many were lost.
        lost: u32,
        /// Of how many.
        known: u32,
    },
    /// Most of them are back, or forgotten.
    MassFailureEnded,
    /// Somebody told all nodes something.
    User {
        /// Which node told it.
        from: NodeId,
        /// What it is called.
        name: String,
        /// What it is.
        payload: Bytes,
    },
    /// So many events were forgotten before this reader came to them.
    Missed {
        /// How many.
        count: u64,
    },
    /// The reader asked for what came after a number that is of another boot or another node: what happened between it and
    /// the next event is not known here.
    Gap {
        /// The number that the reader gave.
        after: u64,
    },
    /// Two or more other control nodes went down together: rather the way to them is lost.
    PartitionSuspected {
        /// Which.
        away: Vec<NodeId>,
    },
    /// All of those are back, or were removed.
    PartitionEnded,
    /// A worker that the node hosts has a task.
    TaskStarted(TaskTold),
    /// A task has ended on a worker that the node hosts.
    TaskStopped {
        /// Which.
        task: TaskTold,
        /// How it has ended, in a word.
        state: TaskState,
        /// How, in words.
        reason: String,
    },
    /// Something has happened to a job that the node supervises.
    Job {
        /// Which job.
        job: String,
        /// Which attempt of which instance, as `job[instance]#attempt`, where it is about one.
        attempt: Option<String>,
        /// Where that is.
        node: Option<NodeId>,
        /// What has happened, in a word: the state of the instance or of the job, or how a rollout is.
        what: String,
        /// More words, for people.
        reason: String,
    },
}

/// A task, as events name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTold {
    /// Which worker has it.
    pub node: NodeId,
    /// Its id.
    pub task: String,
    /// Its class and the version of that.
    pub class: String,
    /// Which attempt of which instance of a job it is, if it is one.
    pub instance: Option<Instance>,
}
