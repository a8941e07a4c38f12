//! Tasks: each ends once, and takes its commands in their order.

use std::collections::BTreeMap;

use super::{Broken, Counts, name};
use crate::history::Entry;

#[derive(Debug, Default)]
pub(super) struct TaskEnds {
    ends: BTreeMap<u64, String>,
    last_commands: BTreeMap<u64, u64>,
}

impl TaskEnds {
    pub(super) fn check(&mut self, entry: &Entry, broken: &mut Vec<Broken>) {
        match entry {
            Entry::TaskEnded { task, how } => {
                let before = self.ends.entry(*task).or_insert_with(|| how.clone());
                if before != how {
                    broken.push((
                        name::TASK_ONCE,
                        format!("task {task} has ended as {before}, and now as {how}"),
                    ));
                }
            }
            Entry::Commanded { task, command } => {
                let last = self.last_commands.entry(*task).or_default();
                if command <= last {
                    let what = format!("task {task} was given command {command} after {last}");
                    broken.push((name::COMMANDS_IN_ORDER, what));
                }
                *last = (*last).max(*command);
            }
            _ => {}
        }
    }

    pub(super) fn count(&self, counts: &mut Counts) {
        counts.tasks = self.ends.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::Story;
    use super::*;

    fn ended(task: u64, how: &str) -> Entry {
        Entry::TaskEnded { task, how: how.to_owned() }
    }

    fn commanded(task: u64, command: u64) -> Entry {
        Entry::Commanded { task, command }
    }

    #[test]
    fn an_end_that_is_told_twice_is_one_end() {
        let story = Story::begin().then(&ended(1, "Ok(7)")).then(&ended(1, "Ok(7)")).then(&ended(2, "Ok(8)"));
        assert_eq!(story.counts().tasks, 2);
        story.breaks_nothing();
    }

    #[test]
    fn an_end_that_changes_breaks_its_promise() {
        Story::begin().then(&ended(1, "Ok(7)")).then(&ended(1, "Ok(8)")).breaks(&[name::TASK_ONCE]);
    }

    #[test]
    fn commands_that_grow_are_in_order_even_if_some_are_missing() {
        // One that was not executed leaves a hole, and each task has numbers of its own.
        Story::begin().then(&commanded(1, 1)).then(&commanded(1, 3)).then(&commanded(2, 1)).breaks_nothing();
    }

    #[test]
    fn commands_that_come_again_or_too_late_break_their_promise() {
        Story::begin().then(&commanded(1, 1)).then(&commanded(1, 1)).breaks(&[name::COMMANDS_IN_ORDER]);
        let overtaken = Story::begin().then(&commanded(1, 2)).then(&commanded(1, 1));
        overtaken.breaks(&[name::COMMANDS_IN_ORDER]);
    }
}
