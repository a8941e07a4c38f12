//! A control node in the model: the steward says the next step, and the rest does what the proxy does with it. How it
//! gives its worker away, and is given one, is in `handover`.

use std::sync::LazyLock;

use phalanx_base::AddressList;
use phalanx_jobs::wire::EventBody;
use phalanx_jobs::{Acting, Holding, Received, Stage as GivingStage, Step, Steward};

use crate::network::{Admitted, Command, Event, Session, Stage, ToControl, ToWorker, Word};
use crate::promises::Breach;
use crate::rules::Mistake;
use crate::turn::Turn;
use crate::world::{Claim, ClaimOf, Control, Node, small};

impl Turn<'_> {
    /// A link to the worker is up. Of two the newer one counts.
    pub(crate) fn handle_link(&mut self, node: Node, link: u8) {
        let generation = self.world.worker.generation;
        if self.control(node).link.is_some() {
            self.lose(node);
        }
        let control = self.control(node);
        if control.generation != generation {
            control.last_fence = 0;
            control.offer = None;
            control.follow_anew(generation);
        }
        control.session = Session::default();
        control.link = Some(link);
        control.claim = Claim::None;
        control.refused_for = None;
        self.follow_plan(node);
    }

    /// The link is lost.
    pub(crate) fn lose(&mut self, node: Node) {
        let control = self.control(node);
        control.session = Session::default();
        control.lose_events();
        if control.claim != Claim::SentOn {
            control.claim = Claim::None;
        }
        control.link = None;
        self.forget_links();
    }

    /// This end closes the link.
    pub(crate) fn close_at_control(&mut self, node: Node) {
        let link = self.control(node).link;
        self.lose(node);
        if let Some(link) = link {
            self.cut(link);
        }
    }

    /// Does what the plan asks for.
    pub(crate) fn follow_plan(&mut self, node: Node) {
        let acting = self.world.acting(self.rules, node);
        let holding = self.world.control(node).holding(acting);
        match Steward::next(holding, Some(as_acting(acting)), acting == node, true) {
            Step::Wait | Step::Give => {}
            Step::Claim => self.attach(node),
            Step::Redirect => {
                self.control(node).claim = Claim::SentOn;
                self.say_to_worker(node, ToWorker::Redirect(acting));
            }
            Step::Keep => self.keep(node),
        }
    }

    pub(crate) fn say_to_worker(&mut self, node: Node, frame: ToWorker) {
        if let Some(link) = self.control(node).link {
            self.send_to_worker(link, frame);
        }
    }

    fn attach(&mut self, node: Node) {
        let control = self.control(node);
        control.claim = Claim::Attaching { refused: false };
        control.session.stage = Stage::Opening;
        let claim = ClaimOf {
            roster: control.roster(),
            last_fence: control.last_fence,
            sees_down: control.refused_for.filter(|_| control.sees_other_down),
            token: control.offer.map(|offer| offer.token),
        };
        self.say_to_worker(node, ToWorker::Attach(claim));
    }

    /// A frame has come on the control lane.
    pub(crate) fn handle_at_control(&mut self, node: Node, frame: ToControl) {
        match frame {
            ToControl::Attached { fence, acked } if self.control(node).fence().is_none() => {
                self.handle_attached(node, fence, acked);
            }
            ToControl::Attached { .. } => self.break_off_at_control(node),
            ToControl::Nack { present, fence } => self.handle_nack(node, present, fence),
            ToControl::StandDown { fence } => match self.control(node).session.admit(fence) {
                Admitted::Yes => self.stand_down(node),
                Admitted::Late => {}
                Admitted::Violation => self.break_off_at_control(node),
            },
        }
    }

    fn break_off_at_control(&mut self, node: Node) {
        self.note_break_off();
        self.close_at_control(node);
    }

    fn handle_attached(&mut self, node: Node, fence: u8, acked: u8) {
        let known = self.control(node).last_fence;
        let is_believed = fence > known || (fence == known && self.rules.has(Mistake::EqualFenceBelieved));
        if !is_believed {
            return self.break_off_at_control(node);
        }
        if fence <= known {
            self.breach(Breach::FenceNotAbove);
        }
        let control = self.control(node);
        control.offer = None;
        control.session.grant(fence);
        control.last_fence = fence;
        control.claim = Claim::Active(fence);
        (control.refused_for, control.is_resting) = (None, false);
        self.follow_plan(node);
        let followed = &mut self.control(node).followed;
        followed.cursor.resume(acked.into());
        let handled = small(followed.cursor.handled());
        if handled > acked {
            self.say_to_worker(node, ToWorker::Ack { fence, through: handled });
        }
        let roster = self.control(node).roster();
        self.say_to_worker(node, ToWorker::Beat { fence, roster });
    }

    /// The worker has another live owner: that one is asked for it, unless it has offered it already.
    fn handle_nack(&mut self, node: Node, present: Node, fence: u8) {
        let control = self.control(node);
        if !matches!(control.claim, Claim::Attaching { .. }) {
            return;
        }
        control.last_fence = control.last_fence.max(fence);
        if control.offer.is_none_or(|offer| offer.token.fence != fence) {
            control.offer = None;
            let generation = control.generation;
            if present != node && !control.sees_other_down {
                self.say(Word::Wanted { to: present, generation });
            }
        }
        let control = self.control(node);
        control.refused_for = Some(present);
        control.claim = Claim::Attaching { refused: true };
    }

    fn stand_down(&mut self, node: Node) {
        let control = self.control(node);
        let given = matches!(control.claim, Claim::Giving(..));
        control.claim = Claim::SentOn;
        control.session.retire();
        if given {
            control.follow_anew(control.generation);
        } else {
            control.lose_events();
        }
        self.follow_plan(node);
    }

    /// A refused claim is made again.
    pub(crate) fn retry(&mut self, node: Node) {
        self.control(node).claim = Claim::None;
        self.follow_plan(node);
    }

    /// The control node says something under the fence that it believes to hold.
    pub(crate) fn beat(&mut self, node: Node) {
        let control = self.control(node);
        if let Some(fence) = control.fence() {
            let roster = control.roster();
            self.say_to_worker(node, ToWorker::Beat { fence, roster });
        }
    }

    pub(crate) fn command(&mut self, node: Node) {
        let control = self.world.control(node);
        let (Some(fence), Some(link)) = (control.fence(), control.link) else { return };
        let command = Command { generation: control.generation, fence, boot: control.boot };
        if let Some(link) = self.link(link).filter(|link| link.is_alive) {
            link.commands.push(command);
        }
    }

    /// An event has come.
    pub(crate) fn handle_event(&mut self, node: Node, event: Event) {
        let control = self.control(node);
        match control.session.admit(event.fence) {
            Admitted::Yes => {}
            Admitted::Late => return,
            Admitted::Violation => return self.break_off_at_control(node),
        }
        let body = EventBody::Emitted(Default::default());
        match control.followed.cursor.receive(event.sequence.into(), &body) {
            Received::Missing => return self.break_off_at_control(node),
            Received::Repeat => return,
            Received::Next => {}
        }
        if control.serves_events() {
            self.dispatch(node);
        }
    }

    /// Gives the handler what has come and is not handled, unless it has something in hand.
    pub(crate) fn dispatch(&mut self, node: Node) {
        let control = self.control(node);
        let (first, last) = (control.followed.cursor.handled() + 1, control.followed.cursor.received());
        if control.followed.in_hand.is_some() || first > last {
            return;
        }
        let (first, last) = (small(first), small(last));
        control.followed.in_hand = Some(last);
        let (generation, fence) = (control.generation, control.fence());
        self.note_dispatch(generation, fence, first, last);
    }

    /// The handler has returned.
    pub(crate) fn handle_handled(&mut self, node: Node) {
        let control = self.control(node);
        let Some(through) = control.followed.in_hand.take() else { return };
        if u64::from(through) > control.followed.cursor.handled() {
            control.followed.cursor.handle(through.into());
        }
        let (serves, fence, generation) = (control.serves_events(), control.fence(), control.generation);
        if generation == self.world.worker.generation {
            self.world.history.handled = self.world.history.handled.max(through);
        }
        if serves {
            self.dispatch(node);
        }
        if let Some(fence) = fence {
            self.say_to_worker(node, ToWorker::Ack { fence, through });
            self.offer_when_quiet(node);
        }
    }

    /// It loses everything.
    pub(crate) fn crash(&mut self, node: Node) {
        let control = self.control(node);
        let boot = control.boot;
        *control = Control { up: false, ..Control::started(boot, control.knows_change) };
        self.world.history.note_crash();
        self.world.words.retain(|word| word.to() != node);
        for link in self.world.links.iter_mut().filter(|link| link.control == node) {
            link.cut();
        }
        self.forget_links();
    }

    /// It starts again.
    pub(crate) fn restart(&mut self, node: Node) {
        let control = self.control(node);
        *control = Control::started(control.boot + 1, control.knows_change);
    }
}

impl Control {
    /// Another node follows the events now.
    fn follow_anew(&mut self, generation: u8) {
        self.generation = generation;
        self.followed = Default::default();
    }

    fn lose_events(&mut self) {
        self.followed.cursor.lose(self.followed.in_hand.map(u64::from));
    }

    fn serves_events(&self) -> bool {
        match &self.claim {
            Claim::Active(_) => true,
            Claim::Giving(_, giving) => giving.stage() == GivingStage::Calling,
            Claim::None | Claim::SentOn | Claim::Attaching { .. } => false,
        }
    }

    fn holding(&self, acting: Node) -> Holding {
        if self.link.is_none() {
            return Holding::NoLink;
        }
        match &self.claim {
            Claim::None => Holding::Link,
            Claim::SentOn => Holding::Redirected,
            Claim::Attaching { .. } => Holding::Claiming,
            Claim::Active(_) => Holding::Active,
            Claim::Giving(_, giving) if giving.stage() == GivingStage::Offered => Holding::Offered,
            Claim::Giving(_, giving) if giving.to() == acting.id() => Holding::Giving,
            Claim::Giving(..) => Holding::GivingAstray,
        }
    }
}

/// The acting owner as placement names it.
fn as_acting(node: Node) -> &'static Acting {
    static ACTING: LazyLock<[Acting; 2]> = LazyLock::new(|| {
        Node::ALL.map(|node| Acting {
            node: node.id().clone(),
            addresses: AddressList::default(),
            standbys: Vec::new(),
        })
    });
    &ACTING[node as usize]
}
