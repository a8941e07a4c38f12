//! What a node is for, and how it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Hosts proxies, gossips with the other control nodes, and works too.
    Control,
    /// Runs jobs.
    Worker,
    /// Asks control nodes to show and to change things, on behalf of a person. It is no member and runs nothing.
    Operator,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Control => "control",
            Role::Worker => "worker",
            Role::Operator => "operator",
        })
    }
}

/// The states of a worker as the cluster sees it.
///
/// Requests run in `Ready`, `Standby`, `Stopping` and `Stopped`; new tasks only in `Ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NodeStatus {
    /// Its program has started and registers its job classes.
    Launching,
    /// It looks for its owner.
    Connecting,
    /// It takes requests and tasks.
    Ready,
    /// It takes requests but no new task.
    Standby,
    /// It has told every task to stop and waits for them.
    Stopping,
    /// It has no task left.
    Stopped,
    /// Its link is lost.
    NotConnected,
}

impl NodeStatus {
    /// Whether a worker in this state runs requests.
    #[must_use]
    pub fn runs_requests(self) -> bool {
        matches!(self, Self::Ready | Self::Standby | Self::Stopping | Self::Stopped)
    }

    /// Whether a worker in this state takes new tasks.
    #[must_use]
    pub fn takes_tasks(self) -> bool {
        self == Self::Ready
    }
}

impl fmt::Display for NodeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Launching => "launching",
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Standby => "standby",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::NotConnected => "not connected",
        })
    }
}
