//! Whether the peer is there, and how far away: pings when it is quiet.

use std::time::Duration;

use tokio::time::Instant;

use crate::mux::wire::{PING, PONG, Transmit};

#[derive(Debug)]
pub(super) struct Liveness {
    idle_timeout: Duration,
    keep_alive_interval: Duration,
    heard_at: Instant,
    pinged_at: Instant,
    /// How many pings were sent.
    pings: u64,
    /// The last one that was answered.
    answered: u64,
    is_ping_due: bool,
    /// The last ping of the peer that was not answered; an answer stands for all before it.
    pong: Option<u64>,
    /// When the ping was sent that measures the round trip, and which it is.
    measured: Option<(u64, Instant)>,
    round_trip: Option<Duration>,
}

impl Liveness {
    /// Begins with a ping, to know how far away the peer is.
    pub(super) fn new(now: Instant, idle_timeout: Duration, keep_alive_interval: Duration) -> Self {
        Self {
            idle_timeout,
            keep_alive_interval,
            heard_at: now,
            pinged_at: now,
            pings: 0,
            answered: 0,
            is_ping_due: true,
            pong: None,
            measured: None,
            round_trip: None,
        }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    pub(super) fn handle_ping(&mut self, number: u64) {
        self.pong = Some(number);
    }

    /// `false` where no such ping was sent.
    #[must_use]
    pub(super) fn handle_pong(&mut self, now: Instant, number: u64) -> bool {
        if number > self.pings {
            return false;
        }
        self.answered = self.answered.max(number);
        if let Some((_, sent_at)) = self.measured.take_if(|(measured, _)| *measured <= number) {
            self.round_trip = Some(now.saturating_duration_since(sent_at));
        }
        true
    }

    /// Looks at the time. `false` once the peer has been silent for too long.
    #[must_use]
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if now >= self.ping_at() {
            self.is_ping_due = true;
        }
        now < self.idle_at()
    }

    fn idle_at(&self) -> Instant {
        self.heard_at + self.idle_timeout
    }

    fn ping_at(&self) -> Instant {
        self.heard_at.max(self.pinged_at) + self.keep_alive_interval
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        // A ping that is due and was not sent must not make time stand still.
        if self.is_ping_due { self.idle_at() } else { self.idle_at().min(self.ping_at()) }
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if let Some(number) = self.pong.take() {
            return Some(Transmit::ping(PONG, number));
        }
        if !std::mem::take(&mut self.is_ping_due) {
            return None;
        }
        Some(self.ping(now).1)
    }

    /// A ping to send now, and its number.
    pub(super) fn ping(&mut self, now: Instant) -> (u64, Transmit) {
        self.pings += 1;
        self.pinged_at = now;
        self.measured.get_or_insert((self.pings, now));
        (self.pings, Transmit::ping(PING, self.pings))
    }

    /// Whether a ping was answered: whatever was sent before it has arrived.
    pub(super) fn is_answered(&self, number: u64) -> bool {
        self.answered >= number
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}
