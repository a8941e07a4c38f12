//! The two clocks of a simulation: the one that all nodes share and that only grows, and each node's time of day, which may
//! jump.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use phalanx::WallClock;
use tokio::time::Instant;

/// When a simulation begins, in milliseconds since the Unix epoch: the first of January 2026.
const BEGIN_UNIX_MS: u64 = 1_767_225_600_000;

/// The time since the simulation began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    begin: Instant,
}

impl Clock {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self { begin: Instant::now() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    pub(crate) fn at(&self, elapsed: Duration) -> Instant {
        self.begin + elapsed
    }
}

/// One machine's time of day.
#[derive(Debug)]
pub(crate) struct TimeOfDay {
    clock: Clock,
    ahead_ms: AtomicI64,
}

impl TimeOfDay {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, ahead_ms: AtomicI64::new(0) }
    }

    /// Lets it be so far ahead of the true time, or behind it.
    pub(crate) fn jump(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }
}

impl WallClock for TimeOfDay {
    fn unix_ms(&self) -> u64 {
        let elapsed_ms = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = BEGIN_UNIX_MS.saturating_add(elapsed_ms);
        now.saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed))
    }
}
