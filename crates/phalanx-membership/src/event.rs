//! What happens to the members, as news for whoever reacts to it.

use std::collections::VecDeque;

use phalanx_base::{Boot, RosterVersion};

use crate::MemberView;

/// How many events wait to be polled before the oldest are dropped: a change of everything in the largest cluster,
/// several times over.
pub const EVENTS_MAX: usize = 1_024;

/// How a member is, in the eyes of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Liveness {
    /// It answers.
    Alive,
    /// It did not answer lately, and may still say that it is alive. Counts as alive.
    Suspect,
    /// It did not answer for too long, or was never met.
    Down,
    /// It said that it leaves.
    Left,
}

impl Liveness {
    /// Whether the member counts as alive: a suspect does.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

/// Something that happened to a member, or to the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A boot that was not known before is alive: a new node, or one that restarted.
    Joined(MemberView),
    /// A boot that was suspect or down is alive.
    Up(Boot),
    /// A boot did not answer. It still counts as alive.
    Suspect(Boot),
    /// A boot did not answer for too long.
    Down(Boot),
    /// A boot said that it leaves.
    Left(Boot),
    /// A boot that was down or has left was forgotten, or somebody was removed.
    Removed(Boot),
    /// This very boot was removed by an operator. It leaves; only a new boot of the node is welcome again.
    Expelled,
    /// This node sees no more than half of the roster: it is cut off, or too many are down. Told once that has lasted
    /// for a probe period, and only to who saw more than half before. Never among two.
    PartitionOccurred,
    /// After [`Event::PartitionOccurred`]: this node sees more than half of the roster again.
    PartitionHealed,
    /// The roster changed.
    Updated(RosterVersion),
    /// So many events were dropped here, because nobody polled; look at the view instead.
    Missed(u64),
}

/// Events that wait to be polled, bounded.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    waiting: VecDeque<Event>,
    /// Dropped since the last poll; they were older than all that wait.
    missed: u64,
}

impl EventQueue {
    pub(crate) fn push(&mut self, event: Event) {
        if self.waiting.len() >= EVENTS_MAX {
            self.waiting.pop_front();
            self.missed += 1;
        }
        self.waiting.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        match std::mem::take(&mut self.missed) {
            0 => self.waiting.pop_front(),
            missed => Some(Event::Missed(missed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_are_dropped_and_counted() {
        let mut queue = EventQueue::default();
        let total = EVENTS_MAX as u64 + 3;
        (1..=total).for_each(|version| queue.push(Event::Updated(RosterVersion(version))));
        assert_eq!(queue.pop(), Some(Event::Missed(3)));
        assert_eq!(queue.pop(), Some(Event::Updated(RosterVersion(4))));
        let rest: Vec<Event> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest.last(), Some(&Event::Updated(RosterVersion(total))));
        assert_eq!(rest.len(), EVENTS_MAX - 1);
    }
}
