//! The worker's sessions: links come and go, owners are accepted, given up and lost.

use std::time::Instant;

use phalanx_base::{Boot, Fence, Lane, NodeId, Role, Usage, planted};

use super::{WorkerCore, WorkerEvent};
use crate::ownership::Verdict;
use crate::session::{Admitted, LinkId, Session, SessionTimeout, Side, Violation};
use crate::wire::{
    Attach, Attached, Frame, Gauge, HandoverToken, Message, Nack, Release, Report, StandDown, Stranded,
};

/// From how many percent on a change of a worker's usage is told: less would choose no other worker.
const USAGE_NEWS_PERCENT: u8 = 5;

impl WorkerCore {
    /// How full the worker is now. Its owner learns of it with the next report, where it has changed by five percent or more.
    pub fn handle_usage(&mut self, usage: Usage) {
        self.usage = usage;
    }

    /// A control node has opened a session over a link.
    pub fn handle_session(&mut self, now: Instant, link: LinkId, control: Boot) {
        let worker = &self.identity.boot.node;
        let link_shared = (link, self.identity.role == Role::Control);
        let session = Session::new(now, Side::Worker, control, worker, link_shared, &self.config);
        self.sessions.entry(link).or_insert(session);
    }

    /// A link is lost, with its session.
    pub fn handle_link_lost(&mut self, now: Instant, link: LinkId) {
        self.sessions.remove(&link);
        self.refused_claims.remove(&link);
        self.transmits.retain(|transmit| transmit.link != link);
        self.orphan(now, link);
    }

    /// A frame has come.
    ///
    /// # Errors
    /// A [`Violation`]: the frame had no effect; close the link.
    pub fn handle_frame(
        &mut self,
        now: Instant,
        link: LinkId,
        lane: Lane,
        frame: &Frame,
    ) -> Result<(), Violation> {
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        let message = match session.admit(now, lane, frame)? {
            Admitted::Message(message) => message,
            Admitted::Stale(_) => return Ok(()),
        };
        match message {
            Message::Attach(attach) => self.handle_attach(now, link, attach),
            Message::Redirect(redirect) => {
                self.refused_claims.remove(&link);
                self.events.push_back(WorkerEvent::Redirected(redirect.owner));
            }
            Message::Release(release) => self.handle_release(now, link, release),
            Message::Beat(beat) => {
                self.arbiter.handle_beat(link, beat.roster);
                self.flowing = true;
                self.pump_events();
                self.events.extend(beat.standbys.map(WorkerEvent::Standbys));
            }
            Message::Ack(ack) => {
                self.outbox.ack(&ack.task, ack.through, ack.checkpoint);
                self.events.push_back(WorkerEvent::Acknowledged(ack.task, ack.through));
                self.pump_events();
            }
            Message::Call(call) => self.handle_call(now, link, call),
            Message::Cancel(cancel) => self.cancel(&cancel.id, crate::outcome::Reason::Cancelled),
            other => return Err(Violation::NotPermitted(other.kind())),
        }
        Ok(())
    }

    fn handle_attach(&mut self, now: Instant, link: LinkId, attach: Attach) {
        let Some(session) = self.sessions.get(&link) else { return };
        let control = session.peer().clone();
        let given = self.is_given_to(&control, &attach);
        match self.arbiter.handle_attach(now, link, &control, &attach, given) {
            Verdict::Refused { present, fence } => {
                self.refused_claims.insert(link, attach);
                self.send(link, Nack { present, fence });
            }
            Verdict::Granted { fence, former } => {
                if let Some(former) = former.filter(|former| former.link != link) {
                    self.send(former.link, StandDown { fence: former.fence });
                    if let Some(session) = self.sessions.get_mut(&former.link) {
                        session.retire(now);
                    }
                }
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.grant(now, fence);
                }
                self.tasks.on_connect();
                self.refused_claims.remove(&link);
                self.welcome(link, fence);
                self.events.push_back(WorkerEvent::Owned {
                    owner: control,
                    fence,
                    given,
                    standbys: attach.standbys,
                });
                self.events.push_back(WorkerEvent::Status(self.status));
            }
        }
    }

    /// Whether the present owner has given this worker to whoever claims it, and everything that it has acknowledged has
    /// arrived: else the next owner would begin where the last one had not ended.
    fn is_given_to(&self, control: &Boot, attach: &Attach) -> bool {
        let (Some(bytes), Some(present)) = (&attach.handover_token, self.arbiter.present()) else {
            return false;
        };
        let present_token = HandoverToken {
            worker: self.identity.boot.node.clone(),
            generation: self.identity.boot.generation,
            fence: present.fence,
            receiver: control.node.clone(),
            cursors: self.outbox.cursors(),
        };
        if planted!("token-without-cursors") {
            return HandoverToken::decode(bytes).is_some_and(|token| token.fence == present_token.fence);
        }
        HandoverToken::decode(bytes) == Some(present_token)
    }

    /// Tells a new owner everything that it must know. What is not acknowledged is sent again, once the owner has given
    /// its first sign of life: lanes overtake each other, and an event must not come before the owner knows its log.
    fn welcome(&mut self, link: LinkId, fence: Fence) {
        (self.flowing, self.labels_told, self.usage_told) = (false, true, None);
        #[cfg(phalanx_planted)]
        if planted!("forgotten-outbox") {
            self.outbox.forget_unsent();
        }
        self.outbox.rewind();
        let snapshots: Vec<_> = self.outbox.snapshots(fence).collect();
        let attached = Attached {
            fence,
            status: self.status,
            labels: self.identity.labels.clone(),
            classes: self.identity.classes.clone(),
            tasks: u32::try_from(snapshots.len()).unwrap_or(u32::MAX),
        };
        self.send(link, attached);
        for snapshot in snapshots {
            self.send(link, snapshot);
        }
        self.gauge(link, fence);
    }

    /// Tells the owner how full the worker is, where that is news.
    fn gauge(&mut self, link: LinkId, fence: Fence) {
        let known = self.usage_told.unwrap_or_default();
        if !self.usage.is_near(&known, USAGE_NEWS_PERCENT) {
            self.usage_told = Some(self.usage);
            self.send(link, Gauge { fence, usage: self.usage });
        }
    }

    /// The owner that this worker was sent to cannot be reached: the control nodes that can are told, so that one of them stands
    /// in for it.
    pub fn handle_out_of_reach(&mut self, owner: &NodeId) {
        if self.arbiter.present().is_some() {
            return;
        }
        let others = self.sessions.values().filter(|session| session.peer().node != *owner);
        let links: Vec<LinkId> = others.map(Session::link).collect();
        for link in links {
            self.send(link, Stranded { owner: owner.clone() });
        }
    }

    fn handle_release(&mut self, now: Instant, link: LinkId, release: Release) {
        if let Some(session) = self.sessions.get_mut(&link) {
            session.retire(now);
        }
        self.events.push_back(WorkerEvent::Redirected(release.owner));
        self.orphan(now, link);
    }

    /// The present owner is gone, if it was on this link.
    fn orphan(&mut self, now: Instant, link: LinkId) {
        if !self.arbiter.handle_lost(link) {
            return;
        }
        self.tasks.on_disconnect(now);
        self.events.push_back(WorkerEvent::Orphaned);
        self.events.push_back(WorkerEvent::Status(self.status()));
        // Whoever was refused only because of the owner that is gone need not ask again; who knows most comes first.
        self.refused_claims.retain(|claimant, _| self.sessions.contains_key(claimant));
        let best = self.refused_claims.iter().filter(|(claimant, _)| **claimant != link);
        if let Some(claimant) = best.max_by_key(|(_, attach)| attach.roster).map(|(claimant, _)| *claimant)
            && let Some(attach) = self.refused_claims.remove(&claimant)
        {
            self.handle_attach(now, claimant, attach);
        }
    }

    /// A transfer has begun over a link, which stays until it has ended.
    pub fn handle_transfer_begun(&mut self, link: LinkId) {
        *self.transfers.entry(link).or_default() += 1;
    }

    /// A transfer over a link has ended.
    pub fn handle_transfer_ended(&mut self, link: LinkId) {
        if let Some(count) = self.transfers.get_mut(&link) {
            *count -= 1;
            if *count == 0 {
                self.transfers.remove(&link);
            }
        }
    }

    pub(super) fn time_out_sessions(&mut self, now: Instant) {
        let is_due = |session: &&Session| session.poll_timeout().is_some_and(|at| at <= now);
        let due: Vec<LinkId> = self.sessions.values().filter(is_due).map(Session::link).collect();
        for link in due {
            while let Some(session) = self.sessions.get_mut(&link)
                && let Some(timeout) = session.handle_timeout(now)
            {
                match (timeout, session.fence()) {
                    (SessionTimeout::Beat, Some(fence)) => self.report(link, fence),
                    (SessionTimeout::Beat, None) => {}
                    (SessionTimeout::Lost, _) => self.close(now, link, "the control node has been silent"),
                    (SessionTimeout::Ended, _) if self.transfers.contains_key(&link) => session.linger(now),
                    (SessionTimeout::Ended, _) => self.close(now, link, "the session has moved on"),
                }
            }
        }
    }

    pub(super) fn report(&mut self, link: LinkId, fence: Fence) {
        let tasks = u32::try_from(self.tasks.running()).unwrap_or(u32::MAX);
        let labels = (!self.labels_told).then(|| self.identity.labels.clone());
        self.labels_told = true;
        self.send(link, Report { fence, status: self.status, tasks, labels });
        self.gauge(link, fence);
    }

    fn close(&mut self, now: Instant, link: LinkId, why: &'static str) {
        self.handle_link_lost(now, link);
        self.events.push_back(WorkerEvent::CloseLink(link, why));
    }
}
