//! What each change of the control nodes did to ownership: how much moved, and how much had to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::board::Board;
use crate::protocol::Moves;

/// How many changes are kept, oldest first: more than a page can show.
const CHANGES_MAX: usize = 64;

/// What happened to a control node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Joined,
    Left,
    Killed,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Joined => "joined",
            Kind::Left => "left",
            Kind::Killed => "was killed",
        }
    }
}

/// Workers whose proxies have another host than before, and how many of them no placement could have spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct WorkerMoves {
    pub(crate) moved: usize,
    pub(crate) ideal: usize,
}

/// One control node more or less.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) node: String,
    /// Since the start.
    pub(crate) at_s: f64,
    /// Until every proxy was where the new ring says; without it, the next change came first.
    pub(crate) settled_s: Option<f64>,
    pub(crate) workers: Option<WorkerMoves>,
    pub(crate) partitions: Option<Moves>,
}

/// Who owned what at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) label: String,
    /// Of all partitions, from 0 to 1.
    pub(crate) shares: BTreeMap<String, f64>,
    /// How many workers each control node hosts.
    pub(crate) workers: BTreeMap<String, usize>,
}

/// A change that has not settled.
#[derive(Debug)]
struct Open {
    change: Change,
    at: Duration,
    placed: BTreeMap<String, String>,
    hosted: BTreeSet<String>,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) settled: Vec<Change>,
    pub(crate) snapshots: Vec<Snapshot>,
    open: Option<Open>,
}

impl Changes {
    pub(crate) fn snapshot(&mut self, label: &str, board: &Board) {
        if self.snapshots.len() > CHANGES_MAX {
            return;
        }
        let mut workers: BTreeMap<String, usize> =
            board.controls.iter().map(|control| (control.clone(), 0)).collect();
        for host in board.placed().into_values() {
            *workers.entry(host).or_default() += 1;
        }
        self.snapshots.push(Snapshot { label: label.to_owned(), shares: board.shares(), workers });
    }

    /// A change begins. To be called before the board forgets the node; one that has not settled is left unmeasured.
    pub(crate) fn begin(&mut self, at: Duration, kind: Kind, node: &str, board: &mut Board) {
        if let Some(open) = self.open.take() {
            self.keep(open.change);
        }
        board.clear_moves();
        let change = Change {
            kind,
            node: node.to_owned(),
            at_s: at.as_secs_f64(),
            settled_s: None,
            workers: None,
            partitions: None,
        };
        self.open = Some(Open { change, at, placed: board.placed(), hosted: board.hosted_by(node) });
    }

    /// The present change has settled. Returns it.
    pub(crate) fn finish(&mut self, at: Duration, board: &Board) -> Option<Change> {
        let Open { mut change, at: begun_at, placed, hosted } = self.open.take()?;
        let after = board.placed();
        let stayed = |worker: &String, host: &String| after.get(worker).is_some_and(|now| now == host);
        let living = || placed.iter().filter(|(worker, _)| after.contains_key(*worker));
        let ideal = match change.kind {
            Kind::Joined => living().filter(|(worker, _)| stayed(worker, &change.node)).count(),
            Kind::Left | Kind::Killed => living().filter(|(worker, _)| hosted.contains(*worker)).count(),
        };
        let moved = living().filter(|(worker, host)| !stayed(worker, host)).count();
        change.workers = Some(WorkerMoves { moved, ideal });
        change.partitions = Some(board.moves(&change.node));
        change.settled_s = Some((at - begun_at).as_secs_f64());
        self.snapshot(&format!("{} {}", change.node, change.kind.word()), board);
        self.keep(change.clone());
        Some(change)
    }

    fn keep(&mut self, change: Change) {
        if self.settled.len() < CHANGES_MAX {
            self.settled.push(change);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::time::Instant;

    use phalanx::NodeStatus;

    use super::*;
    use crate::protocol::Notice;

    fn host(board: &mut Board, control: &str, worker: &str, hosted: bool) {
        let notice = Notice::Worker { worker: worker.into(), status: NodeStatus::Ready, hosted };
        board.handle(Instant::now(), control, notice);
    }

    #[test]
    fn moves_are_set_against_those_that_nobody_could_spare() {
        let mut board = Board::new(Instant::now());
        board.controls.extend(["c1".to_owned(), "c2".to_owned()]);
        for (worker, control) in [("w1", "c1"), ("w2", "c1"), ("w3", "c2")] {
            board.workers.insert(worker.to_owned());
            host(&mut board, control, worker, true);
        }
        let mut changes = Changes::default();
        changes.begin(Duration::from_secs(1), Kind::Joined, "c3", &mut board);
        board.controls.insert("c3".to_owned());
        // One goes to the newcomer, and one needlessly between the others.
        for (worker, from, to) in [("w1", "c1", "c3"), ("w2", "c1", "c2")] {
            host(&mut board, from, worker, false);
            host(&mut board, to, worker, true);
        }
        let joined = changes.finish(Duration::from_secs(3), &board).unwrap();
        assert_eq!(joined.workers, Some(WorkerMoves { moved: 2, ideal: 1 }));
        assert_eq!(joined.settled_s, Some(2.0));
        changes.begin(Duration::from_secs(4), Kind::Killed, "c2", &mut board);
        board.control_gone("c2");
        changes.begin(Duration::from_secs(5), Kind::Killed, "c1", &mut board);
        assert_eq!(changes.settled.last().unwrap().workers, None, "the next change overtook it");
        assert_eq!(changes.snapshots[0].workers["c3"], 1);
    }
}
