//! Whose turn it is: lanes by priority, and the streams of a lane in turn.
//!
//! A lane that has been passed over for some time goes once all the same, so that no amount of requests stops events, or
//! transfers, for ever.

use std::collections::VecDeque;

use phalanx_base::Lane;

use crate::mux::windows::{lane_window, rank};

/// How much more urgent lanes send before a lane that waits may send one piece: so it gets a seventeenth of the whole at
/// least.
const PASSED_BYTES_MAX: u64 = 256 * 1024;

#[derive(Debug)]
struct Queue {
    /// Streams that had data to send when they were put here.
    ready: VecDeque<u64>,
    send_credit: u64,
    receive_credit: u64,
    /// What was read and not told.
    grant: u32,
    /// What more urgent lanes have sent while this one waited.
    passed: u64,
}

#[derive(Debug)]
pub(super) struct Lanes([Queue; Lane::ALL.len()]);

impl Lanes {
    pub(super) fn new() -> Self {
        Self(Lane::ALL.map(|lane| {
            let window = u64::from(lane_window(lane));
            Queue { ready: VecDeque::new(), send_credit: window, receive_credit: window, grant: 0, passed: 0 }
        }))
    }

    fn of(&mut self, lane: Lane) -> &mut Queue {
        &mut self.0[rank(lane)]
    }

    pub(super) fn push(&mut self, lane: Lane, stream: u64) {
        self.of(lane).ready.push_back(stream);
    }

    pub(super) fn remove(&mut self, lane: Lane, stream: u64) {
        self.of(lane).ready.retain(|ready| *ready != stream);
    }

    pub(super) fn send_credit(&self, lane: Lane) -> u64 {
        self.0[rank(lane)].send_credit
    }

    /// The lane that may send now: one that has waited for too long, else the most urgent one; of those at least as urgent
    /// as `least`.
    pub(super) fn next_lane(&self, least: Lane) -> Option<Lane> {
        let may = |lane: &Lane| {
            let queue = &self.0[rank(*lane)];
            !queue.ready.is_empty() && queue.send_credit > 0
        };
        let overdue = |lane: &Lane| may(lane) && self.0[rank(*lane)].passed >= PASSED_BYTES_MAX;
        let most_urgent = || Lane::ALL.into_iter().filter(|lane| rank(*lane) <= rank(least)).find(may);
        Lane::ALL.into_iter().find(overdue).or_else(most_urgent)
    }

    pub(super) fn pop(&mut self, lane: Lane) -> Option<u64> {
        self.of(lane).ready.pop_front()
    }

    /// So many bytes of a lane were sent; no more than there was credit for.
    pub(super) fn sent(&mut self, lane: Lane, bytes: u64) {
        let queue = self.of(lane);
        queue.send_credit -= bytes;
        queue.passed = 0;
        self.passed(rank(lane) + 1, bytes);
    }

    /// So many bytes were sent before the lanes from this rank on.
    pub(super) fn passed(&mut self, rank: usize, bytes: u64) {
        for queue in self.0.iter_mut().skip(rank) {
            if !queue.ready.is_empty() && queue.send_credit > 0 {
                queue.passed += bytes;
            }
        }
    }

    /// The peer takes so much more. `false` where that is more than the whole window.
    #[must_use]
    pub(super) fn add_send_credit(&mut self, lane: Lane, bytes: u32) -> bool {
        let queue = self.of(lane);
        queue.send_credit += u64::from(bytes);
        queue.send_credit <= u64::from(lane_window(lane))
    }

    /// So much has come. `false` where the peer had no credit for that.
    #[must_use]
    pub(super) fn received(&mut self, lane: Lane, bytes: u64) -> bool {
        let queue = self.of(lane);
        let left = queue.receive_credit.checked_sub(bytes);
        queue.receive_credit = left.unwrap_or(0);
        left.is_some()
    }

    /// So much was read, or thrown away.
    pub(super) fn read(&mut self, lane: Lane, bytes: u32) {
        let queue = self.of(lane);
        queue.grant = queue.grant.saturating_add(bytes);
    }

    /// Credit that is to be told, and counts from now on.
    pub(super) fn take_grant(&mut self, part: u32) -> Option<(Lane, u32)> {
        let due = |lane: &Lane| self.0[rank(*lane)].grant >= lane_window(*lane) / part;
        let lane = Lane::ALL.into_iter().find(due)?;
        let queue = self.of(lane);
        let grant = std::mem::take(&mut queue.grant);
        queue.receive_credit += u64::from(grant);
        Some((lane, grant))
    }
}
