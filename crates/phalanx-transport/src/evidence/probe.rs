//! One suspicion: whether a peer still answers, decided by a few pings. A state machine without I/O or clock.

use std::time::Duration;

use tokio::time::Instant;

/// How many pings go unanswered before a link counts as lost. One or two packets may be lost on the way.
pub(super) const PINGS: u8 = 3;
/// The shortest time that a ping is given: a round trip on a LAN and ten times what a peer may delay its
/// acknowledgement (RFC 9000, section 18.2, `max_ack_delay`: 25 ms). Three of them make a verdict after 750 ms.
pub(super) const PING_INTERVAL_MIN: Duration = Duration::from_millis(250);
/// The longest, whatever round trip was measured: a path so slow is left to the idle time-out.
const PING_INTERVAL_MAX: Duration = Duration::from_secs(3);

/// What the owner of a [`Probe`] does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Send something that the peer must acknowledge, and ask again.
    Ping,
    /// Ask again at this time.
    Wait(Instant),
    /// The peer has answered: the hint was false, or is out of date.
    Answered,
    /// The peer has not answered: the link is lost.
    Gone,
}

/// One suspicion of one link.
#[derive(Debug)]
pub(super) struct Probe {
    interval: Duration,
    acknowledged_before: u64,
    pings: u8,
    due_at: Instant,
}

impl Probe {
    /// A suspicion that begins now. `acknowledged` counts the acknowledgements that have come from the peer, each in a
    /// packet that only the peer can have made.
    pub(super) fn new(now: Instant, round_trip: Duration, acknowledged: u64) -> Self {
        let interval = (round_trip * 2).clamp(PING_INTERVAL_MIN, PING_INTERVAL_MAX);
        Self { interval, acknowledged_before: acknowledged, pings: 0, due_at: now }
    }

    /// What to do now.
    pub(super) fn poll(&mut self, now: Instant, acknowledged: u64) -> Step {
        if acknowledged > self.acknowledged_before {
            return Step::Answered;
        }
        if now < self.due_at {
            return Step::Wait(self.due_at);
        }
        if self.pings == PINGS {
            return Step::Gone;
        }
        self.pings += 1;
        self.due_at = now + self.interval;
        Step::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a probe of a peer that acknowledges its `answers`-th ping; the verdict, the pings, and the time it took.
    async fn run(round_trip: Duration, answers: Option<u8>) -> (Step, u8, Duration) {
        let began = Instant::now();
        let (mut now, mut pings, mut acknowledged) = (began, 0, 7);
        let mut probe = Probe::new(now, round_trip, acknowledged);
        loop {
            match probe.poll(now, acknowledged) {
                Step::Ping => {
                    pings += 1;
                    acknowledged += u64::from(answers == Some(pings));
                }
                Step::Wait(until) => {
                    assert!(until > now, "no busy loop");
                    now = until;
                }
                verdict => return (verdict, pings, now - began),
            }
        }
    }

    #[tokio::test]
    async fn silence_is_a_verdict_within_a_second_on_a_lan() {
        let (verdict, pings, took) = run(Duration::from_micros(200), None).await;
        assert_eq!((verdict, pings), (Step::Gone, PINGS));
        assert!(took <= Duration::from_millis(800), "{took:?}");
    }

    #[tokio::test]
    async fn one_answer_is_enough() {
        for answers in 1..=PINGS {
            let (verdict, pings, _) = run(Duration::ZERO, Some(answers)).await;
            assert_eq!((verdict, pings), (Step::Answered, answers));
        }
    }

    proptest! {
        /// A peer that is far gets the time of two round trips for each ping, up to a limit.
        #[test]
        fn a_slow_path_gets_more_time(round_trip_ms in 0_u64..100_000) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (verdict, _, took) = runtime.block_on(run(Duration::from_millis(round_trip_ms), None));
            prop_assert_eq!(verdict, Step::Gone);
            let fair = Duration::from_millis(2 * round_trip_ms).min(PING_INTERVAL_MAX) * PINGS.into();
            prop_assert!(took >= fair && took <= PING_INTERVAL_MAX * PINGS.into());
        }
    }
}
