//! The workers as supervision sees them: who is there, who is lost, and whether so many are lost that it is one failure.

use std::collections::BTreeMap;

use phalanx_base::{NodeId, NodeStatus};
use phalanx_jobs::{
    LOST_PROXY_KEPT, LossCounts, MASS_KNOWN_MIN, MASS_WINDOW, MassFailure, NodeSummary, Nodes,
};
use phalanx_placement::Class;
use phalanx_supervision::NodeReport;
use tokio::time::{Duration, Instant};

use crate::meter::metrics;

/// How long a worker may be missing because its control node is gone, and another one takes it in: whoever is away for longer
/// is lost by itself.
const REHOSTED_AFTER: Duration = Duration::from_secs(10);

/// What has changed with a look at the whole cluster.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) there: Vec<NodeReport>,
    pub(crate) lost: Vec<NodeId>,
}

/// The workers at the last look.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    /// Since when each of them is lost, if it is. One that stays lost is forgotten here after a while, and is lost still.
    known: BTreeMap<NodeId, Option<Instant>>,
    mass: MassFailure,
}

impl Workers {
    /// The cluster was looked at. While a control node does not answer, nobody is taken for lost whom it may host.
    pub(crate) fn look(&mut self, now: Instant, nodes: Nodes) -> Changes {
        let mut changes = Changes::default();
        let is_whole = nodes.silent.is_empty();
        let mut seen: BTreeMap<NodeId, NodeReport> =
            nodes.nodes.into_iter().map(|summary| (summary.node.clone(), report(summary))).collect();
        seen.retain(|_, report| report.status != NodeStatus::NotConnected);
        for (node, lost_at) in &mut self.known {
            if seen.contains_key(node) {
                *lost_at = None;
            } else if is_whole && lost_at.is_none() {
                *lost_at = Some(now);
                changes.lost.push(node.clone());
            }
        }
        for (node, report) in seen {
            self.known.insert(node, None);
            changes.there.push(report);
        }
        self.known.retain(|_, lost_at| lost_at.is_none_or(|at| now < at + LOST_PROXY_KEPT));
        let counts = self.counts(now);
        self.mass.handle_counts(counts);
        changes
    }

    /// Who is lost, without those whose control node may only just have gone.
    fn counts(&self, now: Instant) -> LossCounts {
        let lost = || self.known.values().copied().flatten().filter(|at| now >= *at + REHOSTED_AFTER);
        LossCounts {
            hosted: self.known.len() - self.missing(),
            recent: lost().filter(|at| now < *at + MASS_WINDOW).count(),
            missing: lost().count(),
        }
    }

    fn missing(&self) -> usize {
        self.known.values().flatten().count()
    }

    /// Whether most workers of the cluster were lost at one time, and are not back; or are missing at this moment.
    pub(crate) fn has_mass_failure(&self) -> bool {
        let most_are_missing = self.known.len() >= MASS_KNOWN_MIN && self.missing() * 2 > self.known.len();
        most_are_missing || self.mass.lasts()
    }
}

fn report(summary: NodeSummary) -> NodeReport {
    let class =
        |name: &phalanx_jobs::wire::ClassName| Class { name: name.name.to_string(), version: name.version };
    NodeReport {
        node: summary.node,
        generation: summary.generation,
        status: summary.status,
        labels: summary.labels,
        classes: summary.classes.iter().map(class).collect(),
        metrics: metrics(&summary.usage),
        tasks: summary.tasks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_base::{Fence, Generation, Labels, Usage};

    fn nodes(names: &[&str]) -> Nodes {
        let node = |name: &&str| NodeSummary {
            node: NodeId::new(name).unwrap(),
            generation: Generation::from_u64(1),
            owner: NodeId::new("control").unwrap(),
            fence: Fence(1),
            status: NodeStatus::Ready,
            tasks: 0,
            labels: Labels::default(),
            classes: Vec::new(),
            usage: Usage::default(),
        };
        Nodes { nodes: names.iter().map(node).collect(), silent: Vec::new() }
    }

    /// A control node is killed with its own worker and the three that it hosted, and then one worker more: the three are back
    /// at once, and what the other two ran is to be replaced.
    #[tokio::test(start_paused = true)]
    async fn workers_that_only_change_their_control_node_are_no_mass_failure() {
        let all = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let (mut workers, start) = (Workers::default(), Instant::now());
        workers.look(start, nodes(&all));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(workers.look(at(1), nodes(&all[5..])).lost.len(), 5);
        assert!(workers.has_mass_failure(), "at that moment nobody knows");
        workers.look(at(3), nodes(&all[2..]));
        assert!(!workers.has_mass_failure());
        workers.look(at(30), nodes(&all[2..]));
        assert!(!workers.has_mass_failure());
    }

    #[tokio::test(start_paused = true)]
    async fn most_workers_that_stay_away_are_one() {
        let all = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let (mut workers, start) = (Workers::default(), Instant::now());
        workers.look(start, nodes(&all));
        let at = |seconds| start + Duration::from_secs(seconds);
        for seconds in 1..20 {
            workers.look(at(seconds), nodes(&all[5..]));
            assert!(workers.has_mass_failure());
        }
        workers.look(at(20), nodes(&all[4..]));
        assert!(workers.has_mass_failure(), "one that is back is not most of them");
        workers.look(at(21), nodes(&all[1..]));
        assert!(!workers.has_mass_failure());
    }
}
