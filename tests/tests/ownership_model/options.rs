//! What may happen next.
//!
//! Timers have no numbers here. A timer may fire when nothing for which it waits is under way, since each is much longer
//! than a message needs; and a few times, within the budget, before that. Two times are part of the protocol and are
//! kept: an owner is safe from a rival for a while (the arbiter's own clock), and no frame is under way for longer than
//! the margin by which an offer ends before its giver goes on.

use phalanx_jobs::Stage as GivingStage;

use crate::model::{Action, Fault, Timer};
use crate::network::{Lane, Stage, ToControl, ToWorker, Word};
use crate::rules::{Mistake, Rules};
use crate::world::{Claim, Node, Offer, Token, World};

/// The steps that are possible in a state.
pub(crate) struct Options<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) world: &'a World,
    pub(crate) actions: &'a mut Vec<Action>,
}

impl Options<'_> {
    pub(crate) fn list(mut self) {
        for node in Node::ALL {
            self.of_links(node);
            self.of_views(node);
            if self.world.control(node).up {
                self.of_owner(node);
                self.of_timers(node);
            }
        }
        self.of_network();
        self.of_worker();
    }

    fn add(&mut self, is_possible: bool, action: Action) {
        if is_possible {
            self.actions.push(action);
        }
    }

    fn fault(&mut self, is_possible: bool, fault: Fault) {
        self.add(is_possible && left(self.world, fault) > 0, Action::Fault(fault));
    }

    /// Fires at its time, or costs.
    fn timer(&mut self, is_due: bool, is_early: bool, on_time: Action, timer: Timer) {
        self.add(is_due, on_time);
        self.fault(is_early && !is_due, Fault::Early(timer));
    }

    fn of_links(&mut self, node: Node) {
        let (world, control) = (self.world, self.world.control(node));
        let mut at_worker = world.links.iter().filter(|link| link.control == node && link.session.is_some());
        let is_linked = at_worker.clone().next().is_some();
        let is_orphan = world.worker.arbiter.present().is_none();
        let is_wanted = is_orphan || world.worker.redirected == Some(node);
        // A control node that has lost its worker dials it where it was, perhaps before the worker knows of the loss.
        let is_dialled = control.link.is_none() && at_worker.all(|link| !link.is_alive);
        self.add(control.up && !is_linked && is_wanted, Action::Dial(node));
        self.add(control.up && is_linked && is_dialled, Action::Dial(node));
        self.add(!control.up && world.worker.redirected == Some(node), Action::DialInVain(node));
        let is_lost = control.link.and_then(|link| world.link(link)).is_some_and(|link| !link.is_alive);
        self.add(is_lost, Action::ControlLearns(node));
    }

    fn of_views(&mut self, node: Node) {
        let (control, other) = (self.world.control(node), self.world.control(node.other()));
        if !control.up {
            return self.add(true, Action::Restart(node));
        }
        self.add(other.up && other.knows_change && !control.knows_change, Action::LearnChange(node));
        self.add(!other.up && !control.sees_other_down, Action::Detect(node));
        self.add(other.up && control.sees_other_down, Action::SeeUp(node));
        self.fault(other.up && !control.sees_other_down, Fault::Suspect(node));
        let is_unknown = !control.knows_change && !other.knows_change;
        self.fault(is_unknown, Fault::ChangeRing(node));
        self.fault(true, Fault::Crash(node));
    }

    fn of_owner(&mut self, node: Node) {
        let (world, control) = (self.world, self.world.control(node));
        self.add(control.followed.in_hand.is_some(), Action::Handled(node));
        let Some(fence) = control.fence() else { return };
        let alive = control.link.and_then(|link| world.link(link)).filter(|link| link.is_alive);
        let roster = control.roster();
        let is_told = |frame: &ToWorker| *frame == ToWorker::Beat { fence, roster };
        let present = world.worker.arbiter.present();
        let is_old = present.is_some_and(|present| present.roster.0 < u64::from(roster));
        let beats = is_old && alive.is_some_and(|link| !link.to_worker.iter().any(is_told));
        self.add(beats, Action::Beat(node));
        self.add(alive.is_some() && world.budget.commands > 0, Action::Command(node));
        let acts = world.acting(self.rules, node) == node;
        let may_give = matches!(control.claim, Claim::Active(_)) && !acts && !control.is_resting;
        self.add(may_give, Action::StartGiving(node, true));
        self.add(may_give && control.is_wanted, Action::StartGiving(node, false));
    }

    fn of_timers(&mut self, node: Node) {
        let (world, control) = (self.world, self.world.control(node));
        let link = control.link.and_then(|link| world.link(link));
        let is_answered = link.is_none_or(|link| link.to_worker.is_empty() && link.to_control.is_empty());
        let is_silent = world.words.is_empty();
        let is_refused =
            control.claim == Claim::Attaching { refused: true } && !self.rules.has(Mistake::ClaimNotRepeated);
        let is_due = is_refused && is_answered && (is_silent || control.offer.is_some());
        self.timer(is_due, is_refused, Action::Retry(node), Timer::Retry(node));

        let is_at_rest = is_silent && world.links.iter().all(|link| link.is_empty());
        let other = world.control(node.other());
        let is_asked_again = other.up && other.claim == Claim::Attaching { refused: true };
        let gives = matches!(control.claim, Claim::Giving(..)) && self.may_give_up(node);
        let is_given_time = is_at_rest && !is_asked_again && control.followed.in_hand.is_none();
        self.timer(gives && is_given_time, gives, Action::GiveUp(node), Timer::GiveUp(node));
        self.add(control.is_resting, Action::Rested(node));
        let offered = control.offer.is_some();
        let is_left = is_at_rest && (!is_refused || self.offer_is_in_vain(node));
        self.timer(offered && is_left, offered, Action::OfferEnds(node), Timer::OfferEnds(node));

        // Whoever believes to hold a fence hears the worker's reports unless the worker knows better.
        let stage = link.and_then(|link| link.session).map(|session| session.stage);
        let hears = match control.claim {
            Claim::Attaching { refused } => refused,
            Claim::Active(fence) | Claim::Giving(fence, _) => stage == Some(Stage::Granted(fence)),
            Claim::None | Claim::SentOn => true,
        };
        self.add(link.is_some() && is_answered && !hears, Action::ControlHearsNothing(node));
    }

    /// Whether the worker would refuse the token of the offer that this node holds, now that nothing is under way.
    fn offer_is_in_vain(&self, node: Node) -> bool {
        let present = self.world.worker.present().map(|(_, _, _, fence)| fence);
        let is_stale = |offer: Offer| {
            present != Some(offer.token.fence) || offer.token.cursor != self.world.worker.acked
        };
        self.world.control(node).offer.is_some_and(is_stale)
    }

    /// The margin: not while the offer may be used, something that bears its token is under way, or the word that it
    /// was used; and silence is noticed before.
    fn may_give_up(&self, node: Node) -> bool {
        let control = self.world.control(node);
        let Claim::Giving(fence, giving) = &control.claim else { return false };
        if giving.stage() != GivingStage::Offered || self.rules.has(Mistake::MarginIgnored) {
            return true;
        }
        let is_mine = |token: Token| (token.fence, token.generation) == (*fence, control.generation);
        let is_offer = |word: &Word| matches!(word, Word::Offer { offer, .. } if is_mine(offer.token));
        let is_claim =
            |frame: &ToWorker| matches!(frame, ToWorker::Attach(claim) if claim.token.is_some_and(is_mine));
        let is_usable = self.world.control(node.other()).offer.is_some_and(|offer| is_mine(offer.token))
            || self.world.words.iter().any(is_offer)
            || self.world.links.iter().flat_map(|link| &link.to_worker).any(is_claim);
        let link = control.link.and_then(|link| self.world.link(link)).filter(|link| link.is_alive);
        let is_told =
            link.is_none_or(|link| link.to_control.contains(&ToControl::StandDown { fence: *fence }));
        !is_usable && !is_told
    }

    fn of_network(&mut self) {
        let world = self.world;
        for link in &world.links {
            for lane in Lane::ALL {
                let waiting = link.waiting(lane);
                self.add(waiting > 0, Action::Deliver(link.number, lane));
                self.fault(waiting > 0, Fault::Repeat(link.number, lane));
                self.fault(waiting > 1, Fault::Overtake(link.number, lane));
            }
            self.fault(link.is_alive, Fault::Cut(link.number));
            self.add(!link.is_alive && link.session.is_some(), Action::WorkerLearns(link.number));
        }
        for word in &world.words {
            self.add(true, Action::Hear(*word));
            self.fault(true, Fault::Lose(*word));
            self.fault(true, Fault::Duplicate(*word));
        }
    }

    fn of_worker(&mut self) {
        let world = self.world;
        for link in &world.links {
            let is_retired =
                link.session.is_some_and(|session| session.stage == Stage::Retired) && link.is_alive;
            let number = link.number;
            let (on_time, early) = (Action::LingerEnds(number), Timer::LingerEnds(number));
            self.timer(is_retired && link.is_empty(), is_retired, on_time, early);
        }
        self.fault(true, Fault::RestartWorker);
        let Some((owner, _, link, fence)) = world.worker.present() else { return };
        let is_doubted = world.control(owner.other()).sees_other_down;
        self.add(is_doubted && !world.worker.is_settled, Action::Settled);
        let control = world.control(owner);
        let is_served = control.link == Some(link) && control.fence() == Some(fence);
        let is_quiet = world
            .link(link)
            .is_some_and(|link| link.is_alive && link.to_worker.is_empty() && link.to_control.is_empty());
        self.add(!is_served && is_quiet, Action::WorkerHearsNothing);
    }
}

/// How much of its budget a fault has left.
fn left(world: &World, fault: Fault) -> u8 {
    let budget = &world.budget;
    match fault {
        Fault::Cut(_) => budget.cuts,
        Fault::Lose(_) => budget.losses,
        Fault::Duplicate(_) => budget.duplicates,
        Fault::Repeat(..) | Fault::Overtake(..) => budget.disorders,
        Fault::Crash(_) => budget.crashes,
        Fault::RestartWorker => budget.restarts,
        Fault::Suspect(_) => budget.suspicions,
        Fault::ChangeRing(_) => budget.ring_changes,
        Fault::Early(_) => budget.early_timers,
    }
}
