//! The worker in the model: its arbiter judges, and the rest does what the worker's core does with the verdict.

use phalanx_base::{Fence, RosterVersion};
use phalanx_jobs::wire::Attach;
use phalanx_jobs::{LinkId, Verdict};

use crate::network::{Admitted, Command, Event, ToControl, ToWorker};
use crate::promises::Breach;
use crate::rules::Mistake;
use crate::turn::{Turn, after_safe_times};
use crate::world::{ClaimOf, Node, Token, Worker, number};

impl Turn<'_> {
    /// A frame has come on the control lane of a link.
    pub(crate) fn handle_at_worker(&mut self, link: u8, frame: ToWorker) {
        match frame {
            ToWorker::Attach(claim) => self.handle_attach(link, claim),
            ToWorker::Redirect(owner) => {
                self.world.worker.refused.remove(&link);
                if !self.is_linked(owner) {
                    self.world.worker.redirected = Some(owner);
                }
            }
            ToWorker::Beat { fence, roster } => match self.admit(link, fence) {
                Admitted::Yes => {
                    self.note_effect(link, fence);
                    let arbiter = &mut self.world.worker.arbiter;
                    arbiter.handle_beat(LinkId(link.into()), RosterVersion(roster.into()));
                    self.world.worker.is_flowing = true;
                    self.pump_events();
                }
                Admitted::Late => {}
                Admitted::Violation => self.break_off(link),
            },
            ToWorker::Ack { fence, through } => match self.admit(link, fence) {
                Admitted::Yes => {
                    self.note_effect(link, fence);
                    self.handle_ack(through);
                }
                Admitted::Late if self.rules.has(Mistake::LateAcknowledgementsTaken) => {
                    self.note_effect(link, fence);
                    self.handle_ack(through);
                }
                Admitted::Late => {}
                Admitted::Violation => self.break_off(link),
            },
        }
    }

    fn is_linked(&self, node: Node) -> bool {
        self.world.links.iter().any(|link| link.control == node && link.session.is_some())
    }

    fn admit(&self, link: u8, fence: u8) -> Admitted {
        let session = self.world.link(link).and_then(|link| link.session);
        session.map_or(Admitted::Late, |session| session.admit(fence))
    }

    fn break_off(&mut self, link: u8) {
        self.note_break_off();
        self.close_at_worker(link);
    }

    /// Something of a control node takes effect: it must be what the present owner said under the present fence.
    fn note_effect(&mut self, link: u8, fence: u8) {
        let node = self.world.link(link).map(|link| link.control);
        let is_present = self
            .world
            .worker
            .present()
            .is_some_and(|(owner, _, _, present)| Some(owner) == node && present == fence);
        if !is_present {
            self.breach(Breach::FormerOwnerHeard);
        }
    }

    fn handle_ack(&mut self, through: u8) {
        let worker = &mut self.world.worker;
        worker.acked = worker.acked.max(through);
        worker.sent = worker.sent.max(worker.acked);
        if self.world.worker.acked > self.world.history.handled {
            self.breach(Breach::UnhandledAcknowledged);
        }
    }

    fn handle_attach(&mut self, link: u8, claim: ClaimOf) {
        let Some(node) = self.world.link(link).map(|link| link.control) else { return };
        let is_given = self.is_given_to(node, &claim);
        let former = self.world.worker.present();
        let worker = &mut self.world.worker;
        let now = after_safe_times(worker.safe_times);
        let boot = self.world.links.iter().find(|known| known.number == link).map_or(0, |link| link.boot);
        let verdict = worker.arbiter.handle_attach(
            now,
            LinkId(link.into()),
            &node.boot(boot),
            &claim.as_attach(),
            is_given,
        );
        match verdict {
            Verdict::Refused { present, fence } => {
                worker.refused.insert(link, claim);
                let nack = ToControl::Nack { present: Node::of(&present), fence: number(fence) };
                self.send_to_control(link, nack);
            }
            Verdict::Granted { fence, .. } => {
                self.note_grant(node, former, &claim, number(fence), is_given);
                self.grant(link, former.map(|(_, _, link, fence)| (link, fence)), number(fence));
            }
        }
    }

    fn grant(&mut self, link: u8, former: Option<(u8, u8)>, fence: u8) {
        if let Some((former, former_fence)) = former.filter(|(former, _)| *former != link) {
            if !self.rules.has(Mistake::StandDownNotSent) {
                self.send_to_control(former, ToControl::StandDown { fence: former_fence });
            }
            if let Some(session) = self.link(former).and_then(|link| link.session.as_mut()) {
                session.retire();
            }
        }
        if let Some(session) = self.link(link).and_then(|link| link.session.as_mut()) {
            session.grant(fence);
        }
        let worker = &mut self.world.worker;
        worker.is_settled = false;
        worker.refused.remove(&link);
        worker.is_flowing = false;
        worker.sent = worker.acked;
        let acked = worker.acked;
        self.send_to_control(link, ToControl::Attached { fence, acked });
    }

    /// Whether the present owner has given the worker to this claimant, and all that it has acknowledged has come.
    fn is_given_to(&self, receiver: Node, claim: &ClaimOf) -> bool {
        let (Some(token), Some((_, _, _, fence))) = (claim.token, self.world.worker.present()) else {
            return false;
        };
        let Worker { generation, acked, .. } = self.world.worker;
        let cursor = if self.rules.has(Mistake::CursorsIgnored) { token.cursor } else { acked };
        token == Token { generation, fence, receiver, cursor }
    }

    /// A command has come.
    pub(crate) fn handle_command(&mut self, link: u8, command: Command) {
        let worker = &self.world.worker;
        let holds = worker.arbiter.holds(LinkId(link.into()), Fence(command.fence.into()));
        let runs =
            command.generation == worker.generation && (holds || self.rules.has(Mistake::FormerOwnerObeyed));
        let node = self.world.link(link).map(|link| link.control);
        let is_present = worker.present().is_some_and(|(owner, boot, _, fence)| {
            (Some(owner), boot, fence) == (node, command.boot, command.fence)
        });
        if runs && !is_present {
            self.breach(Breach::FormerOwnerObeyed);
        }
    }

    fn pump_events(&mut self) {
        let Some((_, _, link, fence)) = self.world.worker.present() else { return };
        let first = self.world.worker.sent + 1;
        let last = self.rules.events;
        self.world.worker.sent = last.max(self.world.worker.sent);
        if let Some(link) = self.link(link).filter(|link| link.is_alive) {
            link.events.extend((first..=last).map(|sequence| Event { fence, sequence }));
        }
    }

    /// The worker closes a link.
    pub(crate) fn close_at_worker(&mut self, link: u8) {
        self.lose_at_worker(link);
        self.cut(link);
    }

    /// The worker learns that a link is lost.
    pub(crate) fn lose_at_worker(&mut self, link: u8) {
        if let Some(link) = self.link(link) {
            link.session = None;
        }
        self.world.worker.refused.remove(&link);
        self.orphan(link);
        self.forget_links();
    }

    /// The present owner is gone, if it was on this link. Whoever was refused because of it need not ask again.
    fn orphan(&mut self, link: u8) {
        let worker = &mut self.world.worker;
        if !worker.arbiter.handle_lost(LinkId(link.into())) {
            return;
        }
        worker.is_settled = false;
        self.world.history.is_graceful = false;
        if self.rules.has(Mistake::FencesForgotten) {
            worker.arbiter = phalanx_jobs::Arbiter::default();
        }
        let best = worker.refused.iter().filter(|(claimant, _)| **claimant != link);
        let best = best.max_by_key(|(_, claim)| claim.roster).map(|(claimant, claim)| (*claimant, *claim));
        if let Some((claimant, claim)) = best {
            worker.refused.remove(&claimant);
            self.handle_attach(claimant, claim);
        }
    }

    /// The worker starts anew.
    pub(crate) fn restart_worker(&mut self) {
        let generation = self.world.worker.generation + 1;
        self.world.worker = Worker::started(generation);
        self.world.history.start_anew();
        for link in &mut self.world.links {
            link.session = None;
        }
        self.forget_links();
    }
}

impl ClaimOf {
    fn as_attach(self) -> Attach {
        Attach {
            roster: RosterVersion(self.roster.into()),
            last_fence: Fence(self.last_fence.into()),
            sees_down: self.sees_down.map(|node| node.id().clone()),
            // The worker has judged it already: the arbiter is told the result.
            handover_token: None,
            standbys: Vec::new(),
        }
    }
}
