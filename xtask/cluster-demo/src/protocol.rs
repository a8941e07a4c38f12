//! What the parent and the nodes tell each other, a line of JSON each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::digest::Summary;

/// From the parent to a control node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// These are the workers: tell who owns them, and ask them small things all the time.
    Workers(Vec<String>),
    /// Give this file to a task on that worker.
    Ship { number: u64, worker: String, path: PathBuf },
    /// End in order.
    Stop,
}

/// From a node to the parent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Notice {
    /// The node runs.
    Ready,
    /// Which control nodes it sees alive, and which of them own partitions.
    Cluster { alive: Vec<String>, active: Vec<String> },
    /// It sees a control node down.
    Down { node: String },
    /// How a worker is whose proxy it hosts or hosted.
    Worker { worker: String, up: bool, hosted: bool },
    /// Who should host the workers, and how many partitions each control node owns.
    Owners { acting: BTreeMap<String, String>, shares: BTreeMap<String, usize> },
    /// What became of a file.
    Shipped { number: u64, result: Result<Summary, String> },
    /// An event or the end of a task has been handled.
    Handled(Handled),
    /// Events that did not fit an outbox.
    Gap { worker: String, from: u64, through: u64 },
    /// Events that came twice and were dropped.
    Redelivered { count: u64 },
    /// What the small questions took, and how many had no answer.
    Asked { latencies_us: Vec<u64>, failed: u64 },
}

/// One number of one task, handled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Handled {
    pub(crate) worker: String,
    pub(crate) task: String,
    pub(crate) sequence: u64,
    pub(crate) ended: bool,
}
