//! What is known of a worker when one is chosen.
//!
//! A view borrows from whatever table the caller keeps, so that looking at 100,000 workers copies none of them.

use std::fmt;

use phalanx_base::{Labels, NodeId, NodeStatus};
use serde::{Deserialize, Serialize};

use crate::Metrics;

/// A job class that a worker has, or that work needs: both the name and the version must be the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Class {
    /// The name of the class.
    pub name: String,
    /// The version of its types.
    pub version: u32,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "class {} version {}", self.name, self.version)
    }
}

/// A worker as the caller sees it.
#[derive(Debug, Clone, Copy)]
pub struct WorkerView<'w> {
    /// Its id.
    pub node: &'w NodeId,
    /// Its labels, zones and racks among them.
    pub labels: &'w Labels,
    /// How it is.
    pub status: NodeStatus,
    /// The classes that it has.
    pub classes: &'w [Class],
    /// How full it is, [smoothed](Metrics::follow).
    pub metrics: Metrics,
    /// How many tasks it runs.
    pub tasks: u32,
    /// How many of these belong to the job that a worker is chosen for; it decides only where there is a
    /// [`Spread`](crate::Spread).
    pub tasks_of_job: u32,
}

impl<'w> WorkerView<'w> {
    /// A worker of which no more is known: without classes, metrics and tasks.
    #[must_use]
    pub fn new(node: &'w NodeId, labels: &'w Labels, status: NodeStatus) -> Self {
        Self { node, labels, status, classes: &[], metrics: Metrics::default(), tasks: 0, tasks_of_job: 0 }
    }
}
