//! What the demo shows beside files when it is asked to: shipped code, containers, a job. It is prepared before any node
//! starts, so that what is missing on this machine is said at once; then it goes on beside the work.

use std::time::{Duration, Instant};

use crate::awaited::PATIENCE;
use crate::containers::Containers;
use crate::daemon::Daemon;
use crate::demo::{AnyError, Demo, millis, now};
use crate::guest;
use crate::jobs::{DESIRED, Job};
use crate::modules::Modules;
use crate::options::{Options, Part};
use crate::protocol::Order;

/// How long nothing may have been done to the cluster before it counts as at rest.
const REST: Duration = Duration::from_secs(10);

/// How many failures are told in words: the first ones say most.
const COMPLAINTS_MAX: usize = 10;

impl Demo {
    /// Makes ready what is to be shown.
    ///
    /// # Errors
    /// Something is not available here: what, and what to install. Nothing was started.
    pub(crate) async fn equip(&mut self, options: &Options) -> Result<(), AnyError> {
        if options.parts.contains(&Part::Jobs) {
            self.job = Some(Job::default());
            self.drivers.has_job = true;
        }
        if options.parts.contains(&Part::Wasm) {
            let guest = guest::make().map_err(|error| format!("--with wasm: {error}"))?;
            self.drivers.module_key = Some(guest.key);
            self.errands.modules = Some(Modules::new(guest.versions));
        }
        if options.parts.contains(&Part::Docker) {
            let daemon =
                Daemon::find(self.folder()).await.map_err(|error| format!("--with docker: {error}"))?;
            let whose = if daemon.is_private() {
                "a private daemon, which it has started"
            } else {
                "the machine's daemon"
            };
            self.say(&format!("containers run at {whose}"));
            self.drivers.docker = Some(daemon.access());
            self.errands.containers = Some(Containers::new(daemon.archive()));
            self.daemon = Some(daemon);
        }
        Ok(())
    }

    /// Looks what containers are left once all workers have ended, and removes them.
    pub(crate) async fn clear_containers(&mut self) {
        let (Some(daemon), Some(containers)) = (&self.daemon, &mut self.errands.containers) else { return };
        match daemon.clear().await {
            Ok(left) => {
                for (worker, count) in left {
                    let ended_in_order = self.board.workers.contains(&worker);
                    let found = &mut containers.found;
                    *(if ended_in_order { &mut found.left } else { &mut found.left_by_kill }) += count;
                }
            }
            Err(error) => self.complain(&format!("containers may be left at the Docker daemon: {error}")),
        }
    }

    /// How many results differ from what they should be.
    pub(crate) fn wrong(&self) -> u64 {
        let modules = self.errands.modules.as_ref().map_or(0, |modules| modules.found.wrong);
        let containers = self.errands.containers.as_ref().map_or(0, |containers| containers.found.wrong);
        self.work.mismatches + modules + containers
    }

    /// How far is what is shown beside files, for a screen.
    pub(crate) fn shown(&self) -> String {
        let mut shown = String::new();
        if let Some(job) = &self.job {
            let found = job.found(&self.board);
            shown.push_str(&format!("· job {}/{} ", found.running_at_end, found.desired));
        }
        if let Some(modules) = &self.errands.modules {
            shown.push_str(&format!("· {} wasm calls ", modules.found.calls));
        }
        if let Some(containers) = &self.errands.containers {
            shown.push_str(&format!("· {} containers ", containers.found.ended()));
        }
        shown
    }

    /// Whether nothing was done to the cluster for a while, and nothing is on its way.
    pub(crate) fn is_at_rest(&self) -> bool {
        now() - self.changed_at >= REST && self.board.is_balanced()
    }

    /// Begins the errands that are due.
    pub(crate) async fn run_errands(&mut self) -> std::io::Result<()> {
        if !self.does_errands {
            return Ok(());
        }
        for sent in self.errands.begin(&self.board, now()) {
            let order = Order::Errand { number: sent.number, worker: sent.worker, errand: sent.errand };
            self.processes.order(&sent.control, &order).await?;
        }
        for complaint in std::mem::take(&mut self.errands.complaints) {
            self.complaints += 1;
            if self.complaints <= COMPLAINTS_MAX {
                self.complain(&complaint);
            }
        }
        Ok(())
    }

    /// Asks for the job, and waits until all of it runs.
    pub(crate) async fn begin_job(&mut self) -> Result<(), AnyError> {
        if self.job.is_none() {
            return Ok(());
        }
        let Some(control) = self.board.fit_controls().next().cloned() else { return Ok(()) };
        let since = now();
        self.processes.order(&control, &Order::Job { count: DESIRED }).await?;
        self.mark(&format!("asked {control} for {DESIRED} instances of a job"));
        let applied = |demo: &Demo| demo.job.as_ref().is_some_and(|job| job.applied.is_some());
        self.pump_until(PATIENCE, applied).await?;
        if let Some(Err(error)) = self.job.as_ref().and_then(|job| job.applied.as_ref()) {
            return Err(format!("the job was not taken: {error}").into());
        }
        self.wait_for_job("all instances of the job run", since).await.map(drop)
    }

    /// Kills a worker that has an instance of the job, sees it replaced, and lets a worker join.
    pub(crate) async fn replace_in_job(&mut self) -> Result<(), AnyError> {
        self.wait_for_job("all instances of the job run", now()).await?;
        let Some(victim) = self.job.as_ref().and_then(|job| job.holder(&self.board)) else { return Ok(()) };
        let killed_at = now();
        self.begin_kill_worker(&victim).await?;
        let replaced_ms = self.wait_for_job("what ran there runs elsewhere", killed_at).await?;
        if let Some(job) = &mut self.job {
            job.replaced_ms = replaced_ms;
        }
        self.join_worker().await?;
        self.wait_for_job("the job is as it was with the newcomer", now()).await?;
        // Long enough that the cluster is at rest for a while, and two of one instance would be seen.
        self.pump_until(PATIENCE, Demo::is_at_rest).await?;
        self.pump_until(REST / 2, |_| false).await.map(drop)
    }

    /// Sees all of the job run once more: one look may miss a worker that does not answer at once.
    pub(crate) async fn end_job(&mut self, patience: Duration) -> Result<(), AnyError> {
        let is_whole = |demo: &Demo| demo.job.as_ref().is_none_or(|job| job.is_whole(&demo.board));
        self.pump_until(patience, is_whole).await.map(drop)
    }

    async fn wait_for_job(&mut self, what: &str, since: Instant) -> Result<Option<u64>, AnyError> {
        let is_whole = |demo: &Demo| demo.job.as_ref().is_some_and(|job| job.is_whole(&demo.board));
        if !self.pump_until(PATIENCE, is_whole).await? {
            self.complain(&format!("not within {} s: {what}", PATIENCE.as_secs()));
            return Ok(None);
        }
        let after_ms = millis(now() - since);
        self.check(&format!("{what}: after {after_ms} ms"));
        Ok(Some(after_ms))
    }

    /// Lets the errands come to their end: every worker has been through all of it, and was looked at.
    pub(crate) async fn end_errands(&mut self, patience: Duration) -> Result<(), AnyError> {
        self.pump_until(patience, |demo| demo.errands.is_done(&demo.board)).await?;
        self.errands.close();
        self.pump_until(patience, |demo| demo.errands.is_done(&demo.board) && demo.errands.is_idle()).await?;
        self.does_errands = false;
        if let Some(containers) = &self.errands.containers {
            let ended = containers.found.ended();
            self.check(&format!("{ended} containers ended as they should"));
        }
        if let Some(modules) = &self.errands.modules {
            let found = &modules.found;
            let (calls, pushed, workers) = (found.calls, found.modules_pushed, found.workers_checked);
            self.check(&format!(
                "{calls} calls of shipped code compared, {pushed} modules pushed, {workers} workers have them"
            ));
        }
        Ok(())
    }
}
