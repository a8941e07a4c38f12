//! What is done to the cluster while it works: nodes are killed, started and told to leave. Each act only begins
//! something; a script waits for what follows, and a key lets it be watched in the background.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::awaited::Awaited;
use crate::change::Kind;
use crate::demo::{AnyError, Demo, Leave, millis, now};
use crate::protocol::Order;
use crate::report::{JoinedControl, JoinedWorker, KilledControl, KilledWorker, LeftControl};

/// How long a moment is waited for at which the victim has something under way.
const MOMENT: Duration = Duration::from_secs(5);

/// How long the last answers that belong to a change may take to be told.
const AFTERMATH: Duration = Duration::from_secs(1);

/// What has been counted since.
fn since(before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let more = |reason: &String, count: u64| count - before.get(reason).copied().unwrap_or(0);
    let counts = now.iter().map(|(reason, count)| (reason.clone(), more(reason, *count)));
    counts.filter(|(_, count)| *count > 0).collect()
}

impl Demo {
    /// The control node that hosts most workers, of those that can be spared now.
    pub(crate) fn busiest_control(&self) -> Option<String> {
        self.board.fit_controls().max_by_key(|control| self.board.hosted_by(control).len()).cloned()
    }

    /// A worker that has a file under way, or else any.
    pub(crate) fn busy_worker(&self) -> Option<String> {
        let mut flights = self.work.flights().map(|flight| &flight.worker);
        let busy = flights.find(|worker| self.board.workers.contains(*worker));
        busy.or_else(|| self.board.workers.first()).cloned()
    }

    /// `kill -9` of a control node. Returns the workers that it hosted.
    pub(crate) async fn begin_kill_control(&mut self, victim: &str) -> Result<BTreeSet<String>, AnyError> {
        self.changes.begin(self.elapsed(), Kind::Killed, victim, &mut self.board);
        self.processes.kill(victim).await?;
        self.errands.killed(now());
        self.remember(victim);
        let orphans = self.board.control_crashed(victim);
        self.controls_killed += 1;
        self.board.control_gone(victim);
        self.node_lost(victim);
        self.mark(&format!("killed control node {victim}, which hosted {} of the workers", orphans.len()));
        Ok(orphans)
    }

    /// `kill -9` of a worker.
    pub(crate) async fn begin_kill_worker(&mut self, victim: &str) -> Result<(), AnyError> {
        self.processes.kill(victim).await?;
        self.errands.killed(now());
        self.errands.node_lost(victim);
        self.remember(victim);
        self.board.worker_gone(victim);
        self.tell_workers().await?;
        self.mark(&format!("killed worker {victim}"));
        Ok(())
    }

    pub(crate) async fn begin_join_control(&mut self) -> Result<String, AnyError> {
        let name = self.start_control(1)?;
        self.changes.begin(self.elapsed(), Kind::Joined, &name, &mut self.board);
        self.mark(&format!("started control node {name}"));
        self.tell_workers().await?;
        Ok(name)
    }

    pub(crate) async fn begin_join_worker(&mut self) -> Result<String, AnyError> {
        let name = self.start_worker()?;
        self.mark(&format!("started worker {name}"));
        self.tell_workers().await?;
        Ok(name)
    }

    /// Tells a control node to leave in order; it gets no work any more.
    pub(crate) async fn begin_leave(&mut self, node: &str) -> Result<(), AnyError> {
        self.changes.begin(self.elapsed(), Kind::Left, node, &mut self.board);
        self.board.unfit.insert(node.to_owned());
        let hosted: Vec<String> = self.board.hosted_by(node).into_iter().collect();
        self.mark(&format!("told control node {node} to leave, which hosts {} of the workers", hosted.len()));
        let leave = Leave { hosted, counts: self.board.counts.clone(), moved_before_exit: None };
        self.leaves.insert(node.to_owned(), leave);
        self.processes.order(node, &Order::Leave).await?;
        Ok(())
    }

    /// Kills the busiest control node in mid-transfer. What it settled to is not known yet.
    pub(crate) async fn kill_control(&mut self) -> Result<Option<(KilledControl, Instant)>, AnyError> {
        let Some(victim) = self.busiest_control() else { return Ok(None) };
        let busy = |demo: &Demo| {
            demo.work.flights().any(|flight| flight.control == victim)
                && demo.work.flights().any(|flight| demo.board.host(&flight.worker) == Some(&victim))
        };
        self.pump_until(MOMENT, busy).await?;
        let killed_at = now();
        let workers = self.begin_kill_control(&victim).await?;
        let proxies_moved = workers.len();
        let Some(detected_ms) = self.wait(&Awaited::Down(victim.clone()), killed_at).await? else {
            return Ok(None);
        };
        let rehosted = Awaited::Rehosted { control: victim, workers };
        let Some(rehosted_ms) = self.wait(&rehosted, killed_at).await? else { return Ok(None) };
        Ok(Some((KilledControl { detected_ms, rehosted_ms, proxies_moved, settled_ms: 0 }, killed_at)))
    }

    pub(crate) async fn kill_worker(&mut self) -> Result<Option<KilledWorker>, AnyError> {
        self.pump_until(MOMENT, |demo| demo.work.flights().next().is_some()).await?;
        let Some(victim) = self.busy_worker() else { return Ok(None) };
        let killed_at = now();
        self.begin_kill_worker(&victim).await?;
        let detected_ms = self.wait(&Awaited::NotConnected(victim), killed_at).await?;
        Ok(detected_ms.map(|detected_ms| KilledWorker { detected_ms, not_connected_ms: detected_ms }))
    }

    pub(crate) async fn join_control(&mut self) -> Result<Option<JoinedControl>, AnyError> {
        let (before, counts) = (self.board.placed(), self.board.counts.clone());
        let reasons = self.board.reasons.clone();
        let joined_at = now();
        let name = self.begin_join_control().await?;
        let Some(active_ms) = self.wait(&Awaited::Active(name.clone()), joined_at).await? else {
            return Ok(None);
        };
        let active_at = joined_at + Duration::from_millis(active_ms);
        let Some(settled_ms) = self.wait(&Awaited::Balanced, active_at).await? else { return Ok(None) };
        let after = self.board.placed();
        let moved = |worker: &String, host: &String| after.get(worker).is_some_and(|now| now != host);
        let proxies_moved = before.iter().filter(|(worker, host)| moved(worker, host)).count();
        self.pump_until(AFTERMATH, |_| false).await?;
        let joined = JoinedControl {
            proxies_moved,
            ideal_share: 1.0 / self.board.controls.len() as f64,
            share: self.board.shares().get(&name).copied().unwrap_or(0.0),
            active_ms,
            settled_ms,
            requests_failed_by_move: self.board.counts.requests_failed_living - counts.requests_failed_living,
            requests_failed_of_newcomer: self.board.failed_by.get(&name).copied().unwrap_or(0),
            requests_failed_reasons: since(&reasons, &self.board.reasons),
            gaps: self.board.counts.gaps - counts.gaps,
            duplicates: self.board.counts.duplicates - counts.duplicates,
        };
        self.check(&format!(
            "{name} owns {:.1} % of the partitions (its due: {:.1} %); {} requests failed meanwhile",
            100.0 * joined.share,
            100.0 * joined.ideal_share,
            joined.requests_failed_by_move,
        ));
        Ok(Some(joined))
    }

    pub(crate) async fn join_worker(&mut self) -> Result<Option<JoinedWorker>, AnyError> {
        let joined_at = now();
        let name = self.begin_join_worker().await?;
        let ready_ms = self.wait(&Awaited::Placed(name), joined_at).await?;
        Ok(ready_ms.map(|ready_ms| JoinedWorker { ready_ms }))
    }

    /// Lets the busiest control node leave in order.
    pub(crate) async fn leave_control(&mut self) -> Result<Option<LeftControl>, AnyError> {
        let Some(node) = self.busiest_control() else { return Ok(None) };
        let told_at = now();
        self.begin_leave(&node).await?;
        if self.wait(&Awaited::Exited(node.clone()), told_at).await?.is_none() {
            return Ok(None);
        }
        let exited_at = self.board.seen_exited(&node).unwrap_or(told_at);
        let left_ms = millis(exited_at - self.board.seen_leaving(&node).unwrap_or(told_at));
        let settled_ms = self.wait(&Awaited::Balanced, exited_at).await?;
        self.pump_until(AFTERMATH, |_| false).await?;
        let Some(leave) = self.leaves.remove(&node) else { return Ok(None) };
        let counts = &self.board.counts;
        Ok(Some(LeftControl {
            node,
            workers_before: leave.hosted.len(),
            moved_before_exit: leave.moved_before_exit.unwrap_or(0),
            not_connected_seen: counts.not_connected - leave.counts.not_connected,
            requests_failed: counts.requests_failed_living - leave.counts.requests_failed_living,
            left_ms,
            settled_ms,
        }))
    }
}
