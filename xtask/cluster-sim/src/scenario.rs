//! What goes wrong, by name.

use std::time::Duration;

use phalanx_sim::{Class, Config, Faults, Report, Sim, cluster};

/// How long the cluster is watched after the last fault.
const QUIET_MINUTES: u64 = 2;

/// So little room for events have workers with every other seed, so that some do not fit.
const SMALL_OUTBOX_BYTES: usize = 256;

/// A named way to make trouble.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    classes: &'static [Class],
    episodes_per_minute: f64,
}

/// All of them, the usual one first.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "soak", what: "every class of fault", classes: &Class::ALL, episodes_per_minute: 4.0 },
    Scenario { name: "calm", what: "nothing goes wrong", classes: &[], episodes_per_minute: 0.0 },
    Scenario {
        name: "moves",
        what: "nodes leave in order and come back",
        classes: &[Class::Leave],
        episodes_per_minute: 4.0,
    },
    Scenario {
        name: "crashes",
        what: "processes and machines die",
        classes: &[Class::Crash, Class::SilentCrash, Class::LostDisk],
        episodes_per_minute: 4.0,
    },
    Scenario {
        name: "restarts",
        what: "workers and control nodes start anew while others sleep",
        classes: &[Class::Crash, Class::Pause, Class::Leave],
        episodes_per_minute: 12.0,
    },
    Scenario {
        name: "partitions",
        what: "nodes do not hear each other",
        classes: &[Class::OneWay, Class::Partition, Class::PartialPartition],
        episodes_per_minute: 4.0,
    },
    Scenario {
        name: "weather",
        what: "the network is bad",
        classes: &[Class::Loss, Class::Duplication, Class::Reordering, Class::Delay],
        episodes_per_minute: 6.0,
    },
    Scenario {
        name: "sleep",
        what: "nodes stop, and are slow",
        classes: &[Class::Pause, Class::Slow, Class::ClockJump],
        episodes_per_minute: 4.0,
    },
];

impl Scenario {
    pub(crate) fn find(name: &str) -> Result<&'static Self, String> {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        found.ok_or_else(|| format!("no scenario is called {name:?}; --list names all"))
    }

    fn sim(&self, seed: u64, minutes: u64) -> Sim {
        let faults = Faults::only(self.classes.iter().copied()).episodes_per_minute(self.episodes_per_minute);
        let fault_time = Duration::from_secs(60 * minutes.saturating_sub(QUIET_MINUTES));
        let mut config = Config::default();
        if seed % 2 == 1 {
            config.jobs.outbox_bytes_max = SMALL_OUTBOX_BYTES;
        }
        cluster().controls(3).workers(6).config(config).probed().faults(faults).fault_time(fault_time)
    }

    /// Runs one seed.
    pub(crate) fn run(&self, seed: u64, minutes: u64, until_broken: bool) -> Report {
        let fault_time = Duration::from_secs(60 * minutes.saturating_sub(QUIET_MINUTES));
        let sim = self.sim(seed, minutes);
        let sim = if until_broken { sim.until_broken() } else { sim };
        sim.run_seed(seed, async |cluster| {
            cluster.sleep(fault_time.saturating_sub(cluster.elapsed())).await;
        })
    }

    /// The same with fewer episodes, where a promise is broken all the same.
    pub(crate) fn shrink(&self, report: &Report, minutes: u64) -> Report {
        let fault_time = Duration::from_secs(60 * minutes.saturating_sub(QUIET_MINUTES));
        self.sim(report.seed, minutes).shrink(report, &async |cluster: phalanx_sim::Cluster| {
            cluster.sleep(fault_time.saturating_sub(cluster.elapsed())).await;
        })
    }
}
