//! The life of a task in one word, and its end in a few: what listings, details and events say.
//!
//! Seen from the worker that runs it. Whether a task waits for a worker, or is on one that nobody reaches, is known by
//! those who start tasks, and is no word of these.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::outcome::{Reason, TaskEnd};

/// How a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TaskState {
    /// It is accepted, and runs when an earlier attempt of its instance has ended here.
    Starting,
    /// It runs.
    Running,
    /// It runs, and was told to stop.
    Stopping,
    /// It has ended with its output.
    Succeeded,
    /// It has ended with an error of its class, by a panic, or since it never took its input.
    Failed,
    /// It was ended from outside.
    Killed,
    /// It ended with the boot of its worker.
    Lost,
}

impl TaskState {
    /// Whether it has ended. Nothing follows then.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Killed | Self::Lost)
    }

    /// The state in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Killed => "killed",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a task has ended, without what it left: that is asked for by its output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum EndSummary {
    /// With its output.
    #[error("it has ended with its output")]
    Done,
    /// With the class's own error.
    #[error("it has ended with an error of its class")]
    Failed,
    /// It was told to stop, had its time, and was ended.
    #[error("it was told to stop, and was ended when its time had passed")]
    Stopped,
    /// Without a word of its own: a panic's text is in the reason.
    #[error("{0}")]
    Aborted(Reason),
    /// With the boot of its worker.
    #[error("the boot of its worker has ended")]
    Lost,
    /// It was killed.
    #[error("it was killed")]
    Killed,
}

impl EndSummary {
    /// The state that it leaves the task in.
    #[must_use]
    pub fn state(&self) -> TaskState {
        match self {
            Self::Done => TaskState::Succeeded,
            // A later attempt has taken its place before it began.
            Self::Aborted(Reason::Superseded) | Self::Stopped | Self::Killed => TaskState::Killed,
            Self::Failed | Self::Aborted(_) => TaskState::Failed,
            Self::Lost => TaskState::Lost,
        }
    }
}

impl From<&TaskEnd> for EndSummary {
    fn from(end: &TaskEnd) -> Self {
        match end {
            TaskEnd::Done(_) => Self::Done,
            TaskEnd::Failed(_) => Self::Failed,
            TaskEnd::Stopped => Self::Stopped,
            TaskEnd::Aborted(reason) => Self::Aborted(reason.clone()),
            TaskEnd::Lost => Self::Lost,
            TaskEnd::Killed => Self::Killed,
        }
    }
}
