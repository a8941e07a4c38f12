//! What is done to the cluster while it works: a control node and a worker are killed in mid-transfer, and one of each
//! is added.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::report::{JoinedControl, JoinedWorker, KilledControl, KilledWorker};
use crate::run::{AnyError, Demo, millis};

/// How long anything may take before the demo goes on without it: far more than any promise.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a moment is waited for at which the victim has something under way.
const MOMENT: Duration = Duration::from_secs(5);

impl Demo {
    pub(crate) async fn kill_control(&mut self) -> Result<Option<KilledControl>, AnyError> {
        let hosted = |demo: &Demo, control: &String| {
            demo.board.workers.iter().filter(|worker| demo.board.host(worker) == Some(control)).count()
        };
        let Some(victim) = self.board.controls.iter().max_by_key(|control| hosted(self, control)).cloned()
        else {
            return Ok(None);
        };
        let busy = |demo: &Demo| {
            demo.work.flights().any(|flight| flight.control == victim)
                && demo.work.flights().any(|flight| demo.board.host(&flight.worker) == Some(&victim))
        };
        self.pump_until(MOMENT, busy).await?;
        let killed_at = self.now();
        self.processes.kill(&victim).await?;
        let orphans = self.board.control_killed(&victim);
        self.work.node_lost(&victim);
        self.say(&format!("killed control node {victim}, which hosted {} of the workers", orphans.len()));
        if !self.pump_until(PATIENCE, |demo| demo.board.seen_down(&victim).is_some()).await? {
            return Ok(None);
        }
        let detected_ms = self.board.seen_down(&victim).map_or(0, |at| millis(at - killed_at));
        self.check(&format!("{victim} was seen down after {detected_ms} ms"));
        let rehosted = |demo: &Demo| {
            orphans
                .iter()
                .all(|worker| !demo.board.workers.contains(worker) || demo.board.host(worker).is_some())
        };
        if !self.pump_until(PATIENCE, rehosted).await? {
            return Ok(None);
        }
        let rehosted_ms = millis(self.now() - killed_at);
        self.check(&format!("its workers have proxies again after {rehosted_ms} ms"));
        self.killed_control_at = Some(killed_at);
        Ok(Some(KilledControl { detected_ms, rehosted_ms, proxies_moved: orphans.len(), settled_ms: 0 }))
    }

    /// Waits until the ring has changed for a killed control node, and every proxy is where it belongs.
    pub(crate) async fn settle_killed(&mut self, killed: &mut KilledControl) -> Result<bool, AnyError> {
        let survivors: BTreeSet<String> = self.board.controls.clone();
        let settled = |demo: &Demo| demo.board.all_see_active(&survivors) && demo.board.is_settled();
        if !self.pump_until(PATIENCE, settled).await? {
            return Ok(false);
        }
        killed.settled_ms = self.killed_control_at.map_or(0, |at| millis(self.now() - at));
        self.check(&format!("the ring has settled without it after {} ms", killed.settled_ms));
        Ok(true)
    }

    pub(crate) async fn kill_worker(&mut self) -> Result<Option<KilledWorker>, AnyError> {
        self.pump_until(MOMENT, |demo| demo.work.flights().next().is_some()).await?;
        let busy = self.work.flights().map(|flight| flight.worker.clone()).next();
        let Some(victim) = busy.or_else(|| self.board.workers.first().cloned()) else { return Ok(None) };
        let killed_at = self.now();
        self.processes.kill(&victim).await?;
        self.board.worker_killed(&victim);
        self.tell_workers().await?;
        self.say(&format!("killed worker {victim}"));
        let lost = |demo: &Demo| demo.board.seen_lost(&victim).is_some_and(|at| at >= killed_at);
        if !self.pump_until(PATIENCE, lost).await? {
            return Ok(None);
        }
        self.work.node_lost(&victim);
        let detected_ms = self.board.seen_lost(&victim).map_or(0, |at| millis(at - killed_at));
        self.check(&format!("{victim} was not connected after {detected_ms} ms"));
        Ok(Some(KilledWorker { detected_ms }))
    }

    pub(crate) async fn join_control(&mut self) -> Result<Option<JoinedControl>, AnyError> {
        let before = self.board.placed();
        let name = self.start_control(1)?;
        let joined_at = self.now();
        self.say(&format!("started control node {name}"));
        self.pump_until(PATIENCE, |demo| demo.board.is_ready(&name)).await?;
        self.tell_workers().await?;
        let all = self.board.controls.clone();
        let settled = |demo: &Demo| demo.board.all_see_active(&all) && demo.board.is_settled();
        if !self.pump_until(PATIENCE, settled).await? {
            return Ok(None);
        }
        let settled_ms = millis(self.now() - joined_at);
        let after = self.board.placed();
        let proxies_moved =
            before.iter().filter(|(worker, host)| after.get(*worker).is_some_and(|now| now != *host)).count();
        let joined = JoinedControl {
            proxies_moved,
            ideal_share: 1.0 / self.board.controls.len() as f64,
            share: self.board.share(&name),
            settled_ms,
        };
        self.check(&format!(
            "{name} owns {:.1} % of the partitions (its due: {:.1} %); {proxies_moved} proxies moved; settled after {settled_ms} ms",
            100.0 * joined.share,
            100.0 * joined.ideal_share,
        ));
        Ok(Some(joined))
    }

    pub(crate) async fn join_worker(&mut self) -> Result<Option<JoinedWorker>, AnyError> {
        let name = self.start_worker()?;
        let joined_at = self.now();
        self.say(&format!("started worker {name}"));
        self.tell_workers().await?;
        if !self.pump_until(PATIENCE, |demo| demo.board.host(&name).is_some()).await? {
            return Ok(None);
        }
        let ready_ms = millis(self.now() - joined_at);
        self.check(&format!("{name} has a proxy after {ready_ms} ms"));
        Ok(Some(JoinedWorker { ready_ms }))
    }
}
