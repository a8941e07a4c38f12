//! How fast workers change hands: after the roster has settled, so many a second, and so many at one time.
//!
//! Rates are kept by the generic cell rate algorithm (ITU-T I.371): one instant says when the bucket would be empty.

use std::time::{Duration, Instant};

/// How many workers a control node gives away in a second.
pub const MOVES_PER_SECOND: u32 = 100;

/// How many workers a control node gives away at one time.
pub const MOVES_IN_FLIGHT_MAX: usize = 64;

/// How many moves may start at once after a rest.
const BURST: u32 = 10;

/// The pace of one shard's moves.
#[derive(Debug)]
pub struct Pacer {
    settle: Duration,
    interval: Duration,
    in_flight_max: usize,
    settled_at: Option<Instant>,
    leaving: bool,
    /// When everything that has started has had its interval.
    spent_until: Option<Instant>,
}

impl Pacer {
    /// The pace of one of so many shards, which share what the node may do. Nothing moves for balance before the cluster
    /// has been at rest for `settle`.
    #[must_use]
    pub fn new(settle: Duration, shards: usize) -> Self {
        let shards = u32::try_from(shards.max(1)).unwrap_or(u32::MAX);
        Self {
            settle,
            interval: Duration::from_secs(1).saturating_mul(shards) / MOVES_PER_SECOND,
            in_flight_max: (MOVES_IN_FLIGHT_MAX / usize::try_from(shards).unwrap_or(1)).max(1),
            settled_at: None,
            leaving: false,
            spent_until: None,
        }
    }

    /// The cluster has changed: it has to settle anew.
    pub fn handle_change(&mut self, now: Instant, leaving: bool) {
        self.settled_at = Some(now + self.settle);
        self.leaving = leaving;
    }

    /// Whether a move may start while so many are under way; if so, it counts as started.
    pub fn start(&mut self, now: Instant, in_flight: usize) -> bool {
        let may = in_flight < self.in_flight_max && self.ready_at().is_none_or(|at| at <= now);
        if may {
            let spent = self.spent_until.map_or(now, |until| until.max(now));
            self.spent_until = Some(spent + self.interval);
        }
        may
    }

    /// When the next move may start, if not at once; `None` while too many are under way.
    #[must_use]
    pub fn poll_timeout(&self, in_flight: usize) -> Option<Instant> {
        if in_flight < self.in_flight_max { self.ready_at() } else { None }
    }

    fn ready_at(&self) -> Option<Instant> {
        let paced = self.spent_until.and_then(|until| until.checked_sub(self.interval * (BURST - 1)));
        let settled = self.settled_at.filter(|_| !self.leaving);
        paced.max(settled)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);

    #[test]
    fn it_waits_until_the_roster_has_settled_unless_the_node_leaves() {
        let now = Instant::now() + Duration::from_secs(3_600);
        let mut pacer = Pacer::new(SETTLE, 1);
        pacer.handle_change(now, false);
        assert!(!pacer.start(now, 0));
        assert_eq!(pacer.poll_timeout(0), Some(now + SETTLE));
        assert!(pacer.start(now + SETTLE, 0));
        pacer.handle_change(now + SETTLE, true);
        assert!(pacer.start(now + SETTLE, 0));
    }

    #[test]
    fn so_many_a_second_and_so_many_at_one_time() {
        let mut now = Instant::now() + Duration::from_secs(3_600);
        let start = now;
        let mut pacer = Pacer::new(SETTLE, 2);
        let mut started = 0;
        while now < start + Duration::from_secs(10) {
            while pacer.start(now, 0) {
                started += 1;
            }
            now = pacer.poll_timeout(0).unwrap().max(now + Duration::from_nanos(1));
        }
        assert!((500..=500 + BURST).contains(&started), "{started}");
        assert!(!pacer.start(now + SETTLE, 32));
        assert_eq!(pacer.poll_timeout(32), None);
    }
}
