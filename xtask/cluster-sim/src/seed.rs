//! One seed, and what became of it, as it travels between processes.

use std::collections::BTreeMap;
use std::io::{BufRead, Write, stdin, stdout};

use phalanx_sim::{Report, explain};
use serde::{Deserialize, Serialize};

use crate::options::Options;
use crate::scenario::Scenario;

/// What became of one seed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct SeedResult {
    pub(crate) seed: u64,
    pub(crate) hash: String,
    pub(crate) simulated_s: f64,
    pub(crate) faults: BTreeMap<String, u64>,
    pub(crate) violations: Vec<String>,
    /// The first promise that was broken, by its name.
    pub(crate) property: Option<String>,
    pub(crate) datagrams: u64,
    pub(crate) calls: u64,
    pub(crate) calls_done: u64,
    pub(crate) calls_unknown: u64,
    pub(crate) events: u64,
    pub(crate) events_again: u64,
    pub(crate) handovers: u64,
    pub(crate) grants: u64,
    /// What somebody needs who wants to know what happened.
    pub(crate) explanation: Option<String>,
    /// The episodes that are enough for the violation.
    pub(crate) only: Option<String>,
}

impl SeedResult {
    /// Of a run of which nothing is known but how it failed.
    pub(crate) fn broken(seed: u64, how: &str) -> Self {
        let (property, violations) = (Some(how.to_owned()), vec![how.to_owned()]);
        Self { seed, property, violations, ..Self::default() }
    }
}

impl From<&Report> for SeedResult {
    fn from(report: &Report) -> Self {
        let classes = report.classes().into_iter();
        let property = report.violations.first().map(|violation| violation.property.to_owned());
        let mut violations: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
        violations.extend(report.failed.clone());
        Self {
            seed: report.seed,
            hash: report.hash.clone(),
            simulated_s: report.simulated.as_secs_f64(),
            faults: classes.map(|(class, count)| (class.name().to_owned(), count as u64)).collect(),
            property: property.or_else(|| report.failed.as_ref().map(|_| "the scenario".to_owned())),
            violations,
            datagrams: report.datagrams,
            calls: report.counts.calls,
            calls_done: report.counts.calls_done,
            calls_unknown: report.counts.calls_unknown,
            events: report.counts.events,
            events_again: report.counts.events_again,
            handovers: report.counts.handovers,
            grants: report.counts.grants,
            explanation: None,
            only: None,
        }
    }
}

/// Runs a seed; where it fails, and there is time for it, the schedule is made as short as it can be.
fn run(options: &Options, scenario: &Scenario, seed: u64) -> SeedResult {
    let report = scenario.run(seed, options.minutes, options.mutants);
    let mut result = SeedResult::from(&report);
    if !report.is_good() && !options.mutants {
        let shorter = scenario.shrink(&report, options.minutes);
        let numbers: Vec<String> = shorter.episodes.iter().map(|(number, _)| number.to_string()).collect();
        (result.explanation, result.only) = (Some(explain(&shorter)), Some(numbers.join(",")));
    }
    result
}

/// A process that runs what it is told: a seed a line, a result a line.
pub(crate) fn serve(options: &Options) -> Result<(), String> {
    let scenario = Scenario::find(&options.scenario)?;
    for line in stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let seed = line.trim().parse().map_err(|_| format!("{line:?} is no seed"))?;
        let result = run(options, scenario, seed);
        let text = serde_json::to_string(&result).map_err(|error| error.to_string())?;
        let mut out = stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    }
    Ok(())
}
