//! Nodes that say nothing, though their processes are there: stopped with `SIGSTOP`, they keep their sockets and answer
//! nothing, as a machine that hangs. One comes back as if nothing had been; others are given up.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::awaited::Awaited;
use crate::change::Kind;
use crate::demo::{AnyError, Demo, millis, now};
use crate::report::{PausedControl, SilentControl, SilentWorker};

/// How long a control node is stopped that comes back: long enough to be called down, too short to lose its share.
const PAUSE: Duration = Duration::from_secs(20);

/// How long the views may take to agree after it goes on.
const AGREE_PATIENCE: Duration = Duration::from_secs(60);

/// How long the views must agree before that counts: they agree by chance before the one that was stopped has looked
/// at its clock, and whoever suspects another one says so some seconds later.
const AGREED: Duration = Duration::from_secs(8);

/// How long it is looked whether a worker has two hosts, once all is at rest.
const REST: Duration = Duration::from_secs(3);

impl Demo {
    /// Stops the busiest control node for a while.
    pub(crate) async fn pause_control(&mut self) -> Result<Option<PausedControl>, AnyError> {
        let Some(node) = self.busiest_control() else { return Ok(None) };
        let boots = self.board.boots(&node);
        let stopped_at = now();
        self.freeze_control(&node)?;
        self.pump_until(PAUSE, |_| false).await?;
        let detected_ms = self.board.seen_down(&node).map(|at| millis(at - stopped_at));
        self.processes.freeze(&node, false)?;
        self.errands.killed(now());
        let resumed_at = now();
        self.mark(&format!("let {node} go on"));
        let balanced_at = Cell::new(None);
        let Some(views_agree_ms) = self.views_agree(resumed_at, &balanced_at).await? else {
            self.complain(&format!("the views did not agree within {} s", AGREE_PATIENCE.as_secs()));
            return Ok(None);
        };
        self.check(&format!("the views agree again after {views_agree_ms} ms"));
        self.board.unfit.remove(&node);
        let settled_ms = match balanced_at.get() {
            Some(at) => Some(millis(at - resumed_at)),
            None => self.wait(&Awaited::Balanced, resumed_at).await?,
        };
        let mut owners_per_worker_max = self.board.hosts_max();
        let rest_until = now() + REST;
        while now() < rest_until {
            let seen = owners_per_worker_max;
            self.pump_until(rest_until - now(), |demo| demo.board.hosts_max() > seen).await?;
            owners_per_worker_max = seen.max(self.board.hosts_max());
        }
        self.board.tally.recovered(&node);
        self.tell_workers().await?;
        let restarted = self.board.seen_exited(&node).is_some() || self.board.boots(&node) > boots;
        Ok(Some(PausedControl {
            node,
            detected_ms,
            views_agree_ms,
            settled_ms,
            owners_per_worker_max,
            restarted,
        }))
    }

    /// How long it took until all control nodes see all of them alive and owning, and went on to. Notes on the way
    /// since when every worker is at its ring owner.
    async fn views_agree(
        &mut self,
        since: Instant,
        balanced_at: &Cell<Option<Instant>>,
    ) -> Result<Option<u64>, AnyError> {
        let agree = |demo: &Demo| {
            balanced_at.set(demo.board.is_balanced().then(|| balanced_at.get().unwrap_or_else(now)));
            let all = &demo.board.controls;
            demo.board.all_see_alive(all) && demo.board.all_see_active(all)
        };
        let until = since + AGREE_PATIENCE;
        while self.pump_until(until.saturating_duration_since(now()), agree).await? {
            let agreed_at = now();
            if !self.pump_until(AGREED, |demo| !agree(demo)).await? {
                return Ok(Some(millis(agreed_at - since)));
            }
        }
        Ok(None)
    }

    /// Stops a worker until it is called not connected, and a control node until its workers are elsewhere; then kills
    /// them.
    pub(crate) async fn silence(&mut self) -> Result<(), AnyError> {
        // Those that stay must be more than half of all, those that were killed included.
        while self.board.controls.len() < self.controls_killed + 3 {
            self.begin_join_control().await?;
            if self.wait(&Awaited::Balanced, now()).await?.is_none() {
                break;
            }
        }
        self.findings.silent_worker = self.silence_worker().await?;
        self.findings.silent_control = self.silence_control().await?;
        Ok(())
    }

    async fn silence_worker(&mut self) -> Result<Option<SilentWorker>, AnyError> {
        let Some(node) = self.busy_worker() else { return Ok(None) };
        let stopped_at = now();
        self.processes.freeze(&node, true)?;
        self.errands.killed(now());
        self.board.worker_gone(&node);
        self.tell_workers().await?;
        self.mark(&format!("stopped worker {node}"));
        let not_connected_ms = self.wait(&Awaited::NotConnected(node.clone()), stopped_at).await?;
        self.processes.kill(&node).await?;
        self.remember(&node);
        Ok(not_connected_ms.map(|not_connected_ms| SilentWorker { node, not_connected_ms }))
    }

    async fn silence_control(&mut self) -> Result<Option<SilentControl>, AnyError> {
        let Some(node) = self.busiest_control() else { return Ok(None) };
        let stopped_at = now();
        self.changes.begin(self.elapsed(), Kind::Killed, &node, &mut self.board);
        let workers = self.freeze_control(&node)?;
        let down = Awaited::Down(node.clone());
        let rehosted = Awaited::Rehosted { control: node.clone(), workers: workers.into_iter().collect() };
        let detected_ms = self.wait(&down, stopped_at).await?;
        let rehosted_ms = self.wait(&rehosted, stopped_at).await?;
        self.processes.kill(&node).await?;
        self.remember(&node);
        self.controls_killed += 1;
        self.board.control_gone(&node);
        self.node_lost(&node);
        self.mark(&format!("killed {node}, which had been given up"));
        let settled_ms = self.wait(&Awaited::Balanced, stopped_at).await?;
        let (Some(detected_ms), Some(rehosted_ms)) = (detected_ms, rehosted_ms) else { return Ok(None) };
        Ok(Some(SilentControl { node, detected_ms, rehosted_ms, settled_ms }))
    }

    /// Stops a control node. Returns the workers that it hosts.
    fn freeze_control(&mut self, node: &str) -> Result<Vec<String>, AnyError> {
        self.processes.freeze(node, true)?;
        self.errands.killed(now());
        self.board.unfit.insert(node.to_owned());
        let orphans = self.board.control_crashed(node);
        self.mark(&format!("stopped control node {node}, which hosts {} of the workers", orphans.len()));
        Ok(orphans.into_iter().collect())
    }
}
