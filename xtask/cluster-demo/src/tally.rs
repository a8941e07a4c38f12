//! What was seen of the tasks' events: which numbers were handled, by whom, and how often.
//!
//! A number that is handled twice is a broken promise, unless one of the two that handled it was killed or stopped
//! meanwhile. So the tally keeps who handled what, for as many tasks as there is room for.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::protocol::Handled;

/// How many ended tasks are remembered by their numbers: many minutes of work, some ten megabytes. Of older ones only
/// the count is kept.
const ENDED_MAX: usize = 50_000;

/// What a handled number was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    First,
    Twice,
    /// Twice, and one of the two that handled it was killed or stopped.
    AgainAfterCrash,
}

#[derive(Debug, Default)]
struct Task {
    worker: String,
    /// By number: who handled it first, as a place in `handlers`.
    handled_by: BTreeMap<u64, usize>,
    end: Option<u64>,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    tasks: BTreeMap<String, Task>,
    /// Ended tasks, oldest first.
    ended: VecDeque<String>,
    /// Ended tasks that are remembered only as a number, by worker.
    forgotten: BTreeMap<String, usize>,
    /// Every control node that handled something; one that has recovered from a stop takes a new place.
    handlers: Vec<String>,
    crashed: BTreeSet<usize>,
}

impl Tally {
    pub(crate) fn handle(&mut self, node: &str, handled: Handled) -> Seen {
        let by = self.handler(node);
        let task = self.tasks.entry(handled.task.clone()).or_default();
        task.worker = handled.worker;
        let seen = match task.handled_by.entry(handled.sequence) {
            Entry::Vacant(free) => {
                free.insert(by);
                Seen::First
            }
            Entry::Occupied(taken) if self.crashed.contains(&by) || self.crashed.contains(taken.get()) => {
                Seen::AgainAfterCrash
            }
            Entry::Occupied(_) => Seen::Twice,
        };
        if handled.ended && task.end.replace(handled.sequence).is_none() {
            self.ended.push_back(handled.task);
            self.forget();
        }
        seen
    }

    /// The newest place of a node among those that handle.
    fn handler(&mut self, node: &str) -> usize {
        self.handlers.iter().rposition(|known| known == node).unwrap_or_else(|| {
            self.handlers.push(node.to_owned());
            self.handlers.len() - 1
        })
    }

    /// What this control node handled may be handled again elsewhere, for it was killed or stopped.
    pub(crate) fn crashed(&mut self, node: &str) {
        let at = self.handler(node);
        self.crashed.insert(at);
    }

    /// A control node that was stopped works as before: what it handles from now on must not come twice.
    pub(crate) fn recovered(&mut self, node: &str) {
        self.handlers.push(node.to_owned());
    }

    fn forget(&mut self) {
        if self.ended.len() <= ENDED_MAX {
            return;
        }
        let oldest = self.ended.front().and_then(|task| self.tasks.get(task));
        // A task with a hole stays: it is a finding.
        if oldest.is_some_and(|task| task.missing() > 0) {
            return self.ended.rotate_left(1);
        }
        if let Some(task) = self.ended.pop_front().and_then(|task| self.tasks.remove(&task)) {
            *self.forgotten.entry(task.worker).or_default() += 1;
        }
    }

    /// How many tasks on these workers have not been seen to end.
    pub(crate) fn unended(&self, workers: &BTreeSet<String>) -> usize {
        self.of(workers).filter(|task| task.end.is_none()).count()
    }

    /// How many tasks on these workers have been seen to end.
    pub(crate) fn ended(&self, workers: &BTreeSet<String>) -> usize {
        let forgotten = self.forgotten.iter().filter(|(worker, _)| workers.contains(*worker));
        forgotten.map(|(_, count)| count).sum::<usize>()
            + self.of(workers).filter(|task| task.end.is_some()).count()
    }

    /// How many numbers of tasks on these workers were never handled.
    pub(crate) fn missing(&self, workers: &BTreeSet<String>) -> u64 {
        self.of(workers).map(Task::missing).sum()
    }

    fn of(&self, workers: &BTreeSet<String>) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(|task| workers.contains(&task.worker))
    }
}

impl Task {
    fn missing(&self) -> u64 {
        self.end.unwrap_or(0).saturating_sub(self.handled_by.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handled(task: &str, sequence: u64, ended: bool) -> Handled {
        Handled { worker: "w".into(), task: task.into(), sequence, ended }
    }

    #[test]
    fn a_number_may_come_twice_only_around_a_crash() {
        let mut tally = Tally::default();
        assert_eq!(tally.handle("c1", handled("t", 1, false)), Seen::First);
        assert_eq!(tally.handle("c2", handled("t", 1, false)), Seen::Twice);
        tally.crashed("c1");
        assert_eq!(tally.handle("c2", handled("t", 1, false)), Seen::AgainAfterCrash);
        assert_eq!(tally.handle("c2", handled("t", 2, false)), Seen::First);
        assert_eq!(tally.handle("c3", handled("t", 2, false)), Seen::Twice, "neither of the two crashed");
        tally.recovered("c1");
        assert_eq!(tally.handle("c1", handled("t", 3, false)), Seen::First);
        assert_eq!(tally.handle("c2", handled("t", 3, false)), Seen::Twice, "it has recovered since");
    }

    #[test]
    fn a_hole_is_missed_and_an_end_is_waited_for() {
        let (mut tally, workers) = (Tally::default(), BTreeSet::from(["w".to_owned()]));
        tally.handle("c1", handled("t", 1, false));
        assert_eq!((tally.unended(&workers), tally.missing(&workers)), (1, 0));
        tally.handle("c1", handled("t", 3, true));
        assert_eq!((tally.unended(&workers), tally.missing(&workers)), (0, 1));
        assert_eq!(tally.missing(&BTreeSet::new()), 0, "a dead worker's tasks are nobody's");
    }

    #[test]
    fn what_is_forgotten_still_counts_unless_it_has_a_hole() {
        let (mut tally, workers) = (Tally::default(), BTreeSet::from(["w".to_owned()]));
        tally.handle("c1", handled("with a hole", 2, true));
        for number in 0..ENDED_MAX + 10 {
            tally.handle("c1", handled(&number.to_string(), 1, true));
        }
        assert_eq!(tally.ended(&workers), ENDED_MAX + 11);
        assert_eq!(tally.missing(&workers), 1);
        assert!(tally.tasks.len() <= ENDED_MAX + 2, "{}", tally.tasks.len());
    }
}
