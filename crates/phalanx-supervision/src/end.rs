//! What the driver says of a task: how it ended, or why it was not started.

use crate::state::InstanceState;

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndKind {
    /// By itself and well.
    Succeeded,
    /// By itself and badly.
    Failed,
    /// Somebody stopped it.
    Killed,
    /// Nobody knows: its worker does not know it any more.
    Lost,
}

/// The end of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// How it ended.
    pub kind: EndKind,
    /// Why, for people; cut to [`REASON_BYTES_MAX`](crate::REASON_BYTES_MAX).
    pub reason: String,
    /// The last lines that it logged; cut to [`LAST_LINES_MAX`](crate::LAST_LINES_MAX) and
    /// [`LAST_LINES_BYTES_MAX`](crate::LAST_LINES_BYTES_MAX).
    pub last_lines: Vec<String>,
}

impl End {
    /// An end without words.
    #[must_use]
    pub fn new(kind: EndKind) -> Self {
        Self { kind, reason: String::new(), last_lines: Vec::new() }
    }

    pub(crate) fn state(&self) -> InstanceState {
        match self.kind {
            EndKind::Succeeded => InstanceState::Succeeded,
            EndKind::Failed => InstanceState::Failed,
            EndKind::Killed => InstanceState::Killed,
            EndKind::Lost => InstanceState::Lost,
        }
    }
}

/// Why a task was not started, or perhaps was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartFailure {
    /// Whether it may have started all the same: then it is looked for, and not started elsewhere meanwhile.
    pub may_have_started: bool,
    /// Why, for people.
    pub reason: String,
}
