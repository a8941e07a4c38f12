//! The names of calls, tasks and streams of commands: all made by the node where a call enters, none of them random.

use std::fmt;

use phalanx_base::Boot;
use serde::{Deserialize, Serialize};

/// One call: the boot of the node where it entered, and a number that grows there.
///
/// A repeat of a call carries the same id; so the worker can tell a repeat from a new call, and a number below the
/// window that it keeps from one that it has never seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId {
    /// Where the call entered.
    pub caller: Boot,
    /// Grows with each call of that boot.
    pub sequence: u64,
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.caller, self.sequence)
    }
}

/// One task: the call that started it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId(pub CallId);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One stream of commands to a task: commands of one stream are numbered without a gap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommandStream(pub CallId);
