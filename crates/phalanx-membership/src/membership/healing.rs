//! How a node that was cut off, or slept, finds back without doing harm to those who were not.

use std::time::Instant;

use phalanx_base::NodeId;

use super::Membership;
use crate::event::Liveness;
use crate::identity::Identity;

impl Membership {
    /// A node that slept, or got no processor, finds all its timers overdue at once, and would judge others by answers
    /// that lie unread. So whoever wakes up too late goes on as if no time had passed, gives suspects their full time,
    /// and asks at once what has happened.
    pub(super) fn notice_pause(&mut self, now: Instant) {
        let Some(due) = self.poll_timeout() else { return };
        let paused = now.saturating_duration_since(due);
        if paused <= self.config.pause_min() {
            return;
        }
        tracing::debug!(?paused, "timers fired far too late");
        self.counters.pauses += 1;
        self.detector.resume(now, paused);
        self.observations.resume(paused);
        self.give_up_at = None;
        self.exchange_at = now;
        self.peers.call_again(now, &mut self.random);
    }

    /// A message of this member is about to be handled; `answered` where it proves that this node is heard as well.
    ///
    /// When the two sides of a partition meet, each holds the other for down, and each of their members would have to
    /// come back under a new gossip epoch, again and again while old verdicts go round. So the smaller side forgets its
    /// verdicts before it can pass them on, and comes back to a larger side that need not change at all.
    pub(super) fn notice_contact(&mut self, now: Instant, sender: &Identity, answered: bool) {
        let across = self.detector.holds_down(sender) && self.is_smaller_side();
        let isolated = answered && self.is_isolated();
        if !across && !isolated {
            if answered {
                self.detector.was_heard();
            }
            return;
        }
        self.counters.resets += 1;
        self.observations.keep_the_down(now);
        let seed = self.random.next();
        self.detector.restart(now, seed);
        // With the detector's queue went whatever was not told yet.
        if self.peers.may_reply(now, sender.node()) {
            self.tell_everything(now, sender.node(), true);
        }
    }

    /// Tells when the majority is lost or regained. It is counted only where something has `changed`.
    pub(super) fn watch_majority(&mut self, now: Instant, changed: bool) {
        let isolated = self.is_isolated();
        let changed = changed || isolated != std::mem::replace(&mut self.was_isolated, isolated);
        let holds = if changed { self.has_majority() } else { self.majority.holds() };
        self.revision += u64::from(holds != self.majority.holds());
        let alone = self.detector.active() == 0;
        let event = self.majority.observe(now, holds, alone, self.config.probe_period);
        event.into_iter().for_each(|event| self.events.push(event));
    }

    /// Whether this node gives way to those whom it holds for down. Whom it only suspects may be beyond the partition as
    /// well, and are counted there: to give way needlessly is cheap.
    pub(super) fn is_smaller_side(&self) -> bool {
        let answers = |node: &NodeId| self.observations.liveness(node) == Some(Liveness::Alive);
        self.is_isolated() || self.roster.is_smaller_side(answers)
    }

    /// Whether nobody answers this node. Among two nobody can say whose fault that is.
    pub(super) fn is_isolated(&self) -> bool {
        self.detector.is_isolated() && self.roster.electorate() > 2
    }
}
