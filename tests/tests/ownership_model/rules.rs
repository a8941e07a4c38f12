//! What one run of the checker may do: how many of each fault, and which mistake is planted.

use crate::world::Node;

/// How many of each fault may still happen. Everything else that the model does is what a healthy cluster does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Budget {
    /// A link is cut with all that is under way; each end learns of it when it does.
    pub(crate) cuts: u8,
    /// A word between control nodes is lost.
    pub(crate) losses: u8,
    /// A word between control nodes arrives, and arrives again later.
    pub(crate) duplicates: u8,
    /// A frame of a session arrives twice, or before the one that was sent before it: no stream does that.
    pub(crate) disorders: u8,
    /// A control node loses everything, and starts again or does not.
    pub(crate) crashes: u8,
    /// The worker loses everything and starts again.
    pub(crate) restarts: u8,
    /// A control node sees the other one down while it lives.
    pub(crate) suspicions: u8,
    /// The partition gets another owner.
    pub(crate) ring_changes: u8,
    /// A timer fires while that for which it waits is still under way.
    pub(crate) early_timers: u8,
    /// Commands that a control node gives the worker. No fault, but bounded like one.
    pub(crate) commands: u8,
}

/// A mistake in the wiring of the cores, planted to prove that the checker would find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The worker looks at the token's fence and receiver, and not at its cursors.
    CursorsIgnored,
    /// The owner offers while a handler still has events in hand.
    QuietNotAwaited,
    /// A copy of an offer that was taken is declined, so that the giver goes on before it hears that it is not the owner.
    TakenOfferDeclined,
    /// The owner goes on by itself while its offer may still be used.
    MarginIgnored,
    /// The former owner is not told to stand down, and so goes on once its offer has had its time.
    StandDownNotSent,
    /// The worker runs what a former owner asks for.
    FormerOwnerObeyed,
    /// The worker forgets which fences it has issued when it loses its owner.
    FencesForgotten,
    /// A control node believes an owner's word that is not above the fence that it knows.
    EqualFenceBelieved,
    /// The worker accepts acknowledgements under a fence that is not the present one.
    LateAcknowledgementsTaken,
    /// A refused claim is not made again.
    ClaimNotRepeated,
}

/// One configuration of the model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) budget: Budget,
    /// Who owns the worker's partition at first.
    pub(crate) owner: Node,
    /// How many events each boot of the worker has to tell.
    pub(crate) events: u8,
    pub(crate) mistake: Option<Mistake>,
}

impl Rules {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, owner: Node::A, events: 2, mistake: None }
    }

    pub(crate) fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }
}
