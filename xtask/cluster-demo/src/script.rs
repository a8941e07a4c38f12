//! The order in which the demo does things, and what it knows at the end.

use std::time::Duration;

use crate::awaited::Awaited;
use crate::demo::{AnyError, Demo, Quit, millis, now};
use crate::options::{Options, Part};
use crate::report::{Findings, KilledControl, Report};

/// How long the cluster may take to form, and the last work to end.
const FORM_PATIENCE: Duration = Duration::from_secs(30);
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);

/// How long the last work may take once somebody has quit.
const QUIT_PATIENCE: Duration = Duration::from_secs(15);

/// How long the cluster works before anything is done to it.
const QUIET: Duration = Duration::from_secs(2);

impl Demo {
    /// All of it. With a screen it goes on until somebody quits.
    pub(crate) async fn perform(&mut self, options: &Options) -> Result<(), AnyError> {
        self.form(options).await?;
        self.is_working = true;
        self.does_errands = true;
        self.begin_job().await?;
        let working_since = now();
        if self.screen.is_none() || options.script {
            self.pump_until(QUIET, |_| false).await?;
            self.follow_script(options).await?;
            self.findings.script_done = true;
        }
        if self.screen.is_some() {
            self.takes_keys = true;
            while !self.pump_until(DRAIN_PATIENCE, |_| false).await? {}
        }
        let least = Duration::from_secs(options.seconds);
        self.pump_until(least.saturating_sub(now() - working_since), |_| false).await?;
        self.pump_until(DRAIN_PATIENCE, |demo| demo.work.is_verified()).await?;
        self.drain(DRAIN_PATIENCE).await
    }

    async fn follow_script(&mut self, options: &Options) -> Result<(), AnyError> {
        let has = |part| options.parts.contains(&part);
        if has(Part::Kill) {
            let killed = self.kill_control().await?;
            self.findings.killed_worker = self.kill_worker().await?;
            if let Some((killed, killed_at)) = killed
                && let Some(settled_ms) = self.wait(&Awaited::Balanced, killed_at).await?
            {
                self.findings.killed_control = Some(KilledControl { settled_ms, ..killed });
            }
        }
        if has(Part::Join) {
            self.findings.joined_control = self.join_control().await?;
            self.findings.joined_worker = self.join_worker().await?;
        }
        if has(Part::Pause) {
            self.findings.paused_control = self.pause_control().await?;
        }
        if has(Part::Leave) {
            self.findings.left_control = self.leave_control().await?;
        }
        if has(Part::Silence) {
            self.silence().await?;
        }
        if has(Part::Jobs) {
            self.replace_in_job().await?;
        }
        Ok(())
    }

    async fn form(&mut self, options: &Options) -> Result<(), AnyError> {
        self.peers = free_addresses(options.controls)?;
        let since = now();
        for _ in 0..options.controls {
            self.start_control(options.controls)?;
        }
        for _ in 0..options.workers {
            self.start_worker()?;
        }
        self.say(&format!("started {} control nodes and {} workers", options.controls, options.workers));
        self.tell_workers().await?;
        let all = self.board.controls.clone();
        if !self.pump_until(FORM_PATIENCE, |demo| demo.board.all_see_active(&all)).await? {
            return Err("the control nodes did not find each other: run with RUST_LOG=info to see why".into());
        }
        self.check("the control nodes have found each other");
        if !self.pump_until(FORM_PATIENCE, |demo| demo.board.is_settled()).await? {
            return Err(
                "the workers did not find their control nodes: run with RUST_LOG=info to see why".into()
            );
        }
        self.findings.formed_ms = millis(now() - since);
        self.check(&format!("every worker has its proxy: formed after {} ms", self.findings.formed_ms));
        self.changes.snapshot("at the start", &self.board);
        Ok(())
    }

    /// Somebody has quit: the work that is under way comes to its end, unless they quit once more.
    pub(crate) async fn wind_up(&mut self) -> Result<(), AnyError> {
        self.say("quitting: waits for what is under way; q once more does not wait");
        self.errands.close();
        match self.drain(QUIT_PATIENCE).await {
            Err(error) if !error.is::<Quit>() => Err(error),
            _ => Ok(()),
        }
    }

    /// Lets the work come to its end: nothing new is shipped, and every task that was seen is seen to end.
    async fn drain(&mut self, patience: Duration) -> Result<(), AnyError> {
        self.end_errands(patience).await?;
        self.is_working = false;
        self.pump_until(patience, |demo| demo.work.is_idle()).await?;
        let all_ended =
            |demo: &Demo| demo.board.tally.unended(&demo.board.workers) == 0 && demo.missing() == 0;
        self.pump_until(patience, all_ended).await?;
        self.end_job(patience).await?;
        self.check(&format!("{} files shipped and compared", self.work.done_on.values().sum::<usize>()));
        Ok(())
    }

    /// Numbers that were never handled, and ends that were never told, of tasks on workers that live.
    fn missing(&self) -> u64 {
        let workers = &self.board.workers;
        let done = self.work.done_on.iter().filter(|(worker, _)| workers.contains(*worker));
        let done: usize = done.map(|(_, count)| count).sum();
        let (missing, ended) = (self.board.tally.missing(workers), self.board.tally.ended(workers));
        missing + done.saturating_sub(ended) as u64
    }

    fn findings(&self) -> Findings {
        let job = self.job.as_ref().map(|job| job.found(&self.board));
        let wasm = self.errands.modules.as_ref().map(|modules| modules.found.clone());
        let docker = self.errands.containers.as_ref().map(|containers| containers.found.clone());
        Findings { jobs: job, wasm, docker, ..self.findings.clone() }
    }

    /// What is known by now.
    pub(crate) fn report(&self, options: &Options) -> Report {
        let (counts, all) = (&self.board.counts, &self.board.samples.all);
        Report {
            controls: options.controls,
            workers: options.workers,
            files: self.work.files(),
            passes: self.work.passes,
            bytes: self.work.bytes,
            verified: self.work.is_verified(),
            mismatches: self.work.mismatches,
            lost: self.work.lost,
            requests: all.count,
            requests_failed: counts.requests_failed,
            requests_failed_reasons: self.board.reasons.clone(),
            request_p50_us: all.percentile(50),
            request_p99_us: all.percentile(99),
            events: counts.events,
            redelivered: counts.redelivered,
            duplicates: counts.duplicates,
            repeated_after_crash: counts.repeated_after_crash,
            gaps: counts.gaps + self.missing(),
            retried_tasks: self.work.retried,
            findings: self.findings(),
            changes: self.changes.settled.clone(),
            orphans: 0,
        }
    }
}

/// Addresses on this machine that were free a moment ago.
fn free_addresses(count: usize) -> std::io::Result<Vec<String>> {
    let sockets: Result<Vec<_>, _> = (0..count).map(|_| std::net::UdpSocket::bind("127.0.0.1:0")).collect();
    sockets?.iter().map(|socket| Ok(socket.local_addr()?.to_string())).collect()
}
