//! What is waited for after something was done to the cluster, and since when.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::board::Board;

/// How long anything may take before the demo goes on without it: far more than any promise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Something that should come to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// A control node sees this one down.
    Down(String),
    /// The workers that this control node hosted have proxies elsewhere, unless they died.
    Rehosted { control: String, workers: BTreeSet<String> },
    /// A worker that was connected is called not connected.
    NotConnected(String),
    /// A new worker has a proxy.
    Placed(String),
    /// All see a new control node owning partitions.
    Active(String),
    /// The ring is the one of those that live, and every worker is at its owner.
    Balanced,
    /// A control node that leaves has ended.
    Exited(String),
}

/// Something awaited in the background, while the demo goes on.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) awaited: Awaited,
    pub(crate) since: Instant,
    pub(crate) until: Instant,
}

impl Awaited {
    /// When it came to be so, if it is; most of it is so at the time at which one looks.
    pub(crate) fn holds(&self, board: &Board, since: Instant, now: Instant) -> Option<Instant> {
        let if_so = |is_so: bool| is_so.then_some(now);
        match self {
            Self::Down(control) => board.seen_down(control),
            Self::Rehosted { control, workers } => if_so(
                workers
                    .iter()
                    .all(|worker| !board.workers.contains(worker) || board.is_hosted_beside(worker, control)),
            ),
            Self::NotConnected(worker) => board.seen_lost(worker).filter(|at| *at >= since),
            Self::Placed(worker) => if_so(board.host(worker).is_some()),
            Self::Active(control) => if_so(board.all_see_owning(control)),
            Self::Balanced => if_so(board.is_balanced()),
            Self::Exited(control) => board.seen_exited(control),
        }
    }

    /// What to say when it came to be so after this time.
    pub(crate) fn done(&self, after_ms: u64) -> String {
        match self {
            Self::Down(control) => format!("{control} was seen down after {after_ms} ms"),
            Self::Rehosted { control, workers } => {
                format!("{} workers of {control} have proxies again after {after_ms} ms", workers.len())
            }
            Self::NotConnected(worker) => format!("{worker} was not connected after {after_ms} ms"),
            Self::Placed(worker) => format!("{worker} has a proxy after {after_ms} ms"),
            Self::Active(control) => format!("all see {control} active after {after_ms} ms"),
            Self::Balanced => format!("every worker is at its ring owner after {after_ms} ms"),
            Self::Exited(control) => format!("{control} left in order within {after_ms} ms"),
        }
    }

    /// What to say when it did not come to be so in time.
    pub(crate) fn missed(&self) -> String {
        let waited = PATIENCE.as_secs();
        match self {
            Self::Down(control) => format!("nobody saw {control} down within {waited} s"),
            Self::Rehosted { control, .. } => {
                format!("not every worker of {control} has a proxy again after {waited} s")
            }
            Self::NotConnected(worker) => format!("nobody called {worker} not connected within {waited} s"),
            Self::Placed(worker) => format!("{worker} has no proxy after {waited} s"),
            Self::Active(control) => format!("not all see {control} active after {waited} s"),
            Self::Balanced => format!(
                "the workers are not at their ring owners after {waited} s; a ring forgets who was killed only where \
                 more than half of all control nodes live, the killed ones counted"
            ),
            Self::Exited(control) => format!("{control} has not ended {waited} s after it was told to leave"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use phalanx::NodeStatus;

    use super::*;
    use crate::protocol::Notice;

    #[test]
    fn workers_are_rehosted_when_another_one_hosts_all_that_live() {
        let now = Instant::now();
        let mut board = Board::new(now);
        board.controls.extend(["c1".to_owned(), "c2".to_owned()]);
        board.workers.extend(["w1".to_owned(), "w2".to_owned()]);
        let host = |board: &mut Board, control: &str, worker: &str| {
            let status = NodeStatus::Ready;
            board.handle(now, control, Notice::Worker { worker: worker.into(), status, hosted: true });
        };
        host(&mut board, "c1", "w1");
        host(&mut board, "c1", "w2");
        let rehosted = Awaited::Rehosted { control: "c1".into(), workers: board.hosted_by("c1") };
        host(&mut board, "c2", "w1");
        assert_eq!(rehosted.holds(&board, now, now), None, "w2 is still where it was");
        board.worker_gone("w2");
        assert_eq!(rehosted.holds(&board, now, now), Some(now), "who died is not waited for");
    }

    #[test]
    fn what_was_seen_before_does_not_count() {
        let early = Instant::now();
        let late = early + Duration::from_secs(1);
        let mut board = Board::new(early);
        board.controls.insert("c1".to_owned());
        board.workers.insert("w1".to_owned());
        for (status, hosted) in [(NodeStatus::Ready, true), (NodeStatus::NotConnected, false)] {
            board.handle(early, "c1", Notice::Worker { worker: "w1".into(), status, hosted });
        }
        let lost = Awaited::NotConnected("w1".into());
        assert_eq!((lost.holds(&board, early, late), lost.holds(&board, late, late)), (Some(early), None));
    }
}
