//! What is kept of an instance, so that whoever supervises it next goes on from there.

use bytes::Bytes;
use phalanx_base::{Generation, NodeId};
use serde::{Deserialize, Serialize};

use crate::name::{Attempt, InstanceName, JobName, Tag};
use crate::state::InstanceState;
use crate::text;

/// How a worker calls a task: the driver's own name, which nothing here reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskName(pub Bytes);

/// Where an attempt is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The worker.
    pub node: NodeId,
    /// The boot of the worker in which it was started or last found.
    pub generation: Generation,
    /// The task, once the worker has said how it calls it.
    pub task: Option<TaskName>,
}

/// An attempt that is over. It never changes, but for [`may_run`](Self::may_run).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedAttempt {
    /// Which.
    pub attempt: Attempt,
    /// The version of the task that it ran.
    pub task_version: u64,
    /// Where it was.
    pub node: Option<NodeId>,
    /// How it ended.
    pub state: InstanceState,
    /// Whether it was supervision that ended it: to scale down, to update, to move, or because the job is stopped.
    pub was_asked: bool,
    /// Whether the end counts for the restart policy: not for what was asked for, refused, or lost with its worker.
    pub counts: bool,
    /// It was given up with its worker and may run there all the same, until the worker was listed or removed.
    pub may_run: bool,
    /// Why, for people.
    pub reason: String,
    /// The last lines that it logged.
    pub last_lines: Vec<String>,
}

/// An instance as it is written down. Of two records of one instance the one with the greater attempt, then with the greater
/// revision, is the newer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// Of which job.
    pub job: JobName,
    /// Which instance.
    pub instance: InstanceName,
    /// The present attempt.
    pub attempt: Attempt,
    /// Grows with each change of the record.
    pub revision: u64,
    /// How the present attempt is.
    pub state: InstanceState,
    /// The version of the task that was started last; 0 before the first start.
    pub task_version: u64,
    /// Where it is, from `Starting` on.
    pub place: Option<Place>,
    /// How many ends in a row counted for the restart policy.
    pub failures: u32,
    /// The present attempt replaces one that was lost with its worker: it waits for leave.
    pub replaces_lost: bool,
    /// The attempts that are over, the last one last: at most [`HISTORY_MAX`](Self::HISTORY_MAX). If the present attempt is
    /// over, it is the last of them.
    pub ended: Vec<EndedAttempt>,
}

impl InstanceRecord {
    /// How many ended attempts are kept: enough to see a pattern, in a record of some 13 KiB at most.
    pub const HISTORY_MAX: usize = 5;
    /// The longest name of a task in bytes that is kept.
    pub const TASK_NAME_BYTES_MAX: usize = 256;

    pub(crate) fn new(job: JobName, instance: InstanceName) -> Self {
        Self {
            job,
            instance,
            attempt: Attempt::FIRST,
            revision: 1,
            state: InstanceState::Pending,
            task_version: 0,
            place: None,
            failures: 0,
            replaces_lost: false,
            ended: Vec::new(),
        }
    }

    /// The tag of the present attempt.
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag { job: self.job.clone(), instance: self.instance.clone(), attempt: self.attempt }
    }

    /// How the present attempt ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<&EndedAttempt> {
        self.ended.last().filter(|_| self.state.is_terminal())
    }

    /// One more attempt is over. What may still run is kept longest, since it has to be found.
    pub(crate) fn push(&mut self, ended: EndedAttempt) {
        if self.ended.len() >= Self::HISTORY_MAX {
            let place = self.ended.iter().position(|ended| !ended.may_run).unwrap_or(0);
            self.ended.remove(place);
        }
        self.ended.push(ended);
    }

    /// Cuts what came from elsewhere to what a record may hold.
    pub(crate) fn clipped(mut self) -> Self {
        let surplus = self.ended.len().saturating_sub(Self::HISTORY_MAX);
        self.ended.drain(..surplus);
        for ended in &mut self.ended {
            ended.reason = text::reason(std::mem::take(&mut ended.reason));
            ended.last_lines = text::last_lines(std::mem::take(&mut ended.last_lines));
        }
        if let Some(place) = &mut self.place {
            place.task = place.task.take().filter(|task| task.0.len() <= Self::TASK_NAME_BYTES_MAX);
        }
        self
    }
}
