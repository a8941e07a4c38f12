//! How far a node may trust its own judgement of others (Dadgar, Phillips, Currey: Lifeguard, DSN 2018).
//!
//! A node that is overloaded or badly linked misses the answers of healthy members and would declare them down. So it
//! counts the probes that it missed and gives suspects more time, the worse it is itself. Lifeguard asks the helpers of
//! a probe whether they were reached, so as not to count the dead. Here a missed probe counts once its member has denied
//! the doubt: then the fault was not the member's, and a partition or a rack that dies is noticed at full speed.

/// By how much a node in the worst health multiplies the time that it gives to suspects: memberlist's measure.
const MULTIPLIER_MAX: u32 = 8;
/// So many probes missed in a row mean that the node is cut off: it need not declare each member down to know that.
const MISSES_OF_THE_ISOLATED: u32 = 5;
/// So many missed in a row are rare at any loss that one can work with, and leave three periods to find out more.
const MISSES_OF_THE_UNCERTAIN: u32 = 2;

/// How far a node may trust its own judgement of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LocalHealth {
    /// 0 is perfect health.
    score: u32,
    /// Probes missed since the last one that was answered.
    misses: u32,
}

impl LocalHealth {
    pub(crate) fn probe_answered(&mut self) {
        self.misses = 0;
        self.score = self.score.saturating_sub(1);
    }

    /// Somebody has answered something else: so this node is heard.
    pub(crate) fn was_heard(&mut self) {
        self.misses = 0;
    }

    /// Whether enough was missed that this node should make sure that it is heard at all.
    pub(crate) fn is_uncertain(self) -> bool {
        self.misses >= MISSES_OF_THE_UNCERTAIN
    }

    pub(crate) fn probe_missed(&mut self) {
        self.misses = self.misses.saturating_add(1);
    }

    /// A member whose probe was missed has denied the doubt.
    pub(crate) fn was_wrong(&mut self) {
        self.score = (self.score + 1).min(MULTIPLIER_MAX - 1);
    }

    /// By how much to multiply the time that a suspect gets: 1 to 8.
    pub(crate) fn multiplier(self) -> u32 {
        1 + self.score
    }

    /// Whether nobody seems to hear this node.
    pub(crate) fn is_isolated(self) -> bool {
        self.misses >= MISSES_OF_THE_ISOLATED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_doubt_that_was_wrong_makes_patient() {
        let mut health = LocalHealth::default();
        (0..9).for_each(|_| health.probe_missed());
        assert_eq!(health.multiplier(), 1);
        (0..9).for_each(|_| health.was_wrong());
        assert_eq!(health.multiplier(), MULTIPLIER_MAX);
        health.probe_answered();
        assert_eq!(health.multiplier(), MULTIPLIER_MAX - 1);
    }

    #[test]
    fn who_is_heard_is_not_isolated() {
        let mut health = LocalHealth::default();
        (0..4).for_each(|_| health.probe_missed());
        assert!(health.is_uncertain());
        health.was_heard();
        assert!(!health.is_uncertain());
        health.probe_missed();
        assert!(!health.is_isolated());
    }

    #[test]
    fn five_in_a_row_are_isolation_and_one_answer_ends_it() {
        let mut health = LocalHealth::default();
        (0..5).for_each(|_| health.probe_missed());
        assert!(health.is_isolated());
        health.probe_answered();
        assert!(!health.is_isolated());
    }

    proptest! {
        #[test]
        fn the_multiplier_stays_in_range_and_heals(probes in proptest::collection::vec(0..3_u8, 0..64)) {
            let mut health = LocalHealth::default();
            for probe in probes {
                match probe {
                    0 => health.probe_answered(),
                    1 => health.probe_missed(),
                    _ => health.was_wrong(),
                }
                prop_assert!((1..=MULTIPLIER_MAX).contains(&health.multiplier()));
            }
            (0..MULTIPLIER_MAX).for_each(|_| health.probe_answered());
            prop_assert_eq!(health, LocalHealth::default());
        }
    }
}
