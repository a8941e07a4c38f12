//! The life of one attempt.
//!
//! ```text
//! Pending ─► Starting ─► Running ─► Stopping
//!               │  ▲        │ ▲         │
//!               ▼  ┊        ▼ │         ▼
//!               Unknown ◄───────────────┘       and from each of them: Succeeded, Failed, Killed, Lost
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an attempt is. The last four are terminal: an attempt never leaves them, what follows is another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum InstanceState {
    /// It waits: for a worker, for a pause to pass, or for leave to replace what is lost.
    Pending,
    /// A worker is chosen and written down; it is told to start once that is durable.
    Starting,
    /// The worker says that it runs.
    Running,
    /// The worker is told to stop it.
    Stopping,
    /// It ended by itself and well.
    Succeeded,
    /// It ended badly, or the worker did not take it.
    Failed,
    /// It was stopped.
    Killed,
    /// It is taken for ended, and nobody knows how: its worker is lost or has started anew.
    Lost,
    /// It may run: its start was not answered, its worker is not heard, or whoever supervised it is gone. A listing of its
    /// worker resolves it, or the loss of that worker by the job's policy.
    Unknown,
}

impl InstanceState {
    /// Whether the attempt is over for good.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Killed | Self::Lost)
    }

    /// Whether it runs or may run.
    #[must_use]
    pub fn is_live(self) -> bool {
        !self.is_terminal() && self != Self::Pending
    }

    /// Whether an attempt may go from this state to that one.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => matches!(next, Self::Starting | Self::Killed),
            Self::Starting => matches!(next, Self::Running | Self::Unknown) || next.is_terminal(),
            Self::Running => matches!(next, Self::Stopping | Self::Unknown) || next.is_terminal(),
            Self::Stopping => next == Self::Unknown || next.is_terminal(),
            Self::Unknown => next == Self::Running || next.is_terminal(),
            Self::Succeeded | Self::Failed | Self::Killed | Self::Lost => false,
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Killed => "killed",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
        })
    }
}
