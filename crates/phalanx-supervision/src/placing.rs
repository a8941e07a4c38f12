//! Where an instance goes: the best worker by the job's preferences, and of those that are as good the one with the fewest
//! instances of the job.
//!
//! Reports of how full workers are come seconds after a task has started, so by them alone all instances of a job would go to
//! the worker that was the emptiest. Only `Ranking::Pack` wants that.

use std::collections::BTreeMap;

use phalanx_base::NodeId;
use phalanx_placement::{
    NeverPlaceable, Preferences, Purpose, Ranked, Ranking, Requirements, WorkerView, choose,
};

use crate::backoff::mixed;
use crate::nodes::{Node, Nodes};
use crate::spec::JobSpec;

/// Of how many workers the one with the fewest instances is taken.
const RANKED: usize = Preferences::RANKED_MAX;

/// Who may run instances of a job.
#[derive(Debug)]
pub(crate) struct Placing {
    requirements: Requirements,
    preferences: Preferences,
}

/// How many instances of a job are at each worker.
pub(crate) type Crowd = BTreeMap<NodeId, u32>;

impl Placing {
    pub(crate) fn new(spec: &JobSpec) -> Self {
        let class = Some(spec.class.clone());
        Self {
            requirements: Requirements { purpose: Purpose::Task, class, ..spec.requirements.clone() },
            preferences: spec.preferences.clone().ranked(RANKED),
        }
    }

    /// Whether a worker meets what lasts: class, labels, and not being excluded.
    pub(crate) fn matches(&self, node: &Node) -> bool {
        let report = &node.report;
        self.requirements.class.as_ref().is_none_or(|class| report.classes.contains(class))
            && self.requirements.selector.matches(&report.labels)
            && !self.requirements.excluded.contains(&report.node)
    }

    /// The best worker for one more instance. A worker that is to be avoided is taken where there is no other.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn place(
        &self,
        nodes: &Nodes,
        crowd: &Crowd,
        avoided: Option<&NodeId>,
        seed: u64,
    ) -> Result<NodeId, NeverPlaceable> {
        let views = nodes.iter().map(|(name, node)| view(name, node, crowd));
        let choice = choose(&self.requirements, &self.preferences, views, mixed(seed))?;
        let mut ranked = choice.ranked().iter().filter(|ranked| Some(&ranked.node) != avoided).peekable();
        let Some(best) = ranked.peek().copied() else { return Ok(choice.best().clone()) };
        if matches!(self.preferences.ranking(), Ranking::Pack(_)) {
            return Ok(best.node.clone());
        }
        let as_good = ranked.filter(|ranked| is_as_good(best, ranked));
        let emptiest = as_good.min_by_key(|ranked| crowd.get(&ranked.node).copied().unwrap_or(0));
        Ok(emptiest.unwrap_or(best).node.clone())
    }

    /// Whether this worker takes one more instance now.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self, node: &Node) -> Result<(), NeverPlaceable> {
        let view = view(&node.report.node, node, &Crowd::new());
        choose(&self.requirements, &self.preferences, [view], 0).map(|_| ())
    }
}

fn view<'n>(name: &'n NodeId, node: &'n Node, crowd: &Crowd) -> WorkerView<'n> {
    WorkerView {
        classes: &node.report.classes,
        metrics: node.report.metrics,
        tasks: node.report.tasks.saturating_add(node.sent),
        tasks_of_job: crowd.get(name).copied().unwrap_or(0),
        ..WorkerView::new(name, &node.report.labels, node.status())
    }
}

/// Whether two workers differ only in how full they are: neither a spread nor an affinity tells them apart.
fn is_as_good(best: &Ranked<'_>, other: &Ranked<'_>) -> bool {
    let weight = |ranked: &Ranked<'_>| -> i32 {
        ranked.score.affinities().map(|affinity| i32::from(affinity.weight_percent)).sum()
    };
    best.score.crowds().map(|(_, tasks)| tasks).eq(other.score.crowds().map(|(_, tasks)| tasks))
        && weight(best) == weight(other)
}
