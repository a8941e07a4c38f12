//! The workers as supervision sees them: who is there, who is lost, and whether so many are lost that it is one failure.

use std::collections::BTreeMap;

use phalanx_base::{NodeId, NodeStatus};
use phalanx_jobs::{LOST_PROXY_KEPT, LossCounts, MASS_WINDOW, MassFailure, NodeSummary, Nodes};
use phalanx_placement::Class;
use phalanx_supervision::NodeReport;
use tokio::time::Instant;

use crate::meter::metrics;

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

    fn counts(&self, now: Instant) -> LossCounts {
        let lost = || self.known.values().copied().flatten();
        LossCounts {
            hosted: self.known.len() - lost().count(),
            recent: lost().filter(|at| now < *at + MASS_WINDOW).count(),
            missing: lost().count(),
        }
    }

    /// Whether most workers of the cluster were lost at one time, and are not back.
    pub(crate) fn has_mass_failure(&self) -> bool {
        self.mass.lasts()
    }
}

fn report(summary: NodeSummary) -> NodeReport {
    let class =
        |name: &phalanx_jobs::wire::ClassName| Class { name: name.name.clone(), version: name.version };
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
