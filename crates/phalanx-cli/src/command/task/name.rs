//! What tasks are called: `WORKER/CALLER@GENERATION#NUMBER`, or as much of it as names only one.
//!
//! The id of a task says who started it and not where it runs, so its worker stands before it. Then nobody has to look for
//! it, and a task that nobody lists any more can still be asked for, such as for its log.

use std::fmt;
use std::str::FromStr;

use phalanx::{NodeId, TaskId};

/// A task as this program shows it.
pub(crate) fn shown(worker: &NodeId, task: &TaskId) -> String {
    format!("{worker}/{task}")
}

/// A task as people name it: all of [`shown`], the beginning of it or of what is behind the worker, or the number at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskName {
    pub(crate) worker: Option<NodeId>,
    rest: String,
}

/// Why a text names no task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskNameError;

impl fmt::Display for TaskNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no task: copy its name from `phalanx task ls`, the beginning of it, or the number behind its `#`")
    }
}

impl std::error::Error for TaskNameError {}

impl FromStr for TaskName {
    type Err = TaskNameError;
    fn from_str(text: &str) -> Result<Self, TaskNameError> {
        let (worker, rest) = match text.split_once('/') {
            Some((worker, rest)) => (Some(worker.parse().map_err(|_| TaskNameError)?), rest),
            None => (None, text),
        };
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-@#".contains(letter);
        match (worker.is_some() || !rest.is_empty()) && rest.chars().all(is_letter) {
            true => Ok(Self { worker, rest: rest.to_owned() }),
            false => Err(TaskNameError),
        }
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.worker {
            Some(worker) => write!(f, "{worker}/{}", self.rest),
            None => f.write_str(&self.rest),
        }
    }
}

/// How well a name fits a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    Not,
    InPart,
    Wholly,
}

impl TaskName {
    /// The task and its worker, where the name says all of it: then it need not be looked for.
    pub(crate) fn whole(&self) -> Option<(NodeId, TaskId)> {
        Some((self.worker.clone()?, self.rest.parse().ok()?))
    }

    /// Whether it may mean this task.
    pub(crate) fn fits(&self, worker: &NodeId, task: &TaskId) -> Fit {
        if self.worker.as_ref().is_some_and(|own| own != worker) {
            return Fit::Not;
        }
        let id = task.to_string();
        let names_worker = || self.worker.is_none() && worker.as_str().starts_with(&self.rest);
        if id == self.rest {
            Fit::Wholly
        } else if id.starts_with(&self.rest) || names_worker() || self.number() == Some(task.0.sequence) {
            Fit::InPart
        } else {
            Fit::Not
        }
    }

    /// The number at the end of an id, with its sign or without.
    fn number(&self) -> Option<u64> {
        self.rest.strip_prefix('#').unwrap_or(&self.rest).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{id, task_id};

    fn name(text: &str) -> TaskName {
        text.parse().expect(text)
    }

    #[test]
    fn what_is_shown_is_understood() {
        let (worker, task) = (id("worker-1"), task_id(7));
        let text = shown(&worker, &task);
        assert_eq!(text, "worker-1/control-1@1a2b#7");
        assert_eq!(name(&text).to_string(), text);
        assert_eq!(name(&text).whole(), Some((worker.clone(), task.clone())));
        assert_eq!(name(&text).fits(&worker, &task), Fit::Wholly);
        assert_eq!(name("control-1@1a2b#7").whole(), None, "nobody knows where it is");
        for short in
            ["7", "#7", "control-1@1a2b#7", "cont", "worker", "worker-1/", "worker-1/7", "worker-1/control"]
        {
            assert_ne!(name(short).fits(&worker, &task), Fit::Not, "{short}");
        }
        for other in ["8", "worker-2/", "control-1@1a2c", "worker-1/8", "worker-1/control-1@1a2b#71", "17"] {
            assert_eq!(name(other).fits(&worker, &task), Fit::Not, "{other}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in ["", "/7", "a b", "a/b/c", "worker-1/7\u{1b}", "ä"] {
            assert_eq!(wrong.parse::<TaskName>(), Err(TaskNameError), "{wrong:?}");
        }
    }
}
