//! What the driver tells of a worker.

use phalanx_base::{Generation, Labels, NodeId, NodeStatus};
use phalanx_placement::{Class, Metrics};

use crate::end::End;
use crate::name::Tag;
use crate::record::TaskName;

/// A worker as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeReport {
    /// Which.
    pub node: NodeId,
    /// In which boot.
    pub generation: Generation,
    /// How it is. `NotConnected` is the same as [`handle_node_lost`](crate::Supervisor::handle_node_lost).
    pub status: NodeStatus,
    /// Its labels.
    pub labels: Labels,
    /// The classes that it has.
    pub classes: Vec<Class>,
    /// How full it is.
    pub metrics: Metrics,
    /// How many tasks it runs.
    pub tasks: u32,
}

/// What a worker runs, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// In which boot.
    pub generation: Generation,
    /// The tasks that carry a tag.
    pub tasks: Vec<Found>,
}

/// A task that a listing found, or of which it learnt the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it carries.
    pub tag: Tag,
    /// How the worker calls it.
    pub task: TaskName,
    /// How it ended; `None`: it runs.
    pub end: Option<End>,
}
