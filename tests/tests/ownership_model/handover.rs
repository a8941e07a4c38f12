//! How a worker changes hands in the model: the giver's steps are the core's, and both ends do what the proxy does.

use phalanx_jobs::{Giving, Stage as GivingStage};

use crate::network::{ToWorker, Word};
use crate::rules::Mistake;
use crate::turn::{Turn, start};
use crate::world::{Claim, Node, Offer, Token, small};

impl Turn<'_> {
    /// Begins to give the worker to its acting owner.
    pub(crate) fn start_giving(&mut self, node: Node, remembers_question: bool) {
        let acting = self.world.acting(self.rules, node);
        let Claim::Active(fence) = self.control(node).claim else { return };
        self.say_to_worker(node, ToWorker::Redirect(acting));
        let mut giving = Giving::new(start(), acting.id().clone());
        let control = self.control(node);
        if std::mem::take(&mut control.is_wanted) && remembers_question {
            giving.handle_wanted(start(), node.other().id());
        }
        control.claim = Claim::Giving(fence, giving);
        self.offer_when_quiet(node);
    }

    pub(crate) fn offer_when_quiet(&mut self, node: Node) {
        let is_hasty = self.rules.has(Mistake::QuietNotAwaited);
        let control = self.control(node);
        let is_quiet = control.followed.in_hand.is_none() || is_hasty;
        if let Claim::Giving(_, giving) = &mut control.claim
            && is_quiet
            && giving.handle_quiet(start())
        {
            control.offers += 1;
            self.send_offer(node);
        }
    }

    fn send_offer(&mut self, node: Node) {
        let control = self.world.control(node);
        if let Claim::Giving(fence, giving) = &control.claim {
            let receiver = Node::of(giving.to());
            let cursor = small(control.followed.cursor.handled());
            let token = Token { generation: control.generation, fence: *fence, receiver, cursor };
            let offer = Offer { number: control.offers, token };
            self.say(Word::Offer { to: receiver, offer });
        }
    }

    /// A step of the handover has failed or had its time: this node is the owner as before.
    pub(crate) fn give_up_giving(&mut self, node: Node) {
        self.control(node).is_resting = true;
        self.keep(node);
    }

    pub(crate) fn keep(&mut self, node: Node) {
        let control = self.control(node);
        if let Claim::Giving(fence, _) = control.claim {
            control.claim = Claim::Active(fence);
            self.dispatch(node);
        }
    }

    pub(crate) fn say(&mut self, word: Word) {
        if self.control(word.to()).up {
            self.world.words.insert(word);
        }
    }

    /// A word of the other control node has come.
    pub(crate) fn handle_word(&mut self, word: Word) {
        match word {
            Word::Wanted { to, generation } => self.handle_wanted(to, generation),
            Word::Offer { to, offer } => self.handle_offer(to, offer),
            Word::Declined { to, fence, number } => self.handle_declined(to, fence, number),
        }
    }

    fn handle_wanted(&mut self, node: Node, generation: u8) {
        let by = node.other().id();
        let control = self.control(node);
        if control.generation != generation {
            return;
        }
        let Claim::Giving(_, giving) = &mut control.claim else {
            control.is_wanted = true;
            return;
        };
        let again = giving.stage() == GivingStage::Offered && giving.to() == by;
        giving.handle_wanted(start(), by);
        if again {
            self.send_offer(node);
        } else {
            self.offer_when_quiet(node);
        }
    }

    fn handle_offer(&mut self, node: Node, offer: Offer) {
        let mine = self.world.acting(self.rules, node) == node;
        let is_eager = self.rules.has(Mistake::TakenOfferDeclined);
        let control = self.control(node);
        let claiming = matches!(control.claim, Claim::Attaching { .. });
        let key = (offer.token.generation, offer.token.fence, offer.number);
        let fits = mine && claiming && control.generation == offer.token.generation;
        // Copies may come late, and after later offers.
        let is_late = Some(key) <= control.declined || Some(key) < control.taken;
        if !fits || is_late {
            // Its token may be with the worker, and who declined it now would let the giver go on beside the next owner.
            if control.taken == Some(key) && !is_eager {
                return;
            }
            control.declined = control.declined.max(Some(key));
            return self.say(Word::Declined { to: node.other(), fence: key.1, number: key.2 });
        }
        control.offer = Some(offer);
        control.taken = Some(key);
        control.claim = Claim::None;
        self.follow_plan(node);
    }

    fn handle_declined(&mut self, node: Node, fence: u8, number: u8) {
        let control = self.control(node);
        if let Claim::Giving(held, giving) = &control.claim
            && (*held, control.offers) == (fence, number)
            && giving.stage() == GivingStage::Offered
        {
            self.give_up_giving(node);
        }
    }
}
