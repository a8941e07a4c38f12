//! Chooses a worker, and says why.
//!
//! One function decides, [`decide`]: it judges each worker once, keeps the best, and lets an audience hear what it says
//! of each. [`choose`] is that function with nobody listening, [`explain`] is it with somebody who takes notes; an
//! audience hears and answers nothing, so that no explanation can differ from the choice that it explains.

mod best;
mod explain;
mod judge;
mod never;
mod preferences;
mod refusal;
mod requirements;
mod score;
#[cfg(test)]
mod tests;
mod worker;

use std::cmp::Ordering;
use std::iter::once;

use phalanx_base::NodeId;

use best::Best;
pub use explain::{Explanation, Verdict, explain};
use judge::Judge;
pub(crate) use judge::standing_refusals;
use never::Tally;
pub use never::{Cause, NeverPlaceable};
pub use preferences::{Affinity, Preferences, PreferencesError, Ranking, Spread};
pub use refusal::{Condition, Refusal};
pub use requirements::{Purpose, Requirements};
pub use score::Score;
pub use worker::{Class, WorkerView};

/// The best workers for one piece of work: at least one.
#[derive(Debug, Clone)]
pub struct Choice<'r> {
    /// Never empty.
    ranked: Vec<Ranked<'r>>,
}

/// A worker that was chosen.
#[derive(Debug, Clone)]
pub struct Ranked<'r> {
    /// Which worker.
    pub node: NodeId,
    /// Why at this place.
    pub score: Score<'r>,
}

impl<'r> Choice<'r> {
    /// The best worker.
    #[must_use]
    pub fn best(&self) -> &NodeId {
        &self.ranked[0].node
    }

    /// The best worker and whom to ask if it declines, best first: at most [`Preferences::ranked_max`]. They are
    /// alternatives for one task; for a second task choose again, with the first one counted.
    #[must_use]
    pub fn ranked(&self) -> &[Ranked<'r>] {
        &self.ranked
    }
}

/// Chooses the best workers for one piece of work.
///
/// Equal inputs give equal choices, in whatever order the workers come. Workers that are equally good are ordered by a
/// hash of the seed and the id, so that choices with different seeds do not all pile on one name: give each a seed of
/// its own, such as the id of the call.
///
/// Looks at each worker once (twice with a [`Spread`], therefore the `Clone`), and keeps no more of them than it ranks:
/// some 0.2 µs for each worker, 0.5 µs with spreads. A worker must not come twice.
///
/// # Errors
/// [`NeverPlaceable`] if no worker meets the requirements.
pub fn choose<'r, 'w>(
    requirements: &'r Requirements,
    preferences: &'r Preferences,
    workers: impl IntoIterator<Item = WorkerView<'w>, IntoIter: Clone>,
    seed: u64,
) -> Result<Choice<'r>, NeverPlaceable> {
    decide(requirements, preferences, workers.into_iter(), seed, &mut Nobody)
}

/// Hears what is said of each worker.
trait Audience<'r> {
    fn refused(&mut self, node: &NodeId, refusals: impl Iterator<Item = Refusal<'r>>);
    fn fits(&mut self, node: &NodeId, score: Score<'r>);
}

/// The audience of [`choose`].
struct Nobody;

impl<'r> Audience<'r> for Nobody {
    fn refused(&mut self, _: &NodeId, _: impl Iterator<Item = Refusal<'r>>) {}
    fn fits(&mut self, _: &NodeId, _: Score<'r>) {}
}

fn decide<'r, 'w>(
    requirements: &'r Requirements,
    preferences: &'r Preferences,
    workers: impl Iterator<Item = WorkerView<'w>> + Clone,
    seed: u64,
    audience: &mut impl Audience<'r>,
) -> Result<Choice<'r>, NeverPlaceable> {
    let judge = Judge::new(requirements, preferences, workers.clone(), seed);
    let mut best = Best::new(preferences.ranked_max());
    let mut tally = Tally::default();
    for worker in workers {
        let mut refusals = judge.refusals(worker);
        if let Some((number, first)) = refusals.next() {
            tally.count(number, first);
            audience.refused(worker.node, once(first).chain(refusals.map(|(_, refusal)| refusal)));
        } else {
            let (score, lot) = judge.score(&worker);
            audience.fits(worker.node, score);
            best.offer(Place { score, lot, node: worker.node });
        }
    }
    let ranked = best.into_ranked().map(|place| Ranked { node: place.node.clone(), score: place.score });
    let ranked: Vec<_> = ranked.collect();
    if ranked.is_empty() { Err(tally.never_placeable()) } else { Ok(Choice { ranked }) }
}

/// A worker among those that will do; the greater, the better.
struct Place<'r, 'w> {
    score: Score<'r>,
    lot: u64,
    node: &'w NodeId,
}

impl Ord for Place<'_, '_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.compare(&other.score).then(self.lot.cmp(&other.lot)).then(self.node.cmp(other.node))
    }
}

impl PartialOrd for Place<'_, '_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Place<'_, '_> {}
