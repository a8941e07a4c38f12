//! What every worker can be asked and told: a job class like any other, for which each worker has a handler.
//!
//! [`WorkerHandle`](crate::WorkerHandle) has a method for each of these; the class itself is public so that other tools
//! can use it in their own way.

use phalanx_base::{Boot, Labels, NodeStatus};
use serde::{Deserialize, Serialize};

use crate::class::{JobClass, Nothing};
use crate::lifecycle::{EndSummary, TaskState};
use crate::wire::{ClassName, Instance, TaskId};

/// The job class of the built-in operations.
pub enum Operations {}

impl JobClass for Operations {
    const NAME: &'static str = "phalanx.node";
    const VERSION: u32 = 1;
    type Request = Operation;
    type Reply = OperationReply;
    type Task = Nothing;
    type Output = Nothing;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = Nothing;
    type Error = Nothing;
}

/// Something to ask or tell a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Who it is, how it is, what it runs.
    Info,
    /// How it is.
    Status,
    /// The tasks that have not ended, those after this one in the order of their ids, [`TASKS_PAGE_MAX`] at most.
    Tasks {
        /// The last task of the page before.
        after: Option<TaskId>,
    },
    /// What it is labelled with.
    Labels,
    /// Label it anew, until it starts again.
    SetLabels(Labels),
    /// Take new tasks.
    Ready,
    /// Take no new task.
    Standby,
    /// Take no new task, and stop those that run, but for those that outlive the worker's process.
    Stop {
        /// How long they may take, in milliseconds.
        grace_ms: u64,
    },
    /// How far it is with stopping. A worker of an earlier version does not know the question, and says that it is malformed.
    Stopping,
    /// All that it knows of one task, which runs or has ended.
    Task {
        /// Which task.
        task: TaskId,
    },
    /// The ended tasks that it keeps, those after this one in the order of their ids, [`ENDED_TASKS_PAGE_MAX`] at most.
    EndedTasks {
        /// The last task of the page before.
        after: Option<TaskId>,
    },
}

/// How many tasks one answer names.
pub const TASKS_PAGE_MAX: usize = 1_024;

/// How many ended tasks one answer names: each may carry the text of a panic.
pub const ENDED_TASKS_PAGE_MAX: usize = 512;

/// The answer to an [`Operation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationReply {
    /// To [`Operation::Info`].
    Info(NodeInfo),
    /// To [`Operation::Status`], and how it is after [`Operation::Ready`], [`Operation::Standby`], [`Operation::Stop`].
    Status(NodeStatus),
    /// To [`Operation::Tasks`].
    Tasks {
        /// The tasks.
        tasks: Vec<TaskInfo>,
        /// Whether more follow after the last one.
        more: bool,
    },
    /// To [`Operation::Labels`], and the labels after [`Operation::SetLabels`].
    Labels(Labels),
    /// To [`Operation::Stopping`].
    Stopping(StopProgress),
    /// To [`Operation::Task`]; `None` where there is no such task (any more).
    Task(Option<TaskDetails>),
    /// To [`Operation::EndedTasks`].
    EndedTasks {
        /// The tasks.
        tasks: Vec<EndedTask>,
        /// Whether more follow after the last one.
        more: bool,
    },
}

/// How many tasks the answer to [`Operation::Stopping`] names: as many as somebody reads. The rest is counted, and
/// [`Operation::Tasks`] names them.
pub const STOPPING_NAMED_MAX: usize = 16;

/// How far a worker is with stopping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopProgress {
    /// How it is: `Stopping` while tasks that it was told to stop with still run, `Stopped` when none is left.
    pub status: NodeStatus,
    /// How many tasks run.
    pub tasks: u32,
    /// How many of these were told to stop.
    pub told: u32,
    /// The tasks that run, those first that may run for the longest time; [`STOPPING_NAMED_MAX`] at most.
    pub named: Vec<StoppingTask>,
}

/// A task that runs on a worker that may be stopping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppingTask {
    /// Its id.
    pub task: TaskId,
    /// Its class.
    pub class: ClassName,
    /// In how many milliseconds it is ended if it has not ended by itself; `None` for one that was not told to stop.
    pub ends_in_ms: Option<u64>,
}

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its name and boot.
    pub boot: Boot,
    /// How it is.
    pub status: NodeStatus,
    /// How many tasks run.
    pub tasks: u32,
    /// What it is labelled with.
    pub labels: Labels,
    /// The job classes that it runs, the built-in ones among them.
    pub classes: Vec<ClassName>,
    /// The version of this library that it was built with.
    pub version: String,
}

/// A task that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Its id.
    pub task: TaskId,
    /// Its class.
    pub class: ClassName,
    /// Which attempt of which instance of a job it is, if it is one.
    pub instance: Option<Instance>,
    /// How it is.
    pub state: TaskState,
}

/// A task that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedTask {
    /// Its id.
    pub task: TaskId,
    /// Its class.
    pub class: ClassName,
    /// Which attempt of which instance of a job it was, if it was one.
    pub instance: Option<Instance>,
    /// For how many milliseconds it ran.
    pub ran_ms: u64,
    /// How many milliseconds ago it ended.
    pub ended_ms_ago: u64,
    /// How it ended.
    pub end: EndSummary,
}

/// All that a worker knows of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDetails {
    /// Its id.
    pub task: TaskId,
    /// Its class.
    pub class: ClassName,
    /// Which attempt of which instance of a job it is, if it is one.
    pub instance: Option<Instance>,
    /// How it is.
    pub state: TaskState,
    /// For how many milliseconds it has run, or ran; of one that is starting, has waited.
    pub running_ms: u64,
    /// How many milliseconds ago it ended.
    pub ended_ms_ago: Option<u64>,
    /// How it ended.
    pub end: Option<EndSummary>,
    /// The last lines that it has logged, the oldest first: [`LOG_LINES_MAX`](crate::LOG_LINES_MAX) at most.
    pub log: Vec<String>,
}
