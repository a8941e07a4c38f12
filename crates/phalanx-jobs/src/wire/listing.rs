//! How any control node learns of all workers: it asks each other one for those that it hosts, a page at a time.

use phalanx_base::{Fence, Generation, Labels, NodeId, NodeStatus, Usage};
use serde::{Deserialize, Serialize};

use super::ClassName;

/// Which workers do you host? Those after this name, in the order of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Names the question, since answers may come in another order.
    pub question: u64,
    /// The last name of the page before.
    pub after: Option<NodeId>,
}

/// A page of workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The question.
    pub question: u64,
    /// The workers, in the order of their names.
    pub workers: Vec<HostedWorker>,
    /// Whether more follow after the last one.
    pub more: bool,
}

/// What an owner knows of a worker whose proxy it hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedWorker {
    /// Which worker.
    pub worker: NodeId,
    /// Its boot.
    pub generation: Generation,
    /// Under which fence it is hosted; of two that say so the one with the greater fence is right.
    pub fence: Fence,
    /// How it is.
    pub status: NodeStatus,
    /// How many tasks it runs, as it said last.
    pub tasks: u32,
    /// Its labels.
    pub labels: Labels,
    /// The job classes that it runs.
    pub classes: Vec<ClassName>,
    /// How full it is, as it said last.
    pub usage: Usage,
}

/// How many bytes of workers one page holds: with one more worker of the greatest size it is still within its cap.
pub const PAGE_BYTES_MAX: usize = 512 << 10;
