//! What must always hold, and what of the past is kept to judge it.

use std::collections::BTreeSet;

use stateright::Property;

use crate::model::Ownership;
use crate::turn::Turn;
use crate::world::{Claim, ClaimOf, Node, World};

/// A promise that a single step has broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Breach {
    FenceIssuedTwice,
    FenceNotAbove,
    FormerOwnerObeyed,
    FormerOwnerHeard,
    TokenTooEarly,
    TokenTooLate,
    GiverGoesOn,
    EventHandledTwice,
    EventLeftOut,
    UnhandledAcknowledged,
    HonestPeerRefused,
}

/// The past of the present boot of the worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct History {
    pub(crate) breaches: BTreeSet<Breach>,
    /// The greatest fence that was granted.
    granted: u8,
    /// The fence that was given away by the last token.
    given: u8,
    /// Through which number events were given to a handler anywhere.
    dispatched: u8,
    /// Through which number a handler has returned.
    pub(crate) handled: u8,
    /// Whether every owner so far has let go by a token: nothing crashed, and no link of an owner was lost.
    pub(crate) is_graceful: bool,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { is_graceful: true, ..Self::default() }
    }

    /// The worker has started anew. What was broken stays broken.
    pub(crate) fn start_anew(&mut self) {
        *self = Self { breaches: std::mem::take(&mut self.breaches), ..Self::new() };
    }

    /// A control node has lost what it knew: what it has handled may be handled again, by whoever owned the worker before.
    pub(crate) fn note_crash(&mut self) {
        (self.is_graceful, self.given) = (false, 0);
    }
}

impl Turn<'_> {
    /// The worker has granted a fence.
    pub(crate) fn note_grant(
        &mut self,
        to: Node,
        former: Option<(Node, u8, u8, u8)>,
        claim: &ClaimOf,
        fence: u8,
        by_token: bool,
    ) {
        if fence <= self.world.history.granted {
            self.breach(Breach::FenceIssuedTwice);
        }
        if fence <= claim.last_fence {
            self.breach(Breach::FenceNotAbove);
        }
        self.world.history.granted = self.world.history.granted.max(fence);
        let Some((giver, boot, _, given)) = former else { return };
        if !by_token {
            self.world.history.is_graceful = false;
            return;
        }
        self.world.history.given = given;
        let control = self.world.control(giver);
        if giver == to || !control.up || control.boot != boot {
            return;
        }
        let has_let_go = control.followed.in_hand.is_none()
            && control.followed.cursor.handled() == u64::from(self.world.worker.acked);
        let goes_on = match &control.claim {
            Claim::Active(fence) => *fence == given,
            Claim::Giving(fence, giving) => *fence == given && giving.stage() != phalanx_jobs::Stage::Offered,
            Claim::None | Claim::SentOn | Claim::Attaching { .. } => false,
        };
        let holds = control.fence() == Some(given);
        if holds && !has_let_go {
            self.breach(Breach::TokenTooEarly);
        }
        if goes_on {
            self.breach(Breach::TokenTooLate);
        }
    }

    /// A frame does not fit the session. A stream that keeps its order never brings such a one.
    pub(crate) fn note_break_off(&mut self) {
        if self.world.budget.disorders == self.rules.budget.disorders {
            self.breach(Breach::HonestPeerRefused);
        }
    }

    /// A handler is given events, under the fence that its node believes to hold.
    pub(crate) fn note_dispatch(&mut self, generation: u8, fence: Option<u8>, first: u8, last: u8) {
        if generation != self.world.worker.generation {
            return;
        }
        let history = &mut self.world.history;
        let (is_again, is_gap) = (first <= history.dispatched, first > history.dispatched + 1);
        let goes_on = fence.is_some_and(|fence| fence <= history.given);
        let is_graceful = history.is_graceful;
        history.dispatched = history.dispatched.max(last);
        if is_again && is_graceful {
            self.breach(Breach::EventHandledTwice);
        }
        if is_gap {
            self.breach(Breach::EventLeftOut);
        }
        if goes_on {
            self.breach(Breach::GiverGoesOn);
        }
    }
}

/// Whether the step that led here, or one before it, has broken this promise.
fn is_kept(world: &World, breach: Breach) -> bool {
    !world.history.breaches.contains(&breach)
}

/// The control nodes that believe to hold a fence of the worker's present boot, and the fence.
fn holders(world: &World) -> impl Iterator<Item = (Node, u8)> + '_ {
    let generation = world.worker.generation;
    let present = move |node: &Node| world.control(*node).generation == generation;
    Node::ALL.into_iter().filter(present).filter_map(|node| Some((node, world.control(node).fence()?)))
}

/// No two control nodes believe to hold the same fence, and whoever believes to hold the present one does.
fn has_one_holder(world: &World) -> bool {
    let fences: Vec<u8> = holders(world).map(|(_, fence)| fence).collect();
    let is_double = fences.len() == 2 && fences[0] == fences[1];
    let is_right = |(node, fence): (Node, u8)| match world.worker.present() {
        Some((owner, boot, _, present)) if present == fence => {
            (owner, boot) == (node, world.control(node).boot)
        }
        _ => true,
    };
    !is_double && holders(world).all(is_right)
}

/// No control node knows of a fence that was not issued.
fn fences_are_known_after_they_are_issued(world: &World) -> bool {
    let known = world.controls.iter().filter(|control| control.generation == world.worker.generation);
    known.map(|control| control.last_fence).all(|fence| fence <= world.history.granted)
}

pub(crate) fn properties() -> Vec<Property<Ownership>> {
    vec![
        Property::always("no fence is issued twice", |_, w| is_kept(w, Breach::FenceIssuedTwice)),
        Property::always("fences grow at each control node", |_, w| is_kept(w, Breach::FenceNotAbove)),
        Property::always("one control node holds the present fence", |_, w| has_one_holder(w)),
        Property::always("no fence is known before it is issued", |_, w| {
            fences_are_known_after_they_are_issued(w)
        }),
        Property::always("commands run under the present fence only", |_, w| {
            is_kept(w, Breach::FormerOwnerObeyed)
        }),
        Property::always("nothing of a former owner takes effect", |_, w| {
            is_kept(w, Breach::FormerOwnerHeard)
        }),
        Property::always("a token is honoured after its giver has let go", |_, w| {
            is_kept(w, Breach::TokenTooEarly)
        }),
        Property::always("a token is honoured before its giver goes on", |_, w| {
            is_kept(w, Breach::TokenTooLate)
        }),
        Property::always("a giver handles nothing after the handover", |_, w| {
            is_kept(w, Breach::GiverGoesOn)
        }),
        Property::always("graceful moves repeat no event", |_, w| is_kept(w, Breach::EventHandledTwice)),
        Property::always("no event is left out", |_, w| is_kept(w, Breach::EventLeftOut)),
        Property::always("what is acknowledged was handled", |_, w| {
            is_kept(w, Breach::UnhandledAcknowledged)
        }),
        Property::always("nobody honest is taken for dishonest", |_, w| {
            is_kept(w, Breach::HonestPeerRefused)
        }),
    ]
}
