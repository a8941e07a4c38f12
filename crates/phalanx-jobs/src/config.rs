//! The few numbers that users may turn, and the reasons of the rest.

use std::time::Duration;

/// The timing of sessions and the caps of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How often each end of a session gives a sign of life.
    pub beat_interval: Duration,
    /// How long an end may be silent before its session is lost.
    pub silence_max: Duration,
    /// How many requests run at one time on a worker; more are refused as busy.
    pub running_requests_max: usize,
    /// How many tasks a worker holds at one time; more are refused as busy.
    pub tasks_max: usize,
    /// How many bytes of unacknowledged events a worker keeps; the oldest of the largest log become a gap.
    pub outbox_bytes_max: usize,
    /// How long the cluster must have been at rest before a control node gives workers away for balance. Who leaves does
    /// not wait, and a worker without an owner does not either.
    pub settle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            beat_interval: Duration::from_secs(5),
            silence_max: Duration::from_secs(15),
            running_requests_max: 1_024,
            tasks_max: 4_096,
            outbox_bytes_max: 16 << 20,
            settle: Duration::from_secs(10),
        }
    }
}

/// How long a session that has been given up still carries replies.
pub const LINGER: Duration = Duration::from_secs(10);

/// How long a task may still take that is told to stop because its worker has had no owner for too long.
pub const DISCONNECT_GRACE: Duration = Duration::from_secs(10);

/// How long a control node keeps the state of a worker whose link is lost.
pub const LOST_PROXY_KEPT: Duration = Duration::from_secs(120);

/// How long a present owner is safe from a claim that rests on "I see it down": as long as a rumour needs to settle.
pub const OWNER_HELD_MIN: Duration = Duration::from_secs(10);

/// How long a refused or unanswered claim waits before it is repeated.
pub const CLAIM_RETRY: Duration = Duration::from_secs(2);

/// How soon a claim with a valid offer is repeated: the last acknowledgements of the giver are still on their way to the
/// worker, over another link than the claim.
pub const OFFER_RETRY: Duration = Duration::from_millis(100);

/// How long before its giver goes on by itself an offer may not be used any more: longer than it may be on its way.
pub const OFFER_MARGIN: Duration = Duration::from_secs(15);
