//! What is said of one worker: the one place where requirements and preferences are applied.

use std::collections::BTreeMap;
use std::iter::once_with;

use super::preferences::{Preferences, Spread};
use super::refusal::Refusal;
use super::requirements::Requirements;
use super::score::{CrowdsOf, Score};
use super::worker::WorkerView;
use crate::hash::draw;

/// How many tasks of the job run at each value of one label; workers without a value are at `None`.
type Crowd<'w> = BTreeMap<Option<&'w str>, u32>;

/// Knows everything that a worker is judged by.
pub(super) struct Judge<'r, 'w> {
    requirements: &'r Requirements,
    preferences: &'r Preferences,
    /// One for each spread.
    crowds: Vec<Crowd<'w>>,
    seed: u64,
}

impl<'r, 'w> Judge<'r, 'w> {
    /// Looks at the workers only where a spread has to know what runs on each of them.
    pub(super) fn new(
        requirements: &'r Requirements,
        preferences: &'r Preferences,
        workers: impl Iterator<Item = WorkerView<'w>>,
        seed: u64,
    ) -> Self {
        let mut crowds = vec![Crowd::new(); preferences.spreads().len()];
        if !crowds.is_empty() {
            for worker in workers.filter(|worker| worker.tasks_of_job > 0) {
                for (crowd, spread) in crowds.iter_mut().zip(preferences.spreads()) {
                    let tasks = crowd.entry(value(spread, &worker)).or_default();
                    *tasks = tasks.saturating_add(worker.tasks_of_job);
                }
            }
        }
        Self { requirements, preferences, crowds, seed }
    }

    /// Why a worker will not do, each with the number of the condition that it fails; none at all if it will do. Each
    /// condition is looked at when it is asked for, those that last first.
    pub(super) fn refusals(&self, worker: WorkerView<'w>) -> impl Iterator<Item = (usize, Refusal<'r>)> {
        let limits = self.requirements.used_max_percent.iter();
        let used = limits.map(move |(metric, max_percent)| {
            let used = worker.metrics.used(*metric)?;
            let is_over = used > f64::from(*max_percent) / 100.0;
            is_over.then_some(Refusal::Used { metric: *metric, used, max_percent: *max_percent })
        });
        let spreads = self.preferences.spreads().iter().zip(&self.crowds);
        let spread = spreads.map(move |(spread, crowd)| {
            let max = spread.tasks_max?;
            let running = at(crowd, spread, &worker);
            (running >= max).then_some(Refusal::Spread { label: &spread.label, running, max })
        });
        standing_refusals(self.requirements, worker)
            .chain(once_with(move || {
                let (running, max) = (worker.tasks, self.requirements.tasks_max?);
                (running >= max).then_some(Refusal::Tasks { running, max })
            }))
            .chain(used)
            .chain(spread)
            .enumerate()
            .filter_map(|(number, refusal)| Some((number, refusal?)))
    }

    /// The lot of a worker that will do, and its score.
    pub(super) fn score(&self, worker: &WorkerView<'w>) -> (Score<'r>, u64) {
        let mut crowds = CrowdsOf::default();
        for ((tasks, crowd), spread) in crowds.iter_mut().zip(&self.crowds).zip(self.preferences.spreads()) {
            *tasks = at(crowd, spread, worker);
        }
        let lot = draw(self.seed, worker.node);
        (Score::new(self.preferences, worker, crowds, lot), lot)
    }
}

/// What can be wrong with a worker whatever it is doing: each condition in turn, with why the worker fails it.
pub(crate) fn standing_refusals<'r>(
    requirements: &'r Requirements,
    worker: WorkerView<'_>,
) -> impl Iterator<Item = Option<Refusal<'r>>> {
    let class = move || {
        let needed = requirements.class.as_ref()?;
        let same_name = || worker.classes.iter().filter(|class| class.name == needed.name);
        let has_it = same_name().any(|class| class.version == needed.version);
        (!has_it).then(|| Refusal::Class { needed, found: same_name().map(|class| class.version).next() })
    };
    let clauses = requirements.selector.clauses().iter();
    let clauses =
        clauses.map(move |clause| (!clause.matches(worker.labels)).then_some(Refusal::Clause(clause)));
    let excluded = move || requirements.excluded.contains(worker.node).then_some(Refusal::Excluded);
    let status = move || {
        let (purpose, found) = (requirements.purpose, worker.status);
        (!purpose.allows(found)).then_some(Refusal::Status { purpose, found })
    };
    once_with(class).chain(clauses).chain(once_with(excluded)).chain(once_with(status))
}

/// Where a worker is by a spread: of several values the first.
fn value<'w>(spread: &Spread, worker: &WorkerView<'w>) -> Option<&'w str> {
    spread.label.values(worker.labels).next()
}

fn at(crowd: &Crowd<'_>, spread: &Spread, worker: &WorkerView<'_>) -> u32 {
    crowd.get(&value(spread, worker)).copied().unwrap_or(0)
}
