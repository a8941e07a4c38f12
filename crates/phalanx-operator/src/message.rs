//! What an operator asks a node, and what the node answers.
//!
//! One question at a time on a connection; each has one answer, but for lists, which come in pages, and events, which come
//! for as long as the operator listens. An operator that sends anything meanwhile ends the stream of events.

use bytes::Bytes;
use phalanx::{Address, Boot, JobName, JobSpec, Labels, NodeId};
use serde::{Deserialize, Serialize};

use crate::{Event, JobDetails, JobLine, Node, NodeDetails, Status};

/// What an operator asks. The order of the variants is the wire form: add at the end, take none away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// How the node is, and how it sees the cluster.
    Status,
    /// Every worker of the cluster, the control nodes' own ones among them.
    Nodes,
    /// One node of the cluster, wherever it is.
    Node(NodeId),
    /// What has happened since an event, and what happens from now on.
    Events {
        /// The number of the last event that the operator has seen: what is remembered after it comes first. `None`: only
        /// what happens from now on.
        since: Option<u64>,
    },
    /// Link the node to those at these addresses.
    Join(Vec<Address>),
    /// Leave the cluster in order, and end.
    Leave,
    /// Remove another control node, such as one that will not come back.
    Remove(NodeId),
    /// Forget a worker that will not come back.
    Forget(NodeId),
    /// Tell all nodes of the cluster something.
    Publish {
        /// What it is called.
        name: String,
        /// What it is.
        payload: Bytes,
    },
    /// From here on this connection carries the frames of a gateway: calls to any worker, or a transfer. See
    /// [`Calls`](crate::Calls).
    Calls,
    /// Every job.
    Jobs,
    /// One job.
    Job(JobName),
    /// Make a job, or change the one of that name to this. The node sets its versions.
    ApplyJob(Box<JobSpec>),
    /// Stop a job's tasks, and forget it.
    RemoveJob(JobName),
    /// Label a worker for good, or take that back.
    SetLabels {
        /// Which worker; it need not be there.
        node: NodeId,
        /// What with. `None`: from its next start on, with what its own configuration says.
        labels: Option<Labels>,
    },
}

/// What a node answers. The order of the variants is the wire form: add at the end, take none away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It was done.
    Done,
    /// It was not done, or not wholly.
    Failed(Failure),
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Nodes`]: one page of the list.
    Nodes {
        /// Some of the workers, in the order of their names.
        nodes: Vec<Node>,
        /// The control nodes that did not answer, on the last page: what they host is missing.
        silent: Vec<NodeId>,
        /// Whether another page follows.
        more: bool,
    },
    /// To [`Request::Node`].
    Node(Box<NodeDetails>),
    /// To [`Request::Events`]: one event.
    Event(Event),
    /// To [`Request::Events`]: everything that is remembered has been sent; what follows is new. Comes once.
    CaughtUp,
    /// To [`Request::Join`]: who answered, in the order of the addresses.
    Joined(Vec<Joined>),
    /// To [`Request::Leave`]: the node is about to leave. The connection ends when it has.
    Leaving,
    /// To [`Request::Calls`]: what follows are frames. By which node they go.
    Calls(Boot),
    /// To [`Request::Jobs`]: one page of the list.
    Jobs {
        /// Some of the jobs, in the order of their names.
        jobs: Vec<JobLine>,
        /// Whether another page follows.
        more: bool,
    },
    /// To [`Request::Job`].
    Job(Box<JobDetails>),
    /// To [`Request::ApplyJob`]: what it is now.
    Applied(Box<JobSpec>),
}

/// What came of one address of [`Request::Join`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The address.
    pub address: Address,
    /// Who answered there, or why there is no link.
    pub outcome: Result<NodeId, String>,
}

/// Why a node did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Of which kind.
    pub kind: FailureKind,
    /// What is wrong, and what to do, for people.
    pub message: String,
}

/// The kinds of [`Failure`], for programs. The order is the wire form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// There is no such node.
    NotFound,
    /// The node cannot do that now. Nothing has changed, unless the message says so.
    Refused,
    /// Only a control node can do that, and this one is a worker.
    ControlOnly,
    /// The question was not understood.
    NotUnderstood,
    /// The node has as many operators as it takes.
    Busy,
}

impl Failure {
    /// A failure in words.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
