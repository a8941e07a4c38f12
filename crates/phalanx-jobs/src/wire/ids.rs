//! The names of calls, tasks and streams of commands: all made by the node where a call enters, none of them random.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use phalanx_base::{Boot, Generation, NodeId};
use serde::{Deserialize, Serialize};

use crate::outcome::shortened;

/// One call: the boot of the node where it entered, and a number that grows there.
///
/// A repeat of a call carries the same id; so the worker can tell a repeat from a new call, and a number below the
/// window that it keeps from one that it has never seen.
///
/// Ordered by the number first, which tells most calls apart at once, and those of one caller by their age.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallId {
    /// Where the call entered.
    pub caller: Boot,
    /// Grows with each call of that boot.
    pub sequence: u64,
}

impl Ord for CallId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sequence.cmp(&other.sequence).then_with(|| self.caller.cmp(&other.caller))
    }
}

impl PartialOrd for CallId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.caller, self.sequence)
    }
}

/// A text that names no call or task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no task: it looks like control-1@1a2b#7, as the lists show it")]
pub struct CallIdError {
    /// The text, shortened.
    text: String,
}

impl FromStr for CallId {
    type Err = CallIdError;

    /// What its `Display` writes.
    fn from_str(text: &str) -> Result<Self, CallIdError> {
        let parsed = || {
            let (boot, sequence) = text.rsplit_once('#')?;
            let (node, generation) = boot.rsplit_once('@')?;
            let generation = Generation::from_u64(u64::from_str_radix(generation, 16).ok()?);
            let caller = Boot { node: NodeId::new(node).ok()?, generation };
            Some(Self { caller, sequence: sequence.parse().ok()? })
        };
        parsed()
            .filter(|id: &Self| id.to_string() == text)
            .ok_or_else(|| CallIdError { text: shortened(text) })
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

impl FromStr for TaskId {
    type Err = CallIdError;

    fn from_str(text: &str) -> Result<Self, CallIdError> {
        text.parse().map(Self)
    }
}

/// One stream of commands to a task: commands of one stream are numbered without a gap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommandStream(pub CallId);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_shown_can_be_given_back(node in "[a-zA-Z0-9._-]{1,64}", generation: u64, sequence: u64) {
            let node = NodeId::new(&node).unwrap();
            let task = TaskId(CallId { caller: Boot { node, generation: Generation::from_u64(generation) }, sequence });
            prop_assert_eq!(task.to_string().parse(), Ok(task));
        }

        #[test]
        fn nothing_else_is_taken(text in "[a-f0-9@#+. ]{0,20}") {
            if let Ok(task) = text.parse::<TaskId>() {
                prop_assert_eq!(task.to_string(), text);
            }
        }
    }
}
