//! What the parent and the nodes tell each other, a line of JSON each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use phalanx::NodeStatus;
use serde::{Deserialize, Serialize};

use crate::digest::Summary;
use crate::errand::{Errand, Outcome};
use crate::post::JobSeen;

/// From the parent to a control node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// These are the workers: tell who owns them, and ask them small things all the time.
    Workers(Vec<String>),
    /// Give this file to a task on that worker.
    Ship { number: u64, worker: String, path: PathBuf },
    /// Do this at that worker.
    Errand { number: u64, worker: String, errand: Errand },
    /// Keep so many instances of the demo's job.
    Job { count: u32 },
    /// Ask nothing more, finish what is under way, then leave the cluster in order.
    Leave,
    /// End in order, at once.
    Stop,
}

/// From a node to the parent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Notice {
    /// The node runs.
    Ready,
    /// Which boot it is, which control nodes it sees alive, and which of them own partitions.
    Cluster { boot: String, alive: Vec<String>, active: Vec<String> },
    /// It sees a control node down.
    Down { node: String },
    /// How a worker is whose proxy it hosts or hosted.
    Worker { worker: String, status: NodeStatus, hosted: bool },
    /// Who should host the workers, how many partitions each control node owns, and what has changed hands since it
    /// said so last.
    Owners { acting: BTreeMap<String, String>, shares: BTreeMap<String, usize>, moves: Moves },
    /// What became of a file.
    Shipped { number: u64, result: Result<Summary, String> },
    /// An event or the end of a task has been handled.
    Handled(Handled),
    /// Events that did not fit an outbox.
    Gap { worker: String, from: u64, through: u64 },
    /// Events that came twice and were dropped.
    Redelivered { count: u64 },
    /// What the small questions took.
    Asked { latencies_us: Vec<u64> },
    /// A small question had no answer.
    Unanswered { worker: String, reason: String, not_connected: bool },
    /// What became of an errand.
    Done { number: u64, result: Result<Outcome, String> },
    /// Whether the demo's job was taken.
    JobApplied { result: Result<(), String> },
    /// How the demo's job is.
    Job(JobSeen),
    /// It has finished what was under way, and leaves now.
    Leaving,
    /// A line of its standard error. The parent itself makes this one of it.
    Complained { line: String },
}

/// Partitions that changed hands, and how many of them had to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moves {
    pub(crate) partitions: usize,
    pub(crate) ideal: usize,
}

/// One number of one task, handled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Handled {
    pub(crate) worker: String,
    pub(crate) task: String,
    pub(crate) sequence: u64,
    pub(crate) ended: bool,
}
