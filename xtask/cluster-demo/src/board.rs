//! What the parent knows of the cluster, from what the nodes have said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::protocol::{Handled, Notice};

/// What was seen of one task's events.
#[derive(Debug, Default)]
struct TaskSeen {
    worker: String,
    numbers: BTreeSet<u64>,
    end: Option<u64>,
    /// A control node was killed while it hosted the task's worker: numbers may come again.
    in_crash: bool,
}

/// The counts that the report gives.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) redelivered: u64,
    pub(crate) duplicates: u64,
    pub(crate) repeated_after_crash: u64,
    pub(crate) gaps: u64,
    pub(crate) requests_failed: u64,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Board {
    pub(crate) controls: BTreeSet<String>,
    pub(crate) workers: BTreeSet<String>,
    pub(crate) counts: Counts,
    pub(crate) latencies_us: Vec<u64>,
    ready: BTreeSet<String>,
    active: BTreeMap<String, BTreeSet<String>>,
    acting: BTreeMap<String, BTreeMap<String, String>>,
    shares: BTreeMap<String, BTreeMap<String, usize>>,
    hosts: BTreeMap<String, BTreeSet<String>>,
    seen_down: BTreeMap<String, Instant>,
    seen_lost: BTreeMap<String, Instant>,
    tasks: BTreeMap<String, TaskSeen>,
}

impl Board {
    /// Takes in what a node has said; what the work needs is not for the board.
    pub(crate) fn handle(&mut self, now: Instant, node: &str, notice: Notice) {
        // What a killed node said last arrives late. What it handled counts; how it saw the world does not any more.
        let is_opinion =
            matches!(notice, Notice::Cluster { .. } | Notice::Worker { .. } | Notice::Owners { .. });
        if is_opinion && !self.controls.contains(node) {
            return;
        }
        match notice {
            Notice::Ready => drop(self.ready.insert(node.to_owned())),
            Notice::Cluster { active, .. } => {
                self.active.insert(node.to_owned(), active.into_iter().collect());
            }
            Notice::Down { node } => drop(self.seen_down.entry(node).or_insert(now)),
            Notice::Worker { worker, up, hosted } => {
                let hosts = self.hosts.entry(worker.clone()).or_default();
                if hosted {
                    hosts.insert(node.to_owned());
                } else if hosts.remove(node) && !up {
                    self.seen_lost.insert(worker, now);
                }
            }
            Notice::Owners { acting, shares } => {
                self.acting.insert(node.to_owned(), acting);
                self.shares.insert(node.to_owned(), shares);
            }
            Notice::Handled(handled) => self.handle_event(handled),
            Notice::Gap { worker, from, through } => {
                if self.workers.contains(&worker) {
                    self.counts.gaps += through + 1 - from;
                }
            }
            Notice::Redelivered { count } => self.counts.redelivered += count,
            Notice::Asked { latencies_us, failed } => {
                self.latencies_us.extend(latencies_us);
                self.counts.requests_failed += failed;
            }
            Notice::Shipped { .. } => {}
        }
    }

    fn handle_event(&mut self, handled: Handled) {
        let task = self.tasks.entry(handled.task).or_default();
        task.worker = handled.worker;
        if !task.numbers.insert(handled.sequence) {
            let count = if task.in_crash {
                &mut self.counts.repeated_after_crash
            } else {
                &mut self.counts.duplicates
            };
            *count += 1;
        }
        self.counts.events += 1;
        if handled.ended {
            task.end = Some(handled.sequence);
        }
    }

    /// A control node has been killed. Returns the workers whose proxies it hosted.
    pub(crate) fn control_killed(&mut self, control: &str) -> BTreeSet<String> {
        self.controls.remove(control);
        self.acting.remove(control);
        self.active.remove(control);
        self.shares.remove(control);
        let mut orphans = BTreeSet::new();
        for (worker, hosts) in &mut self.hosts {
            if hosts.remove(control) && self.workers.contains(worker) {
                orphans.insert(worker.clone());
            }
        }
        for task in self.tasks.values_mut().filter(|task| orphans.contains(&task.worker)) {
            task.in_crash = true;
        }
        orphans
    }

    pub(crate) fn worker_killed(&mut self, worker: &str) {
        self.workers.remove(worker);
    }

    /// Which control node hosts a worker's proxy, when exactly one says so.
    pub(crate) fn host(&self, worker: &str) -> Option<&String> {
        let hosts = self.hosts.get(worker)?;
        if hosts.len() == 1 { hosts.first() } else { None }
    }

    pub(crate) fn is_ready(&self, node: &str) -> bool {
        self.ready.contains(node)
    }

    pub(crate) fn seen_down(&self, control: &str) -> Option<Instant> {
        self.seen_down.get(control).copied()
    }

    pub(crate) fn seen_lost(&self, worker: &str) -> Option<Instant> {
        self.seen_lost.get(worker).copied()
    }

    /// Every control node sees exactly these own partitions.
    pub(crate) fn all_see_active(&self, expected: &BTreeSet<String>) -> bool {
        self.controls.iter().all(|control| self.active.get(control) == Some(expected))
    }

    /// Every worker's proxy is where every control node says that it should be, and nowhere else.
    pub(crate) fn is_settled(&self) -> bool {
        let placed = |worker: &String| {
            let Some(host) = self.host(worker) else { return false };
            self.controls
                .iter()
                .all(|control| self.acting.get(control).and_then(|said| said.get(worker)) == Some(host))
        };
        self.workers.iter().all(placed)
    }

    /// The share of all partitions that a control node owns, from 0 to 1, as it sees itself.
    pub(crate) fn share(&self, control: &str) -> f64 {
        let Some(shares) = self.shares.get(control) else { return 0.0 };
        let all: usize = shares.values().sum();
        shares.get(control).copied().unwrap_or(0) as f64 / all.max(1) as f64
    }

    /// The hosts of all workers, to be compared later.
    pub(crate) fn placed(&self) -> BTreeMap<String, String> {
        self.workers.iter().filter_map(|worker| Some((worker.clone(), self.host(worker)?.clone()))).collect()
    }

    /// How many tasks on living workers have not been seen to end.
    pub(crate) fn unended(&self) -> usize {
        self.living().filter(|task| task.end.is_none()).count()
    }

    /// How many tasks on living workers have been seen to end.
    pub(crate) fn ended(&self) -> usize {
        self.living().filter(|task| task.end.is_some()).count()
    }

    /// How many numbers of tasks on living workers were never handled.
    pub(crate) fn missing_numbers(&self) -> u64 {
        self.living().map(|task| task.end.unwrap_or(0).saturating_sub(task.numbers.len() as u64)).sum()
    }

    fn living(&self) -> impl Iterator<Item = &TaskSeen> {
        self.tasks.values().filter(|task| self.workers.contains(&task.worker))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn handled(sequence: u64, ended: bool) -> Notice {
        Notice::Handled(Handled { worker: "w1".into(), task: "t".into(), sequence, ended })
    }

    fn board() -> Board {
        let mut board = Board::default();
        board.controls.extend(["c1".to_owned(), "c2".to_owned()]);
        board.workers.insert("w1".to_owned());
        board
    }

    #[test]
    fn a_number_seen_twice_is_a_duplicate_unless_its_control_node_was_killed() {
        let mut board = board();
        let now = Instant::now();
        board.handle(now, "c1", Notice::Worker { worker: "w1".into(), up: true, hosted: true });
        board.handle(now, "c1", handled(1, false));
        board.handle(now, "c1", handled(1, false));
        assert_eq!(board.counts.duplicates, 1);
        assert_eq!(board.control_killed("c1").len(), 1);
        board.handle(now, "c2", handled(1, false));
        assert_eq!((board.counts.duplicates, board.counts.repeated_after_crash), (1, 1));
    }

    #[test]
    fn a_hole_is_missed_and_an_end_is_waited_for() {
        let mut board = board();
        let now = Instant::now();
        board.handle(now, "c1", handled(1, false));
        assert_eq!((board.unended(), board.missing_numbers()), (1, 0));
        board.handle(now, "c1", handled(3, true));
        assert_eq!((board.unended(), board.missing_numbers()), (0, 1));
    }

    #[test]
    fn settled_means_one_host_and_all_agree() {
        let mut board = board();
        let now = Instant::now();
        let owners = |host: &str| Notice::Owners {
            acting: [("w1".to_owned(), host.to_owned())].into(),
            shares: BTreeMap::new(),
        };
        board.handle(now, "c1", Notice::Worker { worker: "w1".into(), up: true, hosted: true });
        board.handle(now, "c1", owners("c1"));
        assert!(!board.is_settled());
        board.handle(now, "c2", owners("c1"));
        assert!(board.is_settled());
        board.handle(now, "c2", Notice::Worker { worker: "w1".into(), up: true, hosted: true });
        assert!(!board.is_settled());
    }
}
