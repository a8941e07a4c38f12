//! What is wrong with the network, and between whom.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// What happens to the datagrams that a condition is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// None arrives.
    Cut,
    /// So many of a hundred are lost.
    Loss {
        /// How many of a hundred.
        percent: u8,
    },
    /// So many of a hundred arrive twice.
    Duplicate {
        /// How many of a hundred.
        percent: u8,
    },
    /// So many of a hundred are overtaken by others.
    Reorder {
        /// How many of a hundred.
        percent: u8,
        /// By how much they come later, at most.
        by: Duration,
    },
    /// All take longer, by so much and up to so much more.
    Delay {
        /// By how much at least.
        by: Duration,
        /// And by how much more at most.
        jitter: Duration,
    },
}

/// An effect between machines. Of two sets of machines the datagrams from the first to the second are meant; a condition
/// that holds both ways names both.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub(crate) effect: Effect,
    pub(crate) from: BTreeSet<IpAddr>,
    pub(crate) to: BTreeSet<IpAddr>,
    pub(crate) both_ways: bool,
}

impl Condition {
    pub(crate) fn is_about(&self, from: IpAddr, to: IpAddr) -> bool {
        (self.from.contains(&from) && self.to.contains(&to))
            || (self.both_ways && self.from.contains(&to) && self.to.contains(&from))
    }
}

/// What becomes of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate {
    /// After how long it arrives; `None`: never.
    pub(crate) arrives: Option<Duration>,
    /// After how long a copy of it does.
    pub(crate) again: Option<Duration>,
}

/// How long a datagram takes where nothing is wrong, at least and at most.
const USUAL_DELAY: (Duration, Duration) = (Duration::from_micros(500), Duration::from_micros(2_000));

/// Decides about one datagram. As many random numbers are drawn as conditions meet it, in their order.
pub(crate) fn fate<'a>(
    conditions: impl Iterator<Item = &'a Condition>,
    from: IpAddr,
    to: IpAddr,
    random: &mut fastrand::Rng,
) -> Fate {
    let mut delay = between(USUAL_DELAY.0, USUAL_DELAY.1, random);
    let (mut lost, mut again) = (false, None);
    for condition in conditions.filter(|condition| condition.is_about(from, to)) {
        match condition.effect {
            Effect::Cut => lost = true,
            Effect::Loss { percent } => lost |= happens(percent, random),
            Effect::Duplicate { percent } => {
                if happens(percent, random) {
                    again = Some(between(Duration::ZERO, Duration::from_millis(50), random));
                }
            }
            Effect::Reorder { percent, by } => {
                if happens(percent, random) {
                    delay += between(Duration::ZERO, by, random);
                }
            }
            Effect::Delay { by, jitter } => delay += between(by, by + jitter, random),
        }
    }
    if lost {
        return Fate { arrives: None, again: None };
    }
    Fate { arrives: Some(delay), again: again.map(|more| delay + more) }
}

fn happens(percent: u8, random: &mut fastrand::Rng) -> bool {
    random.u8(..100) < percent
}

fn between(least: Duration, most: Duration, random: &mut fastrand::Rng) -> Duration {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random.u64(micros(least)..=micros(most).max(micros(least))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn condition(effect: Effect, from: u8, to: u8, both_ways: bool) -> Condition {
        Condition { effect, from: [ip(from)].into(), to: [ip(to)].into(), both_ways }
    }

    #[test]
    fn a_one_way_cut_lets_the_other_way_through() {
        let mut random = fastrand::Rng::with_seed(1);
        let cut = [condition(Effect::Cut, 1, 2, false)];
        assert_eq!(fate(cut.iter(), ip(1), ip(2), &mut random).arrives, None);
        assert!(fate(cut.iter(), ip(2), ip(1), &mut random).arrives.is_some());
        assert!(fate(cut.iter(), ip(1), ip(3), &mut random).arrives.is_some());
        let cut = [condition(Effect::Cut, 1, 2, true)];
        assert_eq!(fate(cut.iter(), ip(2), ip(1), &mut random).arrives, None);
    }

    #[test]
    fn rates_are_kept_about() {
        let mut random = fastrand::Rng::with_seed(1);
        let lossy = [condition(Effect::Loss { percent: 20 }, 1, 2, false)];
        let lost = (0..1_000).filter(|_| fate(lossy.iter(), ip(1), ip(2), &mut random).arrives.is_none());
        assert!((150..250).contains(&lost.count()));
    }

    #[test]
    fn delays_add_up() {
        let mut random = fastrand::Rng::with_seed(1);
        let by = Duration::from_millis(100);
        let slow = condition(Effect::Delay { by, jitter: Duration::ZERO }, 1, 2, true);
        let both = [slow.clone(), slow];
        assert!(fate(both.iter(), ip(1), ip(2), &mut random).arrives > Some(2 * by));
    }
}
