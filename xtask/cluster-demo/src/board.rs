//! What the parent knows of the cluster, from what the nodes have said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use phalanx::NodeStatus;

use crate::protocol::{Moves, Notice};
use crate::samples::Samples;
use crate::tally::{Seen, Tally};

/// How many different reasons of failed requests are kept: there are some twenty, a few of which name a node.
const REASONS_MAX: usize = 64;

/// The counts that the report gives; the difference of two is what happened in between.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) redelivered: u64,
    pub(crate) duplicates: u64,
    pub(crate) repeated_after_crash: u64,
    pub(crate) gaps: u64,
    pub(crate) requests_failed: u64,
    /// Of these, to workers that live.
    pub(crate) requests_failed_living: u64,
    /// How often a worker that lives was called not connected, by its control node or by a failed request.
    pub(crate) not_connected: u64,
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) started_at: Instant,
    pub(crate) controls: BTreeSet<String>,
    pub(crate) workers: BTreeSet<String>,
    /// Control nodes that take no orders now: they are stopped, or they leave.
    pub(crate) unfit: BTreeSet<String>,
    pub(crate) counts: Counts,
    pub(crate) samples: Samples,
    pub(crate) tally: Tally,
    /// Why requests had no answer, and how often.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// How many requests to workers that live had no answer, by the control node that asked.
    pub(crate) failed_by: BTreeMap<String, u64>,
    ready: BTreeSet<String>,
    boots: BTreeMap<String, BTreeSet<String>>,
    alive: BTreeMap<String, BTreeSet<String>>,
    active: BTreeMap<String, BTreeSet<String>>,
    acting: BTreeMap<String, BTreeMap<String, String>>,
    shares: BTreeMap<String, BTreeMap<String, usize>>,
    moves: BTreeMap<String, Moves>,
    hosts: BTreeMap<String, BTreeSet<String>>,
    statuses: BTreeMap<String, NodeStatus>,
    seen_down: BTreeMap<String, Instant>,
    seen_lost: BTreeMap<String, Instant>,
    leaving: BTreeMap<String, Instant>,
    exited: BTreeMap<String, Instant>,
}

impl Board {
    pub(crate) fn new(started_at: Instant) -> Self {
        Self {
            started_at,
            controls: BTreeSet::new(),
            workers: BTreeSet::new(),
            unfit: BTreeSet::new(),
            counts: Counts::default(),
            samples: Samples::default(),
            tally: Tally::default(),
            reasons: BTreeMap::new(),
            failed_by: BTreeMap::new(),
            ready: BTreeSet::new(),
            boots: BTreeMap::new(),
            alive: BTreeMap::new(),
            active: BTreeMap::new(),
            acting: BTreeMap::new(),
            shares: BTreeMap::new(),
            moves: BTreeMap::new(),
            hosts: BTreeMap::new(),
            statuses: BTreeMap::new(),
            seen_down: BTreeMap::new(),
            seen_lost: BTreeMap::new(),
            leaving: BTreeMap::new(),
            exited: BTreeMap::new(),
        }
    }

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
            Notice::Cluster { boot, alive, active } => {
                self.boots.entry(node.to_owned()).or_default().insert(boot);
                self.alive.insert(node.to_owned(), alive.into_iter().collect());
                self.active.insert(node.to_owned(), active.into_iter().collect());
            }
            Notice::Down { node } => drop(self.seen_down.entry(node).or_insert(now)),
            Notice::Worker { worker, status, hosted } => {
                self.handle_worker(now, node, &worker, status, hosted)
            }
            Notice::Owners { acting, shares, moves } => {
                self.acting.insert(node.to_owned(), acting);
                self.shares.insert(node.to_owned(), shares);
                let all = self.moves.entry(node.to_owned()).or_default();
                all.partitions += moves.partitions;
                all.ideal += moves.ideal;
            }
            Notice::Handled(handled) => {
                self.counts.events += 1;
                match self.tally.handle(node, handled) {
                    Seen::First => {}
                    Seen::Twice => self.counts.duplicates += 1,
                    Seen::AgainAfterCrash => self.counts.repeated_after_crash += 1,
                }
            }
            Notice::Gap { worker, from, through } if self.workers.contains(&worker) => {
                self.counts.gaps += through + 1 - from;
            }
            Notice::Redelivered { count } => self.counts.redelivered += count,
            Notice::Asked { latencies_us } => self.samples.add(now - self.started_at, &latencies_us, 0),
            Notice::Unanswered { worker, reason, not_connected } => {
                self.samples.add(now - self.started_at, &[], 1);
                if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&reason) {
                    *self.reasons.entry(reason).or_default() += 1;
                }
                self.counts.requests_failed += 1;
                if self.workers.contains(&worker) {
                    self.counts.requests_failed_living += 1;
                    *self.failed_by.entry(node.to_owned()).or_default() += 1;
                    self.counts.not_connected += u64::from(not_connected);
                }
            }
            Notice::Leaving => drop(self.leaving.insert(node.to_owned(), now)),
            Notice::Gap { .. }
            | Notice::Shipped { .. }
            | Notice::Done { .. }
            | Notice::JobApplied { .. }
            | Notice::Job(_)
            | Notice::Complained { .. } => {}
        }
    }

    fn handle_worker(&mut self, now: Instant, node: &str, worker: &str, status: NodeStatus, hosted: bool) {
        let is_lost = status == NodeStatus::NotConnected;
        let hosts = self.hosts.entry(worker.to_owned()).or_default();
        if hosted {
            hosts.insert(node.to_owned());
        } else if hosts.remove(node) && is_lost {
            self.seen_lost.insert(worker.to_owned(), now);
        }
        if hosted || hosts.is_empty() {
            self.statuses.insert(worker.to_owned(), status);
        }
        self.counts.not_connected += u64::from(is_lost && self.workers.contains(worker));
    }

    /// A control node has been killed or stopped: what it handled may be handled again elsewhere. Returns the workers
    /// whose proxies it hosted.
    pub(crate) fn control_crashed(&mut self, control: &str) -> BTreeSet<String> {
        self.tally.crashed(control);
        // It may have been seen down before, and have come back.
        self.seen_down.remove(control);
        self.hosted_by(control)
    }

    /// A control node is a member no more: it was killed, or it has left.
    pub(crate) fn control_gone(&mut self, control: &str) {
        self.controls.remove(control);
        self.unfit.remove(control);
        self.alive.remove(control);
        self.active.remove(control);
        self.acting.remove(control);
        self.shares.remove(control);
        self.moves.remove(control);
        for hosts in self.hosts.values_mut() {
            hosts.remove(control);
        }
    }

    pub(crate) fn worker_gone(&mut self, worker: &str) {
        self.workers.remove(worker);
    }

    pub(crate) fn exited(&mut self, now: Instant, node: &str) {
        self.exited.insert(node.to_owned(), now);
    }

    /// The workers whose proxies a control node says that it hosts.
    pub(crate) fn hosted_by(&self, control: &str) -> BTreeSet<String> {
        let hosted = |worker: &&String| self.hosts.get(*worker).is_some_and(|hosts| hosts.contains(control));
        self.workers.iter().filter(hosted).cloned().collect()
    }

    /// Which control node hosts a worker's proxy, when exactly one says so.
    pub(crate) fn host(&self, worker: &str) -> Option<&String> {
        let hosts = self.hosts.get(worker)?;
        if hosts.len() == 1 { hosts.first() } else { None }
    }

    /// Whether another control node than this one says that it hosts a worker's proxy.
    pub(crate) fn is_hosted_beside(&self, worker: &str, control: &str) -> bool {
        self.hosts.get(worker).is_some_and(|hosts| hosts.iter().any(|host| host != control))
    }

    /// How many control nodes say that they host the same worker's proxy, at most.
    pub(crate) fn hosts_max(&self) -> usize {
        let hosts = |worker| self.hosts.get(worker).map_or(0, BTreeSet::len);
        self.workers.iter().map(hosts).max().unwrap_or(0)
    }

    pub(crate) fn status(&self, worker: &str) -> Option<NodeStatus> {
        self.statuses.get(worker).copied()
    }

    pub(crate) fn is_ready(&self, node: &str) -> bool {
        self.ready.contains(node)
    }

    /// Control nodes that can be given work.
    pub(crate) fn fit_controls(&self) -> impl Iterator<Item = &String> {
        self.controls.iter().filter(|control| self.is_ready(control) && !self.unfit.contains(*control))
    }

    pub(crate) fn seen_down(&self, control: &str) -> Option<Instant> {
        self.seen_down.get(control).copied()
    }

    pub(crate) fn seen_lost(&self, worker: &str) -> Option<Instant> {
        self.seen_lost.get(worker).copied()
    }

    pub(crate) fn seen_leaving(&self, control: &str) -> Option<Instant> {
        self.leaving.get(control).copied()
    }

    pub(crate) fn seen_exited(&self, node: &str) -> Option<Instant> {
        self.exited.get(node).copied()
    }

    /// Under how many boots a control node has been seen.
    pub(crate) fn boots(&self, control: &str) -> usize {
        self.boots.get(control).map_or(0, BTreeSet::len)
    }

    /// Every control node sees exactly these own partitions, and has computed who owns what of it.
    pub(crate) fn all_see_active(&self, expected: &BTreeSet<String>) -> bool {
        self.controls.iter().all(|control| {
            let shares = self.shares.get(control);
            self.active.get(control) == Some(expected)
                && shares.is_some_and(|shares| shares.keys().eq(expected))
        })
    }

    /// Every control node sees this one own partitions, and has computed which.
    pub(crate) fn all_see_owning(&self, node: &str) -> bool {
        self.controls.iter().all(|control| {
            self.active.get(control).is_some_and(|active| active.contains(node))
                && self.shares.get(control).is_some_and(|shares| shares.contains_key(node))
        })
    }

    /// Every control node sees exactly these alive.
    pub(crate) fn all_see_alive(&self, expected: &BTreeSet<String>) -> bool {
        self.controls.iter().all(|control| self.alive.get(control) == Some(expected))
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

    /// The ring is the one of the control nodes that live, and every worker is at its owner.
    pub(crate) fn is_balanced(&self) -> bool {
        self.all_see_active(&self.controls) && self.is_settled()
    }

    /// How the partitions are shared among the control nodes, from 0 to 1 each, as the first fit one sees it.
    pub(crate) fn shares(&self) -> BTreeMap<String, f64> {
        let Some(shares) = self.fit_controls().find_map(|control| self.shares.get(control)) else {
            return BTreeMap::new();
        };
        let all = shares.values().sum::<usize>().max(1) as f64;
        shares.iter().map(|(control, share)| (control.clone(), *share as f64 / all)).collect()
    }

    /// What has changed hands, as the control node sees it that saw most; a newcomer saw the others come as well, and
    /// is not asked.
    pub(crate) fn moves(&self, newcomer: &str) -> Moves {
        let seen = self.moves.iter().filter(|(control, _)| *control != newcomer).map(|(_, moves)| *moves);
        seen.max_by_key(|moves| moves.partitions).unwrap_or_default()
    }

    /// Counts what changes hands from now on.
    pub(crate) fn clear_moves(&mut self) {
        self.moves.clear();
    }

    /// The hosts of all workers, to be compared later.
    pub(crate) fn placed(&self) -> BTreeMap<String, String> {
        self.workers.iter().filter_map(|worker| Some((worker.clone(), self.host(worker)?.clone()))).collect()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::protocol::Handled;

    fn board() -> Board {
        let mut board = Board::new(Instant::now());
        board.controls.extend(["c1".to_owned(), "c2".to_owned()]);
        board.workers.insert("w1".to_owned());
        board
    }

    fn hosts(worker: &str) -> Notice {
        Notice::Worker { worker: worker.into(), status: NodeStatus::Ready, hosted: true }
    }

    fn owners(host: &str, controls: &[&str]) -> Notice {
        Notice::Owners {
            acting: [("w1".to_owned(), host.to_owned())].into(),
            shares: controls.iter().map(|control| ((*control).to_owned(), 10)).collect(),
            moves: Moves { partitions: 3, ideal: 2 },
        }
    }

    fn sees(controls: &[&str]) -> Notice {
        let names: Vec<String> = controls.iter().map(|control| (*control).to_owned()).collect();
        Notice::Cluster { boot: "b".into(), alive: names.clone(), active: names }
    }

    #[test]
    fn a_number_seen_twice_is_a_duplicate_unless_its_control_node_was_killed() {
        let mut board = board();
        let now = Instant::now();
        let handled =
            || Notice::Handled(Handled { worker: "w1".into(), task: "t".into(), sequence: 1, ended: false });
        board.handle(now, "c1", hosts("w1"));
        board.handle(now, "c1", handled());
        board.handle(now, "c1", handled());
        assert_eq!(board.counts.duplicates, 1);
        assert_eq!(board.control_crashed("c1").len(), 1);
        board.control_gone("c1");
        board.handle(now, "c2", handled());
        assert_eq!((board.counts.duplicates, board.counts.repeated_after_crash), (1, 1));
    }

    #[test]
    fn settled_means_one_host_and_all_agree() {
        let mut board = board();
        let now = Instant::now();
        board.handle(now, "c1", hosts("w1"));
        board.handle(now, "c1", owners("c1", &["c1", "c2"]));
        assert!(!board.is_settled());
        board.handle(now, "c2", owners("c1", &["c1", "c2"]));
        assert!(board.is_settled());
        board.handle(now, "c2", hosts("w1"));
        assert!(!board.is_settled());
        assert_eq!(board.hosts_max(), 2);
    }

    #[test]
    fn a_ring_that_was_not_computed_yet_is_not_balanced() {
        let mut board = board();
        let now = Instant::now();
        board.handle(now, "c1", hosts("w1"));
        for control in ["c1", "c2"] {
            board.handle(now, control, sees(&["c1", "c2"]));
            board.handle(now, control, owners("c1", &["c1"]));
        }
        assert!(!board.is_balanced(), "the placement is still the one without c2");
        assert!(board.all_see_owning("c1") && !board.all_see_owning("c2"));
        for control in ["c1", "c2"] {
            board.handle(now, control, owners("c1", &["c1", "c2"]));
        }
        assert!(board.is_balanced());
        assert_eq!(board.moves("c1"), Moves { partitions: 6, ideal: 4 });
        board.handle(now, "c1", owners("c1", &["c1", "c2"]));
        assert_eq!((board.moves("c1").partitions, board.moves("c2").partitions), (6, 9));
        assert_eq!(board.shares().get("c2"), None, "no control node is ready, so nobody is asked");
        board.handle(now, "c1", Notice::Ready);
        assert_eq!(board.shares().get("c2"), Some(&0.5));
    }

    #[test]
    fn only_workers_that_live_are_missed() {
        let mut board = board();
        let now = Instant::now();
        for worker in ["w1", "dead"] {
            board.handle(now, "c1", hosts(worker));
            let lost = NodeStatus::NotConnected;
            board.handle(now, "c1", Notice::Worker { worker: worker.into(), status: lost, hosted: false });
            let reason = "the worker is not connected".to_owned();
            board.handle(
                now,
                "c2",
                Notice::Unanswered { worker: worker.into(), reason, not_connected: true },
            );
        }
        assert_eq!(board.counts.not_connected, 2);
        assert_eq!((board.counts.requests_failed, board.counts.requests_failed_living), (2, 1));
        assert_eq!(board.failed_by, BTreeMap::from([("c2".to_owned(), 1)]));
        assert!(board.seen_lost("dead").is_some());
    }
}
