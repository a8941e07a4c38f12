//! What happens to jobs, for those who look on. Nothing depends on anybody reading it.

use std::collections::VecDeque;

use phalanx_base::NodeId;

use crate::name::{JobName, Tag};
use crate::state::InstanceState;

/// How many events wait to be read; the oldest are dropped, and counted.
pub const EVENTS_MAX: usize = 4_096;

/// How a job as a whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JobStatus {
    /// Its instances are being started for the first time.
    #[default]
    Placing,
    /// Each instance runs or has succeeded.
    Placed,
    /// It was placed, and some instance does not run.
    Degraded,
    /// Each instance has succeeded, and none is started again.
    Complete,
    /// It is stopped, and nothing of it runs.
    Stopped,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An attempt is in another state.
    InstanceChanged {
        /// Which.
        tag: Tag,
        /// How it was.
        from: InstanceState,
        /// How it is.
        to: InstanceState,
        /// Where it is.
        node: Option<NodeId>,
        /// Why, for people.
        reason: String,
    },
    /// A job as a whole is otherwise.
    JobChanged {
        /// Which.
        job: JobName,
        /// How it is.
        status: JobStatus,
    },
    /// Instances of a job wait.
    Waiting {
        /// Which job.
        job: JobName,
        /// How many.
        instances: usize,
        /// For what, for people: of how many workers how many lack what.
        reason: String,
        /// Whether waiting alone may help. If not, it needs another worker, label or program.
        may_pass: bool,
    },
    /// A new version of the task replaces the old one.
    RolloutStarted {
        /// Which job.
        job: JobName,
        /// The version.
        task_version: u64,
    },
    /// One more instance of the new version is healthy.
    RolloutProgressed {
        /// Which job.
        job: JobName,
        /// How many instances of older versions run yet.
        outdated: usize,
    },
    /// Nothing more is replaced until the job changes again.
    RolloutPaused {
        /// Which job.
        job: JobName,
        /// Why.
        reason: String,
    },
    /// Every instance is of the new version and healthy.
    RolloutComplete {
        /// Which job.
        job: JobName,
        /// The version.
        task_version: u64,
    },
    /// A job that was removed has nothing left, and is forgotten.
    JobRemoved {
        /// Which.
        job: JobName,
    },
    /// So many events before the next one were dropped, since nobody read them in time.
    Missed {
        /// How many.
        count: u64,
    },
}

/// The events that nobody has read.
#[derive(Debug, Default)]
pub(crate) struct Events {
    waiting: VecDeque<Event>,
    missed: u64,
}

impl Events {
    pub(crate) fn push(&mut self, event: Event) {
        if self.waiting.len() >= EVENTS_MAX {
            self.waiting.pop_front();
            self.missed += 1;
        }
        self.waiting.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        match std::mem::take(&mut self.missed) {
            0 => self.waiting.pop_front(),
            count => Some(Event::Missed { count }),
        }
    }
}
