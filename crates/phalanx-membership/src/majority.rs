//! Whether this node sees more than half of the roster, and when that is worth an event.

use std::time::{Duration, Instant};

use crate::event::Event;

/// Whether this node sees more than half of the roster, and what was told of it.
#[derive(Debug, Default)]
pub(crate) struct MajorityWatch {
    holds: bool,
    /// Whether it ever held with others: a node that has just started is not cut off, it has not met them.
    seen: bool,
    /// Since when it does not hold, as long as that is not told.
    lost_at: Option<Instant>,
    told: bool,
}

impl MajorityWatch {
    pub(crate) fn holds(&self) -> bool {
        self.holds
    }

    /// Takes in how it is now. A loss is told once it has lasted for `patience`, since a node that learns the names of
    /// a cluster before it meets the members lacks a majority for a moment.
    pub(crate) fn observe(
        &mut self,
        now: Instant,
        holds: bool,
        alone: bool,
        patience: Duration,
    ) -> Option<Event> {
        self.holds = holds;
        if holds {
            self.seen |= !alone;
            self.lost_at = None;
            return std::mem::take(&mut self.told).then_some(Event::PartitionHealed);
        }
        if !self.seen || self.told {
            return None;
        }
        let lost_at = *self.lost_at.get_or_insert(now);
        if now < lost_at + patience {
            return None;
        }
        self.lost_at = None;
        self.told = true;
        Some(Event::PartitionOccurred)
    }

    /// When to look again although nothing happens.
    pub(crate) fn next_deadline(&self, patience: Duration) -> Option<Instant> {
        self.lost_at.map(|at| at + patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "an origin for manual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_loss_is_told_once_it_lasts_and_the_return_at_once() {
        let start = origin();
        let mut watch = MajorityWatch::default();
        assert_eq!(watch.observe(start, true, false, PATIENCE), None);
        assert_eq!(watch.observe(start, false, false, PATIENCE), None);
        assert_eq!(watch.next_deadline(PATIENCE), Some(start + PATIENCE));
        assert_eq!(watch.observe(start, true, false, PATIENCE), None, "it was a moment only");
        assert_eq!(watch.observe(start, false, false, PATIENCE), None);
        let later = start + PATIENCE;
        assert_eq!(watch.observe(later, false, false, PATIENCE), Some(Event::PartitionOccurred));
        assert_eq!(watch.observe(later + PATIENCE, false, false, PATIENCE), None);
        assert_eq!(watch.next_deadline(PATIENCE), None);
        assert_eq!(watch.observe(later, true, false, PATIENCE), Some(Event::PartitionHealed));
        assert_eq!(watch.observe(later, true, false, PATIENCE), None);
    }

    #[test]
    fn who_never_saw_a_majority_lost_none() {
        let start = origin();
        let mut watch = MajorityWatch::default();
        assert_eq!(watch.observe(start, true, true, PATIENCE), None);
        assert_eq!(watch.observe(start, false, false, PATIENCE), None);
        assert_eq!(watch.observe(start + PATIENCE, false, false, PATIENCE), None);
    }
}
