//! How good a worker is, with the parts that make it so.

use std::cmp::Ordering;
use std::fmt;

use super::preferences::{Affinity, Preferences, Ranking, Spread};
use super::refusal::Tasks;
use super::worker::WorkerView;
use crate::Metric;

/// The free and the used share of a worker that does not report the metric: it is neither sought nor shunned.
const HALF: f64 = 0.5;

/// How many tasks of the job run at the place of a worker, by each spread.
pub(super) type CrowdsOf = [u32; Preferences::SPREADS_MAX];

/// How good a worker is; it knows its parts, and prints them.
///
/// Workers are ordered by the spreads first (fewer tasks of the job are better), then by the total.
#[derive(Debug, Clone, Copy)]
pub struct Score<'r> {
    preferences: &'r Preferences,
    crowds: CrowdsOf,
    ranking: f64,
    /// Which affinities match: the bit of the first is the lowest.
    matched: u16,
    total: f64,
}

impl<'r> Score<'r> {
    /// The score of a worker whose lot this is.
    pub(super) fn new(
        preferences: &'r Preferences,
        worker: &WorkerView<'_>,
        crowds: CrowdsOf,
        lot: u64,
    ) -> Self {
        let ranking = ranking_of(preferences.ranking(), worker, lot);
        let (mut matched, mut weight_percent) = (0, 0);
        for (place, affinity) in preferences.affinities().iter().enumerate() {
            if affinity.selector.matches(worker.labels) {
                matched |= 1 << place;
                weight_percent += i32::from(affinity.weight_percent);
            }
        }
        Self { preferences, crowds, ranking, matched, total: ranking + f64::from(weight_percent) / 100.0 }
    }

    /// What the ranking and the affinities give together; the greater, the better.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.total
    }

    /// What the [`Ranking`] gives, from 0 to 1.
    #[must_use]
    pub fn ranking(&self) -> f64 {
        self.ranking
    }

    /// The affinities that match.
    pub fn affinities(&self) -> impl Iterator<Item = &'r Affinity> {
        let matched = self.matched;
        let numbered = self.preferences.affinities().iter().enumerate();
        numbered.filter(move |(place, _)| matched >> place & 1 == 1).map(|(_, affinity)| affinity)
    }

    /// How many tasks of the job run where the worker is, by each spread.
    pub fn crowds(&self) -> impl Iterator<Item = (&'r Spread, u32)> {
        self.preferences.spreads().iter().zip(self.crowds)
    }

    /// Greater is better.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        other.crowds.cmp(&self.crowds).then(self.total.total_cmp(&other.total))
    }
}

fn ranking_of(ranking: Ranking, worker: &WorkerView<'_>, lot: u64) -> f64 {
    let free = |metric: Metric| worker.metrics.free(metric).unwrap_or(HALF);
    // The upper 52 bits and half a step, which a float holds exactly: so neither 0 nor 1 is drawn.
    let lot = ((lot >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    match ranking {
        Ranking::LeastLoaded(metric) => free(metric),
        Ranking::Pack(metric) => worker.metrics.used(metric).unwrap_or(HALF),
        // Falls with the wait, and stays a number where the wait is infinite.
        Ranking::Weighted(metric) => 1.0 / (1.0 - lot.ln() / free(metric)),
        Ranking::Random => lot,
    }
}

impl fmt::Display for Score<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}: {} {:.3}", self.total, self.preferences.ranking(), self.ranking)?;
        for Affinity { selector, weight_percent } in self.affinities() {
            write!(f, ", {:+.2} for {selector}", f64::from(*weight_percent) / 100.0)?;
        }
        for (spread, tasks) in self.crowds() {
            write!(f, ", {} of the job by {}", Tasks(tasks), spread.label)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metrics;
    use phalanx_base::{Labels, NodeId, NodeStatus};

    #[test]
    fn every_lot_gives_a_number_from_0_to_1() {
        let (node, labels) = (NodeId::new("w").unwrap(), Labels::default());
        for (used, lot) in
            [0.0, 0.5, 1.0].into_iter().flat_map(|used| [0, 1, u64::MAX].map(|lot| (used, lot)))
        {
            let metrics = Metrics { cpu: Some(used), ..Metrics::default() };
            let worker = WorkerView { metrics, ..WorkerView::new(&node, &labels, NodeStatus::Ready) };
            let random = ranking_of(Ranking::Random, &worker, lot);
            assert!(0.0 < random && random < 1.0, "{lot}");
            let weighted = ranking_of(Ranking::Weighted(Metric::Cpu), &worker, lot);
            assert!((0.0..=1.0).contains(&weighted), "{used} {lot}: {weighted}");
            assert_eq!(weighted == 0.0, used == 1.0);
        }
    }
}
