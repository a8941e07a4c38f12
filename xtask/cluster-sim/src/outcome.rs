//! What came of all seeds, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::options::Options;
use crate::seed::SeedResult;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Violation {
    pub(crate) seed: u64,
    pub(crate) property: String,
    pub(crate) replay: String,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct SeedTrace {
    pub(crate) seed: u64,
    pub(crate) hash: String,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct MutantResult {
    pub(crate) name: String,
    pub(crate) found: bool,
    pub(crate) seeds_needed: u64,
    pub(crate) property: Option<String>,
}

/// The results of a run, as they are written.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Outcome {
    pub(crate) scenario: String,
    pub(crate) seeds: u64,
    pub(crate) simulated_hours: f64,
    pub(crate) faults: BTreeMap<String, u64>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) traces: Vec<SeedTrace>,
    /// Seeds that were run twice, in two processes, and how many of them were not the same run.
    pub(crate) compared: u64,
    pub(crate) differing: Vec<u64>,
    pub(crate) datagrams: u64,
    pub(crate) calls: u64,
    pub(crate) calls_done: u64,
    pub(crate) calls_unknown: u64,
    pub(crate) events: u64,
    pub(crate) events_again: u64,
    pub(crate) grants: u64,
    pub(crate) handovers: u64,
    pub(crate) seconds: f64,
    pub(crate) speed_ratio: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mutants: Option<Vec<MutantResult>>,
}

impl Outcome {
    pub(crate) fn add(&mut self, options: &Options, result: &SeedResult) {
        self.seeds += 1;
        self.simulated_hours += result.simulated_s / 3_600.0;
        for (class, count) in &result.faults {
            *self.faults.entry(class.clone()).or_default() += count;
        }
        if let Some(property) = &result.property {
            let replay = replay(options, result);
            self.violations.push(Violation { seed: result.seed, property: property.clone(), replay });
        }
        self.traces.push(SeedTrace { seed: result.seed, hash: result.hash.clone() });
        self.datagrams += result.datagrams;
        self.calls += result.calls;
        self.calls_done += result.calls_done;
        self.calls_unknown += result.calls_unknown;
        self.events += result.events;
        self.events_again += result.events_again;
        self.grants += result.grants;
        self.handovers += result.handovers;
    }

    pub(crate) fn finish(&mut self, elapsed: Duration) {
        self.traces.sort_by_key(|trace| trace.seed);
        self.violations.sort_by_key(|violation| violation.seed);
        self.seconds = elapsed.as_secs_f64();
        self.speed_ratio = self.simulated_hours * 3_600.0 / self.seconds.max(f64::EPSILON);
    }

    pub(crate) fn is_good(&self) -> bool {
        let all_found = self.mutants.iter().flatten().all(|mutant| mutant.found);
        self.violations.is_empty() && self.differing.is_empty() && all_found
    }

    /// What people read.
    pub(crate) fn summary(&self) -> String {
        let episodes: u64 = self.faults.values().sum();
        let hours = self.simulated_hours.max(f64::EPSILON);
        let mut text = format!(
            "{} seeds, {:.1} simulated hours in {:.0} s ({:.0} times as fast as time)\n\
             {} fault episodes, {:.0} an hour; {} calls ({} of unknown end), {} events ({} again), {} grants ({} by handover)\n",
            self.seeds,
            self.simulated_hours,
            self.seconds,
            self.speed_ratio,
            episodes,
            episodes as f64 / hours,
            self.calls,
            self.calls_unknown,
            self.events,
            self.events_again,
            self.grants,
            self.handovers,
        );
        for (class, count) in &self.faults {
            text += &format!("  {count:6}  {class}\n");
        }
        if self.compared > 0 {
            let differing = self.differing.len();
            text +=
                &format!("{} seeds were run in two processes; {differing} of them differ\n", self.compared);
        }
        text += &format!("{} violations\n", self.violations.len());
        for violation in &self.violations {
            text += &format!("  seed {}: {}\n    {}\n", violation.seed, violation.property, violation.replay);
        }
        text
    }
}

/// The one command that shows a failure again.
pub(crate) fn replay(options: &Options, result: &SeedResult) -> String {
    let only = result.only.as_ref().map(|only| format!(" --only {only}")).unwrap_or_default();
    let (scenario, minutes) = (&options.scenario, options.minutes);
    format!(
        "cargo xtask sim --scenario {scenario} --seeds 1 --seed {} --minutes {minutes}{only}",
        result.seed
    )
}
