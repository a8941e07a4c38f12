//! Runs of a simulated cluster: one seed after the other, each the same whenever it is run again.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use phalanx::{Config, ControlBuilder, WorkerBuilder};
use phalanx_base::Role;
use tokio::time::sleep;

use crate::cluster::Cluster;
use crate::faults::{Class, Episode, Faults, inject};
use crate::history::Violation;
use crate::prober::{Probe, ProbeEvents, ProbeJobs, keep_asking};
use crate::properties::Counts;
use crate::sampler::watch_owners;
use crate::world::{MakeControl, MakeWorker, NodeSeams, Plan, World};

/// Replays this seed alone, when it is set.
pub const SEED: &str = "PHALANX_SIM_SEED";

/// Does only these episodes of the schedule, by their numbers with commas between them, when it is set.
pub const ONLY: &str = "PHALANX_SIM_ONLY";

/// How long everything is watched after the last fault.
const QUIET_TIME: Duration = Duration::from_secs(120);

/// How often it is looked whether a promise is broken.
const BROKEN_INTERVAL: Duration = Duration::from_secs(1);

/// How many runs are spent on making the schedule of a failing seed shorter.
const SHRINK_RUNS_MAX: usize = 48;

/// A cluster to be simulated, and how.
#[derive(Clone)]
#[must_use = "call run() to run it"]
pub struct Sim {
    controls: usize,
    workers: usize,
    config: Config,
    seeds: std::ops::Range<u64>,
    faults: Faults,
    fault_time: Duration,
    probed: bool,
    until_broken: bool,
    introduced: bool,
    starts: MakeStart,
    make_control: MakeControl,
    make_worker: MakeWorker,
}

/// When the node of that name starts first, with that seed.
type MakeStart = Arc<dyn Fn(&str, u64) -> Duration + Send + Sync>;

/// What became of one run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// The hash of everything that happened: the same for the same seed, wherever it runs.
    pub hash: String,
    /// How much time went by for the cluster.
    pub simulated: Duration,
    /// Every option that was in force.
    pub options: String,
    /// The faults that were done, in order, with their numbers in the schedule.
    pub episodes: Vec<(usize, Episode)>,
    /// The promises that were broken.
    pub violations: Vec<Violation>,
    /// How much happened.
    pub counts: Counts,
    /// How many datagrams were sent.
    pub datagrams: u64,
    /// With which words the scenario failed, if it did.
    pub failed: Option<String>,
}

impl Report {
    /// Whether nothing was broken.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.failed.is_none()
    }

    /// How many episodes of each class there were.
    #[must_use]
    pub fn classes(&self) -> BTreeMap<Class, usize> {
        let mut classes = BTreeMap::new();
        for (_, episode) in &self.episodes {
            *classes.entry(episode.fault.class()).or_default() += 1;
        }
        classes
    }
}

/// A cluster of one control node and no worker, on a good day, with one seed. Add to it.
pub fn cluster() -> Sim {
    Sim {
        controls: 1,
        workers: 0,
        config: Config::default(),
        seeds: 1..2,
        faults: Faults::none(),
        fault_time: Duration::from_secs(60),
        probed: false,
        until_broken: false,
        introduced: true,
        starts: Arc::new(|_, _| Duration::ZERO),
        make_control: Arc::new(|builder, _| builder),
        make_worker: Arc::new(|builder, _| builder),
    }
}

impl Sim {
    /// So many control nodes, `control-1` and so on; 200 at most.
    pub fn controls(mut self, count: usize) -> Self {
        self.controls = count.clamp(1, 200);
        self
    }

    /// So many workers, `worker-1` and so on; 200 at most.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count.min(200);
        self
    }

    /// Timing and caps of all nodes.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// So many seeds, beginning with 1.
    pub fn seeds(mut self, count: u64) -> Self {
        self.seeds = self.seeds.start..self.seeds.start + count;
        self
    }

    /// Begins with this seed.
    pub fn first_seed(mut self, seed: u64) -> Self {
        self.seeds = seed..seed + (self.seeds.end - self.seeds.start);
        self
    }

    /// What goes wrong.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// For how long things go wrong, from the begin on: a minute unless something else is given here.
    pub fn fault_time(mut self, time: Duration) -> Self {
        self.fault_time = time;
        self
    }

    /// Adds to the builder of each control node, at each of its starts: job classes, handlers of events, labels.
    pub fn control(
        mut self,
        make: impl Fn(ControlBuilder, &NodeSeams) -> ControlBuilder + Send + Sync + 'static,
    ) -> Self {
        self.make_control = Arc::new(make);
        self
    }

    /// Adds to the builder of each worker, at each of its starts.
    pub fn worker(
        mut self,
        make: impl Fn(WorkerBuilder, &NodeSeams) -> WorkerBuilder + Send + Sync + 'static,
    ) -> Self {
        self.make_worker = Arc::new(make);
        self
    }

    /// Lets the kit's own job class run beside the user's, with calls of all kinds on every control node: by it the promises
    /// about calls, tasks, events and transfers are checked.
    pub fn probed(mut self) -> Self {
        self.probed = true;
        self
    }

    /// Nobody is told where anybody is: the nodes find each other by the strategies that the scenario gives to their
    /// builders, or by hand.
    pub fn strangers(mut self) -> Self {
        self.introduced = false;
        self
    }

    /// When each node starts first, by its name and the seed: at once unless something else is given here.
    pub fn starts(mut self, starts: impl Fn(&str, u64) -> Duration + Send + Sync + 'static) -> Self {
        self.starts = Arc::new(starts);
        self
    }

    /// Ends a run as soon as a promise is broken.
    pub fn until_broken(mut self) -> Self {
        self.until_broken = true;
        self
    }

    /// Runs the scenario with each seed, and checks every promise all the while.
    ///
    /// # Panics
    /// When a promise is broken, or the scenario panics. The message says which seed it was, what went wrong by then, and how
    /// to replay it.
    pub fn run<F>(&self, scenario: impl Fn(Cluster) -> F)
    where
        F: Future<Output = ()>,
    {
        for seed in self.chosen_seeds() {
            let report = self.run_seed(seed, &scenario);
            if !report.is_good() {
                let report = self.shrink(&report, &scenario);
                panic!("{}", explain(&report));
            }
        }
    }

    fn chosen_seeds(&self) -> std::ops::Range<u64> {
        match std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()) {
            Some(seed) => seed..seed + 1,
            None => self.seeds.clone(),
        }
    }

    /// Runs one seed, with the episodes that the environment asks for, and says what became of it.
    pub fn run_seed<F>(&self, seed: u64, scenario: impl Fn(Cluster) -> F) -> Report
    where
        F: Future<Output = ()>,
    {
        let only = std::env::var(ONLY).ok();
        let only = only.map(|list| list.split(',').filter_map(|number| number.trim().parse().ok()).collect());
        self.run_only(seed, only.as_ref(), &scenario)
    }

    /// Runs one seed with some episodes of its schedule: all, unless some are named.
    fn run_only<F>(
        &self,
        seed: u64,
        only: Option<&BTreeSet<usize>>,
        scenario: &impl Fn(Cluster) -> F,
    ) -> Report
    where
        F: Future<Output = ()>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime =
            runtime.expect("a runtime without threads and without I/O needs nothing that could be missing");
        let report = runtime.block_on(self.simulate(seed, only, scenario));
        drop(runtime);
        report
    }

    /// Every option in force, for whoever wants to know what a failing run was made of.
    fn options(&self) -> String {
        let Self { controls, workers, config, faults, fault_time, probed, .. } = self;
        format!(
            "{controls} control nodes, {workers} workers, probed: {probed}, fault time: {fault_time:?}\n{faults:?}\n{config:?}"
        )
    }

    fn plan(&self) -> Plan {
        let (make_control, make_worker) = (self.make_control.clone(), self.make_worker.clone());
        let probed = self.probed;
        Plan {
            controls: self.controls,
            workers: self.workers,
            config: self.config.clone(),
            introduced: self.introduced,
            make_control: Arc::new(move |builder: ControlBuilder, seams: &NodeSeams| {
                let builder = make_control(builder, seams);
                if probed { builder.events::<Probe>(ProbeEvents::new(seams)) } else { builder }
            }),
            make_worker: Arc::new(move |builder: WorkerBuilder, seams: &NodeSeams| {
                let builder = make_worker(builder, seams);
                if probed { builder.job::<Probe>(ProbeJobs::new(seams)) } else { builder }
            }),
        }
    }

    async fn simulate<F>(
        &self,
        seed: u64,
        only: Option<&BTreeSet<usize>>,
        scenario: &impl Fn(Cluster) -> F,
    ) -> Report
    where
        F: Future<Output = ()>,
    {
        let world = World::new(seed, self.plan());
        let names = |role| -> Vec<String> {
            let machines = world.machines.iter().filter(|(_, machine)| machine.role == role);
            machines.map(|(name, _)| name.clone()).collect()
        };
        let (controls, workers) = (names(Role::Control), names(Role::Worker));
        let episodes =
            self.faults.episodes(seed, self.fault_time, &controls, &workers).into_iter().enumerate();
        let episodes: Vec<(usize, Episode)> =
            episodes.filter(|(number, _)| only.is_none_or(|only| only.contains(number))).collect();
        let cluster = Cluster::new(world.clone());
        tokio::spawn(world.wire.clone().deliver());
        for name in world.machines.keys() {
            let start = (self.starts)(name, seed);
            if start.is_zero() {
                world.clone().ensure(name.clone()).await;
            } else {
                let (world, name) = (world.clone(), name.clone());
                tokio::spawn(async move {
                    sleep(start).await;
                    world.ensure(name).await;
                });
            }
        }
        tokio::spawn(watch_owners(world.clone()));
        if self.probed {
            tokio::spawn(keep_asking(cluster.clone()));
        }
        let played = play(&cluster, &episodes, scenario(cluster.clone()));
        let failed = tokio::select! {
            biased;
            () = broken(&cluster), if self.until_broken => None,
            failed = played => failed,
        };
        let report = Report {
            seed,
            hash: world.trace.finish(),
            simulated: cluster.elapsed(),
            options: self.options(),
            episodes,
            violations: world.history.violations(),
            counts: world.history.counts(),
            datagrams: world.wire.sent().0,
            failed,
        };
        world.end_all();
        report
    }

    /// Leaves out episodes, as long as the same promise is broken without them.
    pub fn shrink<F>(&self, failed: &Report, scenario: &impl Fn(Cluster) -> F) -> Report
    where
        F: Future<Output = ()>,
    {
        let same = |report: &Report| match (failed.violations.first(), report.violations.first()) {
            (Some(one), Some(other)) => one.property == other.property,
            (None, None) => failed.failed.is_some() && report.failed.is_some(),
            _ => false,
        };
        let mut best = failed.clone();
        let mut size = best.episodes.len().div_ceil(2);
        let mut runs = 0;
        while size > 0 && runs < SHRINK_RUNS_MAX {
            let numbers: Vec<usize> = best.episodes.iter().map(|(number, _)| *number).collect();
            let mut shorter = None;
            for part in numbers.chunks(size) {
                runs += 1;
                let only = numbers.iter().filter(|number| !part.contains(number)).copied().collect();
                let report = self.run_only(best.seed, Some(&only), scenario);
                if same(&report) {
                    shorter = Some(report);
                    break;
                }
                if runs >= SHRINK_RUNS_MAX {
                    break;
                }
            }
            match shorter {
                Some(report) => best = report,
                None => size /= 2,
            }
            size = size.min(best.episodes.len());
        }
        best
    }
}

/// Plays a scenario while its faults are done, then watches the quiet time. Returns with which words the scenario has failed.
async fn play(
    cluster: &Cluster,
    episodes: &[(usize, Episode)],
    scenario: impl Future<Output = ()>,
) -> Option<String> {
    let world = cluster.world.clone();
    let episodes = episodes.iter().map(|(_, episode)| episode.clone()).collect();
    let injected = tokio::spawn(inject(world.clone(), 0, episodes));
    let outcome = AssertUnwindSafe(scenario).catch_unwind().await;
    // A task that does not panic and is not aborted ends well.
    let _ = injected.await;
    cluster.faults_over().await;
    let quiet_until = cluster.elapsed() + QUIET_TIME;
    if let Err(panic) = outcome {
        return Some(words(&*panic));
    }
    cluster.settle().await;
    sleep(quiet_until.saturating_sub(cluster.elapsed())).await;
    cluster.still_settled().await;
    world.history.finish();
    None
}

/// Waits until a promise is broken.
async fn broken(cluster: &Cluster) {
    while cluster.history().violations().is_empty() {
        sleep(BROKEN_INTERVAL).await;
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

fn first_words(report: &Report) -> String {
    let violation = report.violations.first().map(ToString::to_string);
    violation.or_else(|| report.failed.clone()).unwrap_or_default()
}

/// What somebody who wants to know what happened needs: the schedule, what was broken, and how to see it again.
#[must_use]
pub fn explain(report: &Report) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(text, "seed {}: {}", report.seed, first_words(report));
    let _ = writeln!(text, "options: {}", report.options);
    let _ = writeln!(text, "faults ({}):", report.episodes.len());
    for (number, episode) in &report.episodes {
        let _ = writeln!(text, "  {number:3}  {episode}");
    }
    for violation in report.violations.iter().skip(1).take(9) {
        let _ = writeln!(text, "also {violation}");
    }
    let only: Vec<String> = report.episodes.iter().map(|(number, _)| number.to_string()).collect();
    let _ = writeln!(text, "replay with {SEED}={} {ONLY}={}", report.seed, only.join(","));
    text
}
