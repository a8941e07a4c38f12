//! When to send beacons: a schedule without I/O and clock.
//!
//! Often at first, so that nodes that start together find each other although some packets are lost; then seldom. A
//! question brings the next beacon forward, to a random moment so that not all answer at once, and never nearer to the last
//! one than half a second, however often somebody asks: who asks gains nothing from asking more.

use std::time::{Duration, Instant};

use phalanx_base::Entropy;

/// How many beacons are sent at the faster pace.
const FAST_MAX: u32 = 5;
/// How much faster: at the default interval one a second.
const FAST_DIVISOR: u32 = 5;
/// The time between two beacons at least, so that a storm of questions brings two a second. Well within what a look-up waits,
/// so that each is answered.
pub(super) const ANSWER_PAUSE: Duration = Duration::from_millis(500);
/// The same as a share of the interval, where that is short.
pub(super) const ANSWER_DIVISOR: u32 = 10;
/// Within what time a question is answered, where the last beacon is long ago.
pub(super) const ANSWER_SPREAD: Duration = Duration::from_millis(100);
/// How many of a node's beacons may be lost before it is forgotten.
const MISSED_MAX: u32 = 4;

/// The schedule of what is said here.
#[derive(Debug)]
pub(super) struct Speaking {
    interval: Duration,
    fast_left: u32,
    last: Option<Instant>,
    next: Option<Instant>,
}

impl Speaking {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, fast_left: 0, last: None, next: None }
    }

    /// How long a beacon is to be believed that is sent at this interval, in milliseconds.
    pub(super) fn lifetime_ms(interval: Duration) -> u32 {
        u32::try_from((interval * MISSED_MAX).as_millis()).unwrap_or(u32::MAX)
    }

    /// There is something new to say.
    pub(super) fn begin(&mut self, now: Instant) {
        self.fast_left = FAST_MAX;
        self.next = Some(now);
    }

    /// There is nothing to say any more.
    pub(super) fn end(&mut self) {
        self.next = None;
    }

    /// When to speak next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Whether it is time to speak. If so, the next time is set.
    pub(super) fn handle_timeout(&mut self, now: Instant, entropy: &dyn Entropy) -> bool {
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        let pause = if self.fast_left > 0 { self.interval / FAST_DIVISOR } else { self.interval };
        self.fast_left = self.fast_left.saturating_sub(1);
        self.last = Some(now);
        // From three quarters of the pause up to all of it, so that nodes that were started together do not stay together.
        self.next = Some(now + pause - part(pause / 4, entropy));
        true
    }

    /// Somebody wants to know who is there.
    pub(super) fn handle_question(&mut self, now: Instant, entropy: &dyn Entropy) {
        let Some(next) = self.next else { return };
        let soon = now + part(ANSWER_SPREAD, entropy);
        let pause = ANSWER_PAUSE.min(self.interval / ANSWER_DIVISOR);
        let earliest = self.last.map_or(soon, |last| last + pause);
        self.next = Some(next.min(soon.max(earliest)));
    }
}

/// A random part of a span of time.
fn part(span: Duration, entropy: &dyn Entropy) -> Duration {
    let draw = u32::try_from(entropy.bits64() >> 32).unwrap_or(u32::MAX);
    span.mul_f64(f64::from(draw) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Always draws the same.
    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    const INTERVAL: Duration = Duration::from_secs(5);

    #[test]
    fn beacons_come_often_and_then_seldom() {
        let start = tokio::time::Instant::now().into_std();
        let mut speaking = Speaking::new(INTERVAL);
        assert_eq!(speaking.poll_timeout(), None);
        speaking.begin(start);
        let mut said = Vec::new();
        while said.len() < 8 {
            let now = speaking.poll_timeout().unwrap();
            assert!(speaking.handle_timeout(now, &Fixed(0)));
            said.push((now - start).as_secs());
        }
        assert_eq!(said, [0, 1, 2, 3, 4, 5, 10, 15]);
        speaking.end();
        assert!(!speaking.handle_timeout(start + INTERVAL * 10, &Fixed(0)));
    }
}
