//! How a proxy changes hands without a gap: both ends of an offer.
//!
//! The giver's steps are those of [`Giving`]; the receiver asks, takes the offer, and claims with its token.

use std::time::{Duration, Instant};

use phalanx_base::{NodeId, NodeStatus, Role, planted};

use super::proxy::{Claim, Proxy};
use super::{BlockReason, ControlEvent, Effects};
use crate::config::{CLAIM_RETRY, OFFER_MARGIN};
use crate::ownership::{GIVING_PAUSE, GIVING_STEP_MAX, Giving, Owners, Stage};
use crate::wire::{Declined, HandoverToken, Offer, Redirect, Release, Wanted};

impl Proxy {
    /// Whether the worker should be given away, and nothing but the pace stands against it.
    pub(crate) fn wants_to_give(&self, owners: &dyn Owners) -> bool {
        let elsewhere = self.acting.as_ref().is_some_and(|acting| !owners.is_me(&acting.node));
        elsewhere
            && !planted!("never-gives")
            && matches!(self.claim, Claim::Active(_))
            && self.rest_until.is_none()
            && owners.may_give()
    }

    /// Whether a handover is under way.
    pub(crate) fn is_giving(&self) -> bool {
        matches!(self.claim, Claim::Giving(..))
    }

    /// Begins to give the worker to its acting owner: a worker that dials is told whom to link to beside this node.
    pub(crate) fn start_giving(&mut self, now: Instant, owners: &dyn Owners, fx: &mut Effects) {
        let (Claim::Active(fence), Some(acting), Some(link)) = (&self.claim, &self.acting, &self.link) else {
            return;
        };
        if link.role == Role::Worker {
            fx.send(link.link, Redirect { owner: acting.as_standby(), roster: owners.roster() });
        }
        let mut giving = Giving::new(now, acting.node.clone());
        let asked = |asked_at: Instant| now.saturating_duration_since(asked_at) <= CLAIM_RETRY;
        if let Some((by, _)) = self.wanted_by.take().filter(|(_, asked_at)| asked(*asked_at)) {
            giving.handle_wanted(now, &by);
        }
        self.claim = Claim::Giving(*fence, giving);
        self.offer_when_quiet(now, fx);
    }

    /// Another control node asks for the worker.
    pub(crate) fn handle_wanted(&mut self, now: Instant, by: &NodeId, wanted: &Wanted, fx: &mut Effects) {
        if self.generation() != Some(wanted.generation) {
            return;
        }
        let Claim::Giving(_, giving) = &mut self.claim else {
            // The plan may come here later than there, or the pace holds it back: the question keeps.
            self.wanted_by = Some((by.clone(), now));
            return;
        };
        // Whoever asks after an offer has not seen it.
        let again = giving.stage() == Stage::Offered && giving.to() == by;
        giving.handle_wanted(now, by);
        if again {
            self.send_offer(now, fx);
        } else {
            self.offer_when_quiet(now, fx);
        }
    }

    /// Makes the offer once no handler has anything in hand: what it had is acknowledged before, so that the receiver
    /// neither loses it nor sees it again.
    pub(super) fn offer_when_quiet(&mut self, now: Instant, fx: &mut Effects) {
        let quiet =
            self.followed.as_ref().is_none_or(|followed| followed.is_resumed() && followed.is_quiet());
        if let Claim::Giving(_, giving) = &mut self.claim
            && (quiet || planted!("offer-while-busy"))
            && giving.handle_quiet(now)
        {
            self.offers += 1;
            self.send_offer(now, fx);
        }
    }

    fn send_offer(&self, now: Instant, fx: &mut Effects) {
        let (Claim::Giving(fence, giving), Some(followed)) = (&self.claim, &self.followed) else { return };
        let remaining = giving.until().saturating_duration_since(now).saturating_sub(OFFER_MARGIN);
        if remaining.is_zero() {
            return;
        }
        let valid_ms = u64::try_from(remaining.as_millis()).unwrap_or(0);
        let (worker, generation, fence) = (self.worker.clone(), followed.generation(), *fence);
        let (receiver, cursors) = (giving.to().clone(), followed.cursors());
        let token = HandoverToken { worker: worker.clone(), generation, fence, receiver, cursors }.encode();
        let (states, states_of) = followed.states_to_offer();
        let number = self.offers;
        let offer = Offer { worker, generation, fence, number, valid_ms, token, states };
        fx.event(ControlEvent::Offer { to: giving.to().clone(), offer, states_of });
    }

    /// The receiver does not take it.
    pub(crate) fn handle_declined(
        &mut self,
        now: Instant,
        by: &NodeId,
        declined: &Declined,
        fx: &mut Effects,
    ) {
        if let Claim::Giving(fence, giving) = &self.claim
            && (*fence, self.offers) == (declined.fence, declined.number)
            && giving.stage() == Stage::Offered
            && giving.to() == by
        {
            self.give_up_giving(now, Some(BlockReason::OfferDeclined { receiver: by.clone() }), fx);
        }
    }

    /// A step of the handover has failed or had its time: this node is the owner as before, and tries again later.
    pub(super) fn give_up_giving(&mut self, now: Instant, declined: Option<BlockReason>, fx: &mut Effects) {
        if let Claim::Giving(_, giving) = &self.claim {
            let (why, since) = match declined {
                Some(declined) => (declined, now),
                None => self.step_reason(now, giving),
            };
            tracing::info!(worker = %self.worker, to = %giving.to(), %why, "a handover has failed, and is tried again");
            // The same reason as before has held since then.
            let before = self.failed.take().filter(|(before, _)| *before == why);
            self.failed = Some(before.unwrap_or((why, since)));
        }
        self.rest_until = Some(now + GIVING_PAUSE);
        self.keep(now, fx);
    }

    /// The handover is called off.
    pub(super) fn keep(&mut self, now: Instant, fx: &mut Effects) {
        if let Claim::Giving(fence, _) = self.claim {
            self.claim = Claim::Active(fence);
            if let Some(followed) = &mut self.followed {
                followed.dispatch_all(now, fx);
            }
        }
    }

    /// Gives the worker up at once, without an offer: it looks for the acting owner by itself. Says whether there is one.
    pub(crate) fn release(&mut self, now: Instant, owners: &dyn Owners, fx: &mut Effects) -> bool {
        let (Some(fence), Some(link), Some(acting)) = (self.fence(), &self.link, &self.acting) else {
            return false;
        };
        if owners.is_me(&acting.node) {
            return false;
        }
        fx.send(link.link, Release { fence, owner: acting.as_standby() });
        let generation = link.boot.generation;
        self.claim = Claim::SentOn;
        self.retire(now);
        self.follow_anew(generation, fx);
        self.set_status(NodeStatus::Connecting, fx);
        true
    }

    /// Asks the present owner for the worker. One that is down cannot answer, and is passed over otherwise.
    pub(super) fn want(&self, present: &NodeId, owners: &dyn Owners, fx: &mut Effects) {
        if owners.is_down(present) || owners.is_me(present) {
            return;
        }
        if let Some(generation) = self.generation() {
            let wanted = Wanted { worker: self.worker.clone(), generation };
            fx.event(ControlEvent::Want { from: present.clone(), wanted });
        }
    }

    /// The present owner offers the worker: this node claims it with the offer's token, if it still should have it.
    pub(crate) fn handle_offer(
        &mut self,
        now: Instant,
        from: NodeId,
        offer: Offer,
        owners: &dyn Owners,
        fx: &mut Effects,
    ) {
        let mine = self.acting.as_ref().is_some_and(|acting| owners.is_me(&acting.node));
        let claiming = matches!(self.claim, Claim::Attaching { .. });
        let key = (offer.generation, offer.fence, offer.number);
        // Copies may come late, and after later offers.
        let is_late = Some(key) <= self.declined || Some(key) < self.taken;
        if !mine || !claiming || is_late || self.generation() != Some(offer.generation) {
            // Its token may be with the worker: who declined it now would let the giver go on beside the next owner.
            if self.taken == Some(key) {
                return;
            }
            self.declined = self.declined.max(Some(key));
            let declined = Declined { worker: offer.worker, fence: offer.fence, number: offer.number };
            return fx.event(ControlEvent::Decline { to: from, declined });
        }
        let valid = Duration::from_millis(offer.valid_ms).min(GIVING_STEP_MAX);
        self.offer = Some((offer, now + valid));
        self.taken = Some(key);
        self.claim = Claim::None;
        self.follow_plan(now, owners, fx);
    }

    pub(super) fn valid_offer(&self, now: Instant) -> Option<&Offer> {
        self.offer.as_ref().filter(|(_, until)| now < *until).map(|(offer, _)| offer)
    }
}
