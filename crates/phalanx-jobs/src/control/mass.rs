//! Whether so many workers are lost at one time that it is one failure of something they share: a switch, a provider, this
//! node's own network.
//!
//! One worker that is lost is best replaced soon. When most of them are lost within seconds, what was lost is more likely
//! the way to them: they run on, and whatever replaced them would run twice, or press all their work on the few that are
//! left. So a node says when it sees that, and nothing is replaced while it lasts. (Eureka calls the same thing
//! *self-preservation*; Kubernetes stops evicting in a zone most of whose nodes are unready.)
//!
//! Each shard counts its own losses ([`Losses`]); [`MassFailure`] decides about the sum.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use phalanx_base::NodeId;

use super::Proxy;

/// Losses within this time count as one.
pub const MASS_WINDOW: Duration = Duration::from_secs(30);

/// Of fewer workers than these nobody says that most are lost: two of three may well go for reasons of their own.
pub const MASS_KNOWN_MIN: usize = 4;

/// How a worker stands to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Standing {
    /// It is no business of this node: it was never hosted here, is hosted elsewhere, has stopped as it said it would, or
    /// is forgotten.
    #[default]
    Away,
    /// It is hosted here.
    Hosted,
    /// It was hosted here, and its link was lost then.
    Missing(Instant),
}

/// How many workers are there, and how many are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LossCounts {
    /// How many are hosted here.
    pub hosted: usize,
    /// How many were lost within [`MASS_WINDOW`], and are not back.
    pub recent: usize,
    /// How many were lost at any time, and are neither back nor forgotten: those of `recent` among them.
    pub missing: usize,
}

impl LossCounts {
    /// The sum of the counts of several shards.
    #[must_use]
    pub fn joined<'a>(counts: impl IntoIterator<Item = &'a Self>) -> Self {
        counts.into_iter().fold(Self::default(), |sum, counts| Self {
            hosted: sum.hosted + counts.hosted,
            recent: sum.recent + counts.recent,
            missing: sum.missing + counts.missing,
        })
    }

    /// How many workers this node knew when the window began.
    fn known(self) -> usize {
        self.hosted + self.recent
    }

    fn is_mass(self) -> bool {
        self.known() >= MASS_KNOWN_MIN && self.recent * 2 > self.known()
    }
}

/// The losses of one shard: no more of them than it has proxies.
#[derive(Debug, Default)]
pub(super) struct Losses {
    hosted: usize,
    missing: usize,
    recent: BTreeSet<(Instant, NodeId)>,
}

impl Losses {
    /// A worker stands to this node in another way.
    pub(super) fn change(&mut self, worker: &NodeId, from: Standing, to: Standing) {
        match from {
            Standing::Away => {}
            Standing::Hosted => self.hosted -= 1,
            Standing::Missing(at) => {
                self.missing -= 1;
                self.recent.remove(&(at, worker.clone()));
            }
        }
        match to {
            Standing::Away => {}
            Standing::Hosted => self.hosted += 1,
            Standing::Missing(at) => {
                self.missing += 1;
                self.recent.insert((at, worker.clone()));
            }
        }
    }

    pub(super) fn counts(&self) -> LossCounts {
        LossCounts { hosted: self.hosted, recent: self.recent.len(), missing: self.missing }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.recent.first().map(|(at, _)| *at + MASS_WINDOW)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|at| at <= now) {
            self.recent.pop_first();
        }
    }
}

impl Proxy {
    /// How the worker stands to this node. One that has a link lives, wherever it is hosted.
    pub(super) fn standing(&self) -> Standing {
        match (self.serving(), self.lost_at) {
            (Some(_), _) => Standing::Hosted,
            (None, Some(at)) if self.is_missed => Standing::Missing(at),
            (None, _) => Standing::Away,
        }
    }
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MassChange {
    /// Most workers are lost.
    Began {
        /// How many were lost within [`MASS_WINDOW`].
        lost: usize,
        /// Of how many.
        known: usize,
    },
    /// Most of those that were lost are back or forgotten.
    Ended,
}

/// Says when a mass failure begins and ends. It has no clock of its own: the counts have.
#[derive(Debug, Clone, Copy, Default)]
pub struct MassFailure {
    /// How many were missing at the worst moment, while it lasts.
    worst: Option<usize>,
}

impl MassFailure {
    /// The counts have changed. Each episode is said once, and so is its end.
    pub fn handle_counts(&mut self, counts: LossCounts) -> Option<MassChange> {
        let is_mass = counts.is_mass();
        match self.worst {
            None if is_mass => {
                self.worst = Some(counts.missing);
                Some(MassChange::Began { lost: counts.recent, known: counts.known() })
            }
            None => None,
            Some(worst) if !is_mass && counts.missing * 2 < worst => {
                self.worst = None;
                Some(MassChange::Ended)
            }
            Some(worst) => {
                self.worst = Some(worst.max(counts.missing));
                None
            }
        }
    }

    /// Whether it lasts.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.worst.is_some()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(hosted: usize, recent: usize, missing: usize) -> LossCounts {
        LossCounts { hosted, recent, missing }
    }

    #[test]
    fn it_begins_above_half_of_four_and_ends_when_most_are_back() {
        let mut mass = MassFailure::default();
        assert_eq!(mass.handle_counts(counts(0, 3, 3)), None, "three are too few");
        assert_eq!(mass.handle_counts(counts(5, 5, 9)), None, "half is not most");
        assert_eq!(mass.handle_counts(counts(4, 6, 6)), Some(MassChange::Began { lost: 6, known: 10 }));
        assert_eq!(mass.handle_counts(counts(0, 10, 10)), None, "it is said once");
        assert_eq!(mass.handle_counts(counts(0, 0, 10)), None, "time alone does not end it");
        assert_eq!(mass.handle_counts(counts(5, 0, 5)), None);
        assert!(mass.lasts());
        assert_eq!(mass.handle_counts(counts(6, 0, 4)), Some(MassChange::Ended));
        assert!(!mass.lasts());
    }

    #[test]
    fn who_is_lost_anew_keeps_it_going() {
        let mut mass = MassFailure::default();
        assert!(mass.handle_counts(counts(8, 10, 10)).is_some());
        // The first ten are forgotten when eight more are lost.
        assert_eq!(mass.handle_counts(counts(0, 8, 18)), None);
        assert_eq!(mass.handle_counts(counts(0, 8, 8)), None, "most are still lost");
        assert_eq!(mass.handle_counts(counts(0, 0, 8)), Some(MassChange::Ended));
    }

    /// What a worker does next.
    #[derive(Debug, Clone, Copy)]
    enum Turn {
        Attach,
        Lose,
        Leave,
    }

    fn turns() -> impl Strategy<Value = Vec<(u64, usize, Turn)>> {
        let turn = prop_oneof![4 => Just(Turn::Attach), 3 => Just(Turn::Lose), 1 => Just(Turn::Leave)];
        prop::collection::vec((0u64..9_000, 0usize..12, turn), 1..200)
    }

    proptest! {
        /// The counts are those of a list that is counted anew each time; a mass failure begins exactly when most workers
        /// of four or more are lost in the window, and lasts until most are back; no time before the next timeout matters.
        #[test]
        fn the_counts_are_right_and_the_window_is_bounded(turns in turns()) {
            let names: Vec<NodeId> = (0..12).map(|number| NodeId::new(&format!("w{number}")).unwrap()).collect();
            let mut now = Instant::now();
            let (mut losses, mut mass) = (Losses::default(), MassFailure::default());
            let mut standings = [Standing::Away; 12];
            let mut worst = None;
            for (passed, worker, turn) in turns {
                now += Duration::from_millis(passed);
                losses.handle_timeout(now);
                let next = match (turn, standings[worker]) {
                    (Turn::Attach, _) => Standing::Hosted,
                    (Turn::Lose, Standing::Hosted) => Standing::Missing(now),
                    (Turn::Lose, same) => same,
                    (Turn::Leave, _) => Standing::Away,
                };
                if next != standings[worker] {
                    losses.change(&names[worker], standings[worker], next);
                    standings[worker] = next;
                }

                let count = |is: &dyn Fn(&Standing) -> bool| standings.iter().filter(|standing| is(standing)).count();
                let hosted = count(&|standing| *standing == Standing::Hosted);
                let missing = count(&|standing| matches!(standing, Standing::Missing(_)));
                let recent = count(&|standing| matches!(standing, Standing::Missing(at) if now < *at + MASS_WINDOW));
                prop_assert_eq!(losses.counts(), counts(hosted, recent, missing));
                prop_assert!(losses.poll_timeout().is_none_or(|at| at > now && at <= now + MASS_WINDOW));

                let is_mass = hosted + recent >= MASS_KNOWN_MIN && recent > hosted;
                let change = mass.handle_counts(losses.counts());
                let expected = match worst {
                    None if is_mass => Some(MassChange::Began { lost: recent, known: hosted + recent }),
                    Some(worst) if !is_mass && missing * 2 < worst => Some(MassChange::Ended),
                    _ => None,
                };
                prop_assert_eq!(change, expected);
                worst = match change {
                    Some(MassChange::Began { .. }) => Some(missing),
                    Some(MassChange::Ended) => None,
                    None => worst.map(|worst: usize| worst.max(missing)),
                };
                prop_assert_eq!(mass.lasts(), worst.is_some());
            }
        }
    }
}
