//! The demo's job as the parent sees it: so many instances are asked for, and it is looked whether each runs once.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::board::Board;
use crate::post::{Held, JobSeen};

/// How many instances there are to be.
pub(crate) const DESIRED: u32 = 3;

/// What was found, for the report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct JobsFound {
    pub(crate) desired: u32,
    /// How many instances ran at the end, by the word of the workers.
    pub(crate) running_at_end: usize,
    /// How often an instance was started anew, because its worker was lost.
    pub(crate) replaced: u64,
    /// From the kill of a worker that had an instance until all of them ran again; nothing if they did not.
    pub(crate) replaced_ms: Option<u64>,
    /// How often two of one instance ran while the cluster was at rest.
    pub(crate) doubled: u64,
}

impl JobsFound {
    /// Whether all instances ran in the end, and the one that was lost had been replaced.
    pub(crate) fn is_kept(&self) -> bool {
        self.running_at_end == self.desired as usize && self.replaced > 0 && self.replaced_ms.is_some()
    }
}

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Job {
    /// Why it was not taken, once it was asked for.
    pub(crate) applied: Option<Result<(), String>>,
    pub(crate) replaced_ms: Option<u64>,
    running: usize,
    held: BTreeSet<Held>,
    /// The attempt of each instance that was seen first, and last.
    attempts: BTreeMap<String, (u64, u64)>,
    doubled: u64,
}

impl Job {
    /// A control node says how it is. Two of one instance count only while the cluster is at rest.
    pub(crate) fn handle(&mut self, seen: JobSeen, board: &Board, is_at_rest: bool) {
        let lives = |held: &Held| board.workers.contains(&held.worker);
        self.running = seen.running;
        self.held = seen.held.into_iter().filter(lives).collect();
        for held in &self.held {
            let attempts = self.attempts.entry(held.instance.clone()).or_insert((held.attempt, held.attempt));
            attempts.1 = attempts.1.max(held.attempt);
        }
        if is_at_rest && self.held.len() > self.instances() {
            self.doubled += 1;
        }
    }

    fn instances(&self) -> usize {
        self.held.iter().map(|held| &held.instance).collect::<BTreeSet<_>>().len()
    }

    /// Whether all instances run once, on workers that live, by the word of the workers and by what is written down.
    pub(crate) fn is_whole(&self, board: &Board) -> bool {
        let wanted = DESIRED as usize;
        let lives = |held: &Held| board.workers.contains(&held.worker);
        let all_live = self.held.iter().all(lives);
        all_live && self.held.len() == wanted && self.instances() == wanted && self.running == wanted
    }

    /// A worker that has an instance.
    pub(crate) fn holder(&self, board: &Board) -> Option<String> {
        let mut holders = self.held.iter().map(|held| &held.worker);
        holders.find(|worker| board.workers.contains(*worker)).cloned()
    }

    pub(crate) fn found(&self, board: &Board) -> JobsFound {
        let held = self.held.iter().filter(|held| board.workers.contains(&held.worker));
        let running: BTreeSet<&String> = held.map(|held| &held.instance).collect();
        JobsFound {
            desired: DESIRED,
            running_at_end: running.len(),
            replaced: self.attempts.values().map(|(first, last)| last - first).sum(),
            replaced_ms: self.replaced_ms,
            doubled: self.doubled,
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn seen(held: &[(&str, u64, &str)]) -> JobSeen {
        let held = held.iter().map(|(instance, attempt, worker)| Held {
            instance: (*instance).to_owned(),
            attempt: *attempt,
            worker: (*worker).to_owned(),
        });
        JobSeen { running: 3, held: held.collect() }
    }

    #[test]
    fn an_instance_is_replaced_and_never_doubled() {
        let mut board = Board::new(Instant::now());
        board.workers.extend(["w1", "w2"].map(str::to_owned));
        let mut job = Job::default();
        job.handle(seen(&[("#0", 1, "w1"), ("#1", 1, "w1"), ("#2", 1, "w2")]), &board, true);
        assert!(job.is_whole(&board));
        assert_eq!(job.holder(&board).as_deref(), Some("w1"));
        board.worker_gone("w1");
        assert!(!job.is_whole(&board), "what ran there does not count, whatever was said before");
        board.workers.insert("w3".to_owned());
        let moved = [("#0", 2, "w3"), ("#1", 2, "w2"), ("#2", 1, "w2"), ("#0", 1, "w1")];
        job.handle(seen(&moved), &board, true);
        assert!(job.is_whole(&board));
        let found = job.found(&board);
        assert_eq!((found.running_at_end, found.replaced, found.doubled), (3, 2, 0));
        let twice = [("#0", 2, "w3"), ("#0", 3, "w2"), ("#1", 2, "w2"), ("#2", 1, "w2")];
        job.handle(seen(&twice), &board, false);
        assert_eq!(job.found(&board).doubled, 0, "the cluster is in motion");
        job.handle(seen(&twice), &board, true);
        assert_eq!(job.found(&board).doubled, 1);
        assert!(!job.is_whole(&board));
    }
}
