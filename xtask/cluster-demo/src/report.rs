//! What the demo found, as JSON and as a verdict.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::change::Change;
use crate::containers::ContainersFound;
use crate::jobs::JobsFound;
use crate::modules::ModulesFound;
use crate::options::{Options, Part};

/// A control node that was killed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct KilledControl {
    /// Until another control node saw it down.
    pub(crate) detected_ms: u64,
    /// Until the last of its workers had a proxy again.
    pub(crate) rehosted_ms: u64,
    /// How many workers' proxies it hosted, which all moved.
    pub(crate) proxies_moved: usize,
    /// Until every proxy was where the ring without it says.
    pub(crate) settled_ms: u64,
}

/// A worker that was killed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct KilledWorker {
    /// Until its control node called it `NotConnected`.
    pub(crate) detected_ms: u64,
    /// The same, by the name that says what is measured.
    pub(crate) not_connected_ms: u64,
}

/// A control node that joined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct JoinedControl {
    /// How many workers have another host since.
    pub(crate) proxies_moved: usize,
    /// The share of the partitions that is its due, from 0 to 1.
    pub(crate) ideal_share: f64,
    /// The share of the partitions that it owns.
    pub(crate) share: f64,
    /// From its start until all control nodes see it own partitions.
    pub(crate) active_ms: u64,
    /// From then until every proxy was where the ring with it says.
    pub(crate) settled_ms: u64,
    /// Requests to workers that lived which had no answer, from its start until then.
    pub(crate) requests_failed_by_move: u64,
    /// Of these, requests of the control node that joined, which asks as soon as it owns partitions.
    pub(crate) requests_failed_of_newcomer: u64,
    /// Why requests failed meanwhile, and how often; those to workers that had died are here too.
    pub(crate) requests_failed_reasons: BTreeMap<String, u64>,
    /// Events that did not fit an outbox meanwhile.
    pub(crate) gaps: u64,
    /// Events that were handled twice meanwhile.
    pub(crate) duplicates: u64,
}

/// A worker that joined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct JoinedWorker {
    /// Until it had a proxy.
    pub(crate) ready_ms: u64,
}

/// A control node that left in order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LeftControl {
    pub(crate) node: String,
    /// How many workers it hosted when it was told to leave.
    pub(crate) workers_before: usize,
    /// How many of them had another host before its process ended.
    pub(crate) moved_before_exit: usize,
    /// How often a worker that lives was called not connected, from then until every proxy was at its ring owner.
    pub(crate) not_connected_seen: u64,
    /// Requests of the other control nodes, to workers that live, which had no answer in the same time.
    pub(crate) requests_failed: u64,
    /// From the moment at which it had finished its own calls until its process had ended.
    pub(crate) left_ms: u64,
    /// From then until every proxy was at its ring owner.
    pub(crate) settled_ms: Option<u64>,
}

impl LeftControl {
    /// Whether it went without anybody noticing.
    fn is_unnoticed(&self) -> bool {
        let moved = self.moved_before_exit == self.workers_before;
        moved && self.not_connected_seen == 0 && self.requests_failed == 0 && self.settled_ms.is_some()
    }
}

impl JoinedControl {
    /// Whether it took its share without anybody noticing.
    fn is_unnoticed(&self) -> bool {
        self.requests_failed_by_move == 0 && self.gaps == 0 && self.duplicates == 0
    }
}

impl PausedControl {
    /// Whether the same process has its share again, and nobody else has.
    fn is_back(&self) -> bool {
        self.settled_ms.is_some() && self.owners_per_worker_max == 1 && !self.restarted
    }
}

/// A control node that was stopped for 20 s, and went on. Times count from the moment at which it
/// went on, but for the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PausedControl {
    pub(crate) node: String,
    /// From the stop until another control node saw it down; nothing if none did.
    pub(crate) detected_ms: Option<u64>,
    /// Until all control nodes saw all of them alive and owning, and went on to for eight seconds.
    pub(crate) views_agree_ms: u64,
    /// Until every proxy was at its ring owner.
    pub(crate) settled_ms: Option<u64>,
    /// How many control nodes at most said that they host the same worker, from then on for three seconds.
    pub(crate) owners_per_worker_max: usize,
    /// Whether its process has ended, or has taken another generation.
    pub(crate) restarted: bool,
}

/// A worker that was stopped and not killed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SilentWorker {
    pub(crate) node: String,
    /// Until its control node called it `NotConnected`.
    pub(crate) not_connected_ms: u64,
}

/// A control node that was stopped and not killed. Times count from the stop.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SilentControl {
    pub(crate) node: String,
    /// Until another control node saw it down.
    pub(crate) detected_ms: u64,
    /// Until the last of its workers had a proxy elsewhere.
    pub(crate) rehosted_ms: u64,
    /// Until every proxy was where the ring without it says.
    pub(crate) settled_ms: Option<u64>,
}

/// What was measured on the way.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Findings {
    pub(crate) formed_ms: u64,
    pub(crate) killed_control: Option<KilledControl>,
    pub(crate) killed_worker: Option<KilledWorker>,
    pub(crate) joined_control: Option<JoinedControl>,
    pub(crate) joined_worker: Option<JoinedWorker>,
    pub(crate) left_control: Option<LeftControl>,
    pub(crate) paused_control: Option<PausedControl>,
    pub(crate) silent_worker: Option<SilentWorker>,
    pub(crate) silent_control: Option<SilentControl>,
    pub(crate) jobs: Option<JobsFound>,
    pub(crate) wasm: Option<ModulesFound>,
    pub(crate) docker: Option<ContainersFound>,
    /// Processes that ended though nobody had asked for it.
    pub(crate) ended_by_themselves: u64,
    pub(crate) rss_bytes_max: u64,
    /// Whether the script was there and came to its end.
    pub(crate) script_done: bool,
}

impl Findings {
    /// Whether what is shown beside files is as it should be.
    fn judge_shown(&self, part: Part, must: &mut impl FnMut(bool, &str)) {
        match part {
            Part::Jobs => {
                let jobs = self.jobs.clone().unwrap_or_default();
                must(jobs.is_kept(), "a job is kept at its number, and what was lost is replaced");
                must(jobs.doubled == 0, "no instance of a job runs twice in a cluster at rest");
            }
            Part::Wasm => {
                let wasm = self.wasm.clone().unwrap_or_default();
                must(wasm.is_shown(), "shipped code is called, switched and rolled back at every worker");
                must(wasm.is_right(), "shipped code returns what it should, and fails only by a kill");
                must(wasm.modules_lost == 0, "no worker that lives loses a module");
            }
            Part::Docker => {
                let docker = self.docker.clone().unwrap_or_default();
                must(docker.is_shown(), "containers end well, fail, and are stopped");
                must(docker.is_right(), "containers end as they should, and errands fail only by a kill");
                must(docker.left == 0, "no container is left by a worker that ends in order");
            }
            Part::Kill | Part::Join | Part::Pause | Part::Leave | Part::Silence => {}
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) controls: usize,
    pub(crate) workers: usize,
    pub(crate) files: usize,
    pub(crate) passes: u64,
    pub(crate) bytes: u64,
    pub(crate) verified: bool,
    pub(crate) mismatches: u64,
    pub(crate) lost: u64,
    pub(crate) requests: usize,
    pub(crate) requests_failed: u64,
    /// Why they failed, and how often.
    pub(crate) requests_failed_reasons: BTreeMap<String, u64>,
    pub(crate) request_p50_us: u64,
    pub(crate) request_p99_us: u64,
    pub(crate) events: u64,
    pub(crate) redelivered: u64,
    pub(crate) duplicates: u64,
    pub(crate) repeated_after_crash: u64,
    pub(crate) gaps: u64,
    pub(crate) retried_tasks: u64,
    #[serde(flatten)]
    pub(crate) findings: Findings,
    pub(crate) changes: Vec<Change>,
    pub(crate) orphans: usize,
}

impl Report {
    /// What must hold and does not. Somebody who quits early has asked for less.
    pub(crate) fn failures(&self, options: &Options) -> Vec<String> {
        let mut failures = Vec::new();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                failures.push(what.to_owned());
            }
        };
        let found = &self.findings;
        must(self.mismatches == 0 && self.lost == 0, "no result differs from the local computation");
        must(self.duplicates == 0, "no event is handled twice outside a crash");
        must(self.gaps == 0, "no event of a surviving task is missing");
        must(self.orphans == 0, "no process is left");
        must(found.ended_by_themselves == 0, "no process ends by itself");
        if !found.script_done {
            return failures;
        }
        must(self.verified, "every file comes back right");
        must(self.requests > 0, "requests are answered");
        for part in &options.parts {
            match part {
                Part::Kill => {
                    let killed = &found.killed_control;
                    must(killed.is_some(), "the workers of the killed control node have a proxy again");
                    must(found.killed_worker.is_some(), "the killed worker is seen as not connected");
                }
                Part::Join => {
                    let joined = &found.joined_control;
                    must(joined.is_some(), "the joined control node takes its share");
                    let unnoticed = joined.as_ref().is_none_or(JoinedControl::is_unnoticed);
                    must(unnoticed, "no request fails and no event is missing because workers move");
                    must(found.joined_worker.is_some(), "the joined worker has a proxy");
                }
                Part::Leave => must(
                    found.left_control.as_ref().is_some_and(LeftControl::is_unnoticed),
                    "a control node hands everything over before it goes, and nobody notices",
                ),
                Part::Pause => must(
                    found.paused_control.as_ref().is_some_and(PausedControl::is_back),
                    "a stopped control node comes back, and has its share again, and nobody else has",
                ),
                Part::Silence => {
                    must(found.silent_worker.is_some(), "a silent worker is seen as not connected");
                    must(found.silent_control.is_some(), "a silent control node is given up");
                }
                Part::Jobs | Part::Wasm | Part::Docker => found.judge_shown(*part, &mut must),
            }
        }
        failures
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn report(findings: Findings) -> Report {
        Report {
            controls: 3,
            workers: 5,
            files: 1,
            passes: 1,
            bytes: 1,
            verified: true,
            mismatches: 0,
            lost: 0,
            requests: 1,
            requests_failed: 0,
            requests_failed_reasons: BTreeMap::new(),
            request_p50_us: 1,
            request_p99_us: 1,
            events: 1,
            redelivered: 0,
            duplicates: 0,
            repeated_after_crash: 0,
            gaps: 0,
            retried_tasks: 0,
            findings,
            changes: Vec::new(),
            orphans: 0,
        }
    }

    #[test]
    fn what_was_asked_for_and_not_found_is_a_failure() {
        let options = Options { parts: [Part::Leave].into(), ..Options::default() };
        let done = Findings { script_done: true, ..Findings::default() };
        assert_eq!(
            report(done.clone()).failures(&options),
            ["a control node hands everything over before it goes, and nobody notices"]
        );
        assert!(report(Findings::default()).failures(&options).is_empty(), "somebody has quit before");
        let broken = Report { gaps: 1, ..report(Findings::default()) };
        assert_eq!(broken.failures(&options).len(), 1, "what is wrong is wrong at any time");
    }

    #[test]
    fn what_was_shown_beside_files_is_judged() {
        let options = Options { parts: [Part::Jobs, Part::Wasm, Part::Docker].into(), ..Options::default() };
        let jobs = JobsFound { desired: 3, running_at_end: 3, replaced: 1, replaced_ms: Some(1), doubled: 0 };
        let wasm = ModulesFound {
            calls: 1,
            switched: 1,
            rolled_back: 1,
            workers_checked: 1,
            failed: 2,
            failed_by_kill: 2,
            ..ModulesFound::default()
        };
        let docker =
            ContainersFound { succeeded: 1, failed_as_told: 1, stopped: 1, ..ContainersFound::default() };
        let judged = |jobs: &JobsFound, wasm: &ModulesFound, docker: &ContainersFound| {
            let (jobs, wasm, docker) = (Some(jobs.clone()), Some(wasm.clone()), Some(docker.clone()));
            let found = Findings { script_done: true, jobs, wasm, docker, ..Findings::default() };
            report(found).failures(&options).len()
        };
        assert_eq!(judged(&jobs, &wasm, &docker), 0, "a kill explains failures");
        assert_eq!(judged(&JobsFound { doubled: 1, ..jobs.clone() }, &wasm, &docker), 1);
        assert_eq!(judged(&JobsFound { running_at_end: 2, ..jobs.clone() }, &wasm, &docker), 1);
        assert_eq!(judged(&jobs, &ModulesFound { failed: 3, ..wasm.clone() }, &docker), 1);
        assert_eq!(judged(&jobs, &ModulesFound { wrong: 1, ..wasm.clone() }, &docker), 1);
        assert_eq!(judged(&jobs, &ModulesFound { modules_lost: 1, ..wasm.clone() }, &docker), 1);
        assert_eq!(judged(&jobs, &wasm, &ContainersFound { left: 1, ..docker.clone() }), 1);
        assert_eq!(judged(&JobsFound::default(), &ModulesFound::default(), &ContainersFound::default()), 3);
    }

    #[test]
    fn the_keys_of_the_findings_stand_beside_the_others() {
        let json = serde_json::to_value(report(Findings::default())).unwrap();
        assert_eq!(json["formed_ms"], 0);
        assert!(json["killed_control"].is_null() && json["findings"].is_null());
    }
}
