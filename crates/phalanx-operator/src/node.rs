//! The nodes of a cluster, as lists and details show them.

use phalanx::{Fence, Generation, Labels, NodeId, NodeStatus, Usage};
use serde::{Deserialize, Serialize};

use crate::Member;

/// One worker of the cluster, as the control node that hosts it knows it. A control node works too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub node: NodeId,
    /// Its boot.
    pub generation: Generation,
    /// The control node that hosts its proxy.
    pub owner: NodeId,
    /// Under which fence.
    pub fence: Fence,
    /// How it is.
    pub status: NodeStatus,
    /// How many tasks it runs, as it said last.
    pub tasks: u32,
    /// What it is labelled with.
    pub labels: Labels,
    /// The job classes that it runs, as `name/version`.
    pub classes: Vec<String>,
    /// How full it is, as it said last.
    pub usage: Usage,
}

/// Everything that is known of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDetails {
    /// Its name.
    pub node: NodeId,
    /// How it works; `None` where no control node hosts it.
    pub worker: Option<Node>,
    /// How it controls, if it is a control node.
    pub member: Option<Member>,
    /// How it was last, where this control node has lately lost it.
    pub lost: Option<NodeStatus>,
    /// The tasks that it runs, the first 256 of them.
    pub tasks: Vec<Task>,
    /// Why it could not be asked for its tasks, if it could not.
    pub error: Option<String>,
    /// The version of the library that it was built with, where it answered.
    pub version: Option<String>,
}

/// One task that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub task: String,
    /// Its job class, as `name/version`.
    pub class: String,
}
