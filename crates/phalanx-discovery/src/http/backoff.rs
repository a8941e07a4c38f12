//! How long to wait after a failure.

use std::time::Duration;

use phalanx_base::Entropy;

/// The pause after the first failure.
const PAUSE_FIRST: Duration = Duration::from_millis(500);

/// The longest pause: as often as a formed cluster looks.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The longest pause that a server may ask for. Who says *an hour* is not obeyed: nodes that cannot find each other matter
/// more.
const ASKED_MAX: Duration = Duration::from_secs(60);

/// Pauses that double, from half a second to half a minute. Of each the upper half is random, so that many nodes do not come
/// back together, and the lower is not, so that none comes back at once.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next pause; not shorter than the server asked for.
    pub(crate) fn pause(&mut self, entropy: &dyn Entropy, asked: Option<Duration>) -> Duration {
        // Beyond sixteen doublings every pause is the longest one.
        let whole = PAUSE_FIRST.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        let share = (entropy.bits64() >> 11) as f64 / (1_u64 << 53) as f64;
        let pause = whole / 2 + (whole / 2).mul_f64(share);
        pause + asked.unwrap_or_default().min(ASKED_MAX)
    }

    /// Begins anew: it works again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bits(u8);

    impl Entropy for Bits {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn pauses_double_up_to_their_cap_and_are_never_zero() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| backoff.pause(&Bits(0), None).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
        let last = backoff.pause(&Bits(255), None);
        assert!(last > PAUSE_MAX.mul_f64(0.999) && last <= PAUSE_MAX, "{last:?}");
        backoff.failures = u32::MAX;
        assert_eq!(backoff.pause(&Bits(0), None).as_secs(), 15);
        backoff.reset();
        assert_eq!(backoff.pause(&Bits(0), Some(Duration::from_secs(3))).as_millis(), 3_250);
        assert!(backoff.pause(&Bits(255), Some(Duration::MAX)) <= ASKED_MAX + Duration::from_secs(1));
    }
}
