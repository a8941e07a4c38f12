//! The hybrid logical clock that stamps records: as near to the wall clock as it can be, and never behind what was seen.
//!
//! A clock that follows what others say can be led astray by one of them. So what is too far ahead of the own wall clock
//! is refused, and what is a little less far ahead is taken without following it.

use phalanx_base::NodeId;

use crate::record::Stamp;

/// How far a record of [`Rule::LastWriter`](crate::Rule::LastWriter) may be ahead of the reader's wall clock. Whoever
/// wrote a later one owns its key, since nobody could write over it: so the log is refused, and named, until then.
pub const STAMP_AHEAD_MS_MAX: u64 = 3_600_000;

/// How far a node itself stamps ahead of its wall clock: ten minutes less, so that what it writes over a stamp that it
/// has just accepted is not refused by others whose clocks are behind its own.
pub(crate) const WRITE_AHEAD_MS_MAX: u64 = STAMP_AHEAD_MS_MAX - 600_000;

/// Stamps what this node writes.
#[derive(Debug)]
pub(crate) struct HybridClock {
    last: Stamp,
}

impl HybridClock {
    pub(crate) fn new(node: NodeId) -> Self {
        Self { last: Stamp { unix_ms: 0, counter: 0, writer: node } }
    }

    /// The next stamp: greater than each before it, and than each that was observed. `None` when that is too far ahead
    /// of the wall clock; nothing has changed then.
    pub(crate) fn tick(&mut self, unix_ms: u64) -> Option<Stamp> {
        let (ms, counter) = match self.last.counter.checked_add(1) {
            _ if unix_ms > self.last.unix_ms => (unix_ms, 0),
            Some(counter) => (self.last.unix_ms, counter),
            None => (self.last.unix_ms.saturating_add(1), 0),
        };
        if ms > unix_ms.saturating_add(WRITE_AHEAD_MS_MAX) {
            return None;
        }
        (self.last.unix_ms, self.last.counter) = (ms, counter);
        Some(self.last.clone())
    }

    /// Follows a stamp that somebody else made, if it is not too far ahead.
    pub(crate) fn observe(&mut self, unix_ms: u64, stamp: &Stamp) {
        let seen = (stamp.unix_ms, stamp.counter);
        if stamp.unix_ms <= unix_ms.saturating_add(WRITE_AHEAD_MS_MAX)
            && seen > (self.last.unix_ms, self.last.counter)
        {
            (self.last.unix_ms, self.last.counter) = seen;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp(unix_ms: u64) -> Stamp {
        Stamp { unix_ms, counter: 7, writer: NodeId::new("b").unwrap() }
    }

    #[test]
    fn a_liar_does_not_lead_it_astray() {
        let mut clock = HybridClock::new(NodeId::new("a").unwrap());
        clock.observe(1_000, &stamp(1_000 + WRITE_AHEAD_MS_MAX + 1));
        assert_eq!(clock.tick(1_000).unwrap().unix_ms, 1_000);
        clock.observe(1_000, &stamp(1_000 + WRITE_AHEAD_MS_MAX));
        assert_eq!(clock.tick(1_000).unwrap().counter, 8);
        assert_eq!(clock.tick(999), None, "the wall clock went back");
    }

    proptest! {
        #[test]
        fn stamps_grow_whatever_the_wall_clock_does(steps in prop::collection::vec((0..5_000_u64, any::<bool>()), 1..60)) {
            let mut clock = HybridClock::new(NodeId::new("a").unwrap());
            let mut greatest = (0, 0);
            for (unix_ms, foreign) in steps {
                if foreign {
                    clock.observe(unix_ms, &stamp(unix_ms));
                    greatest = greatest.max((unix_ms, 7));
                } else {
                    let made = clock.tick(unix_ms).unwrap();
                    prop_assert!((made.unix_ms, made.counter) > greatest);
                    greatest = (made.unix_ms, made.counter);
                }
            }
        }
    }
}
