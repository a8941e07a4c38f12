//! The control-side end of one worker's session: claim, serve, release.

use std::time::Instant;

use phalanx_base::{Boot, Fence, Generation, Lane, NodeId, NodeStatus, Role};

use super::events::{Followed, Handled};
use super::in_flight::InFlight;
use super::{ControlEvent, Effects, ProxyCall};
use crate::config::{CLAIM_RETRY, Config, LOST_PROXY_KEPT};
use crate::outcome::{Cap, Outcome, Reason};
use crate::ownership::{Acting, Holding, Owners, Step, Steward};
use crate::session::{Admitted, LinkId, Session, SessionTimeout, Side, Violation};
use crate::wire::{
    Ack, Attach, Attached, Beat, Call, CallId, Cancel, Frame, Hosting, Message, Redirect, Release, Standby,
    TaskId, Verb,
};

/// A link to a worker: either its own dial, or that of another control node, which works too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerLink {
    /// The link.
    pub link: LinkId,
    /// The worker's boot.
    pub boot: Boot,
    /// What the worker is besides.
    pub role: Role,
}

/// How far the claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// None is made.
    None,
    /// The worker has been sent to its owner, by a redirect or a release.
    SentOn,
    /// Attach is under way; if refused, until then.
    Attaching { retry_at: Option<Instant> },
    /// Accepted under this fence.
    Active(Fence),
    /// On its way out: waits until no handler has anything in hand.
    Releasing(Fence),
}

/// One worker's proxy. See the module's page.
#[derive(Debug)]
pub struct Proxy {
    worker: NodeId,
    link: Option<WorkerLink>,
    session: Option<Session>,
    claim: Claim,
    last_fence: Fence,
    /// The present owner that the worker named when it refused.
    refused_for: Option<NodeId>,
    status: NodeStatus,
    /// What was said last of how the worker is.
    told_status: Option<(NodeStatus, Option<Fence>)>,
    in_flight: InFlight,
    followed: Option<Followed>,
    acting: Option<Acting>,
    told_standbys: Vec<Standby>,
    lost_at: Option<Instant>,
}

impl Proxy {
    pub(crate) fn new(worker: NodeId) -> Self {
        Self {
            worker,
            link: None,
            session: None,
            claim: Claim::None,
            last_fence: Fence::default(),
            refused_for: None,
            status: NodeStatus::Connecting,
            told_status: None,
            in_flight: InFlight::default(),
            followed: None,
            acting: None,
            told_standbys: Vec::new(),
            lost_at: None,
        }
    }

    /// How this node stands to the worker.
    #[must_use]
    pub fn hosting(&self) -> Hosting {
        match (&self.link, self.claim) {
            (Some(link), Claim::Active(fence)) => Hosting::Hosted { fence, generation: link.boot.generation },
            (Some(_), _) => Hosting::Between,
            // Also one that was sent on: it keeps this link until it is attached elsewhere, or gone.
            (None, _) => Hosting::NotConnected,
        }
    }

    /// The link under the present fence, and that fence: for transfers.
    #[must_use]
    pub fn serving(&self) -> Option<(LinkId, Fence, Generation)> {
        match (&self.link, self.claim) {
            (Some(link), Claim::Active(fence)) => Some((link.link, fence, link.boot.generation)),
            _ => None,
        }
    }

    /// Whether the events of a task of that boot are followed.
    pub(crate) fn follows(&self, generation: Generation, task: &TaskId) -> bool {
        self.followed
            .as_ref()
            .is_some_and(|followed| followed.generation() == generation && followed.contains(task))
    }

    pub(crate) fn link_id(&self) -> Option<LinkId> {
        self.link.as_ref().map(|link| link.link)
    }

    /// How the worker is.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        self.status
    }

    /// A link to the worker is up. Of two the newer one counts.
    pub(crate) fn handle_link(
        &mut self,
        now: Instant,
        link: WorkerLink,
        config: &Config,
        owners: &dyn Owners,
        fx: &mut Effects,
    ) {
        // A link of an earlier boot that arrives late must not take the place of the worker that lives.
        if let Some(known) = self.generation()
            && known > link.boot.generation
        {
            return fx.event(ControlEvent::CloseLink(link.link, "a later boot of this worker is known"));
        }
        if self.link.is_some() {
            self.lose(now, fx);
        }
        if self.generation() != Some(link.boot.generation) {
            self.last_fence = Fence::default();
            self.follow_anew(link.boot.generation, fx);
        }
        let link_shared = (link.link, link.role == Role::Control);
        let boot = link.boot.clone();
        self.session = Some(Session::new(now, Side::Control, boot, &self.worker, link_shared, config));
        self.link = Some(link);
        self.lost_at = None;
        self.claim = Claim::None;
        self.refused_for = None;
        self.follow_plan(now, owners, fx);
    }

    /// The link is lost. In-flight calls are answered now, and the worker is `NotConnected`.
    pub(crate) fn handle_link_lost(&mut self, now: Instant, link: LinkId, fx: &mut Effects) {
        if self.link.as_ref().is_some_and(|present| present.link == link) {
            self.lose(now, fx);
        }
    }

    fn lose(&mut self, now: Instant, fx: &mut Effects) {
        let hosted = matches!(self.claim, Claim::Active(_) | Claim::Releasing(_));
        self.session = None;
        self.lost_at = Some(now);
        self.in_flight.lose_all(fx);
        if let Some(followed) = &mut self.followed {
            followed.lose();
        }
        if self.claim != Claim::SentOn {
            self.claim = Claim::None;
        }
        self.link = None;
        if hosted {
            self.set_status(NodeStatus::NotConnected, fx);
        }
    }

    /// The boot of the worker whose events are followed.
    pub(crate) fn generation(&self) -> Option<Generation> {
        self.followed.as_ref().map(Followed::generation)
    }

    /// Does what the plan asks for: claim, redirect, release, or nothing.
    pub(crate) fn follow_plan(&mut self, now: Instant, owners: &dyn Owners, fx: &mut Effects) {
        self.acting = owners.acting(&self.worker);
        let mine = self.acting.as_ref().is_some_and(|acting| owners.is_me(&acting.node));
        let by_dialling = self.link.as_ref().is_some_and(|link| link.role == Role::Worker);
        match Steward::next(self.holding(), self.acting.as_ref(), mine, by_dialling) {
            Step::Wait => {}
            Step::Claim => self.attach(now, owners, fx),
            Step::Redirect => {
                if let (Some(link), Some(acting)) = (&self.link, &self.acting) {
                    self.claim = Claim::SentOn;
                    fx.send(link.link, Redirect { owner: acting.as_standby(), roster: owners.roster() });
                }
            }
            Step::Release => {
                if let Claim::Active(fence) = self.claim {
                    self.claim = Claim::Releasing(fence);
                    self.release_when_quiet(now, fx);
                }
            }
            Step::Keep => {
                if let Claim::Releasing(fence) = self.claim {
                    self.claim = Claim::Active(fence);
                    if let Some(followed) = &mut self.followed {
                        followed.dispatch_all(fx);
                    }
                }
            }
        }
    }

    fn holding(&self) -> Holding {
        match (&self.link, self.claim) {
            (None, _) => Holding::NoLink,
            (Some(_), Claim::None) => Holding::Link,
            (Some(_), Claim::SentOn) => Holding::Redirected,
            (Some(_), Claim::Attaching { .. }) => Holding::Claiming,
            (Some(_), Claim::Active(_)) => Holding::Active,
            (Some(_), Claim::Releasing(_)) => Holding::Releasing,
        }
    }

    fn attach(&mut self, now: Instant, owners: &dyn Owners, fx: &mut Effects) {
        let (Some(link), Some(acting)) = (&self.link, &self.acting) else { return };
        self.claim = Claim::Attaching { retry_at: None };
        if let Some(session) = &mut self.session {
            session.reopen(now);
        }
        let attach = Attach {
            roster: owners.roster(),
            last_fence: self.last_fence,
            sees_down: self.refused_for.clone().filter(|present| owners.is_down(present)),
            handover_token: None,
            standbys: acting.to_dial(),
        };
        self.told_standbys.clone_from(&attach.standbys);
        fx.send(link.link, attach);
    }

    /// Gives the worker up, once no handler has anything in hand: what it has is acknowledged first, so that the next
    /// owner neither loses it nor sees it again.
    fn release_when_quiet(&mut self, now: Instant, fx: &mut Effects) {
        let (Claim::Releasing(fence), Some(link), Some(acting)) = (self.claim, &self.link, &self.acting)
        else {
            return;
        };
        if self.followed.as_ref().is_some_and(|followed| !followed.is_quiet()) {
            return;
        }
        fx.send(link.link, Release { fence, owner: acting.as_standby() });
        self.claim = Claim::SentOn;
        if let Some(session) = &mut self.session {
            session.retire(now);
        }
        let generation = link.boot.generation;
        self.follow_anew(generation, fx);
        self.set_status(NodeStatus::Connecting, fx);
    }

    fn follow_anew(&mut self, generation: Generation, fx: &mut Effects) {
        self.followed = Some(Followed::new(self.worker.clone(), generation));
        fx.event(ControlEvent::Forgotten(self.worker.clone()));
    }

    /// A frame has come from the worker.
    ///
    /// # Errors
    /// A [`Violation`]: the frame had no effect; close the link.
    pub(crate) fn handle_frame(
        &mut self,
        now: Instant,
        lane: Lane,
        frame: &Frame,
        owners: &dyn Owners,
        fx: &mut Effects,
    ) -> Result<(), Violation> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let message = match session.admit(now, lane, frame)? {
            Admitted::Message(message) => message,
            Admitted::Stale(_) => return Ok(()),
        };
        match message {
            // Also after the claim was given up: the worker grants a refused one when its owner goes. The plan says what
            // becomes of it.
            Message::Attached(attached) if !matches!(self.claim, Claim::Active(_) | Claim::Releasing(_)) => {
                return self.handle_attached(now, &attached, owners, fx);
            }
            Message::Nack(nack) => self.handle_nack(now, nack.present, nack.fence),
            Message::TaskSnapshot(snapshot) => {
                let Some(followed) = &mut self.followed else { return Ok(()) };
                let fence = snapshot.fence;
                if let Some(handled) = followed.resume(snapshot)? {
                    self.ack(fence, handled, fx);
                }
                self.welcome_events(fence, owners, fx);
            }
            Message::StandDown(_) => self.stand_down(now, owners, fx),
            Message::Report(report) => self.set_status(report.status, fx),
            Message::Outcome(outcome) => self.handle_outcome(&outcome.id, outcome.outcome, fx),
            Message::Event(event) => {
                let Some(followed) = &mut self.followed else { return Ok(()) };
                let task = event.task.clone();
                if followed.receive(event)? {
                    fx.event(ControlEvent::Redelivered(1));
                }
                // On its way out the proxy starts no handler any more; what waits goes to the next owner.
                if matches!(self.claim, Claim::Active(_)) {
                    followed.dispatch(&task, fx);
                }
            }
            other => return Err(Violation::NotPermitted(other.kind())),
        }
        Ok(())
    }

    fn handle_attached(
        &mut self,
        now: Instant,
        attached: &Attached,
        owners: &dyn Owners,
        fx: &mut Effects,
    ) -> Result<(), Violation> {
        if attached.fence <= self.last_fence {
            return Err(Violation::OutOfOrder(crate::wire::Kind::Attached));
        }
        if let Some(followed) = &mut self.followed {
            followed.begin(attached.tasks)?;
        }
        if let Some(session) = &mut self.session {
            session.grant(now, attached.fence);
        }
        self.last_fence = attached.fence;
        self.claim = Claim::Active(attached.fence);
        self.refused_for = None;
        if let Some(link) = &self.link {
            fx.event(ControlEvent::OpenEventLane(link.link));
        }
        self.set_status(attached.status, fx);
        self.welcome_events(attached.fence, owners, fx);
        // The plan may have changed while the claim was under way.
        self.follow_plan(now, owners, fx);
        Ok(())
    }

    /// Once the worker has said how far each log is, the first beat tells it that its events are welcome: on another lane
    /// they would otherwise overtake what says where they begin.
    fn welcome_events(&self, fence: Fence, owners: &dyn Owners, fx: &mut Effects) {
        if let (Some(link), Some(followed)) = (&self.link, &self.followed)
            && followed.is_resumed()
        {
            fx.send(link.link, Beat { fence, roster: owners.roster(), standbys: None });
        }
    }

    fn handle_nack(&mut self, now: Instant, present: NodeId, fence: Fence) {
        if matches!(self.claim, Claim::Attaching { .. }) {
            self.last_fence = self.last_fence.max(fence);
            self.refused_for = Some(present);
            self.claim = Claim::Attaching { retry_at: Some(now + CLAIM_RETRY) };
        }
    }

    fn stand_down(&mut self, now: Instant, owners: &dyn Owners, fx: &mut Effects) {
        self.claim = Claim::SentOn;
        if let Some(session) = &mut self.session {
            session.retire(now);
        }
        if let Some(followed) = &mut self.followed {
            followed.lose();
        }
        self.set_status(NodeStatus::Connecting, fx);
        self.follow_plan(now, owners, fx);
    }

    fn handle_outcome(&mut self, id: &CallId, outcome: Outcome, fx: &mut Effects) {
        if matches!(outcome, Outcome::NotExecuted(_))
            && let Some(followed) = &mut self.followed
        {
            followed.forget(&TaskId(id.clone()));
        }
        self.in_flight.reply(id, outcome, fx);
    }

    /// A call has come for the worker. It is answered with exactly one [`ControlEvent::Reply`].
    pub(crate) fn handle_call(&mut self, now: Instant, call: ProxyCall, fx: &mut Effects) {
        let refused = match (&self.link, self.claim) {
            (Some(link), Claim::Active(_)) if link.boot.generation != call.generation => {
                Reason::OtherGeneration
            }
            (Some(_), Claim::Active(_)) if self.in_flight.is_full() => Reason::Busy(Cap::CallsInFlight),
            (Some(link), Claim::Active(fence)) => {
                if let (Verb::Start { class, .. }, Some(followed)) = (&call.verb, &mut self.followed) {
                    followed.open(TaskId(call.id.clone()), class.clone());
                }
                self.in_flight.insert(call.id.clone(), call.deadline);
                let remaining = call.deadline.saturating_duration_since(now);
                let remaining_ms = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
                let ProxyCall { id, generation, verb, .. } = call;
                return fx.send(link.link, Call { id, fence, generation, remaining_ms, verb });
            }
            _ if self.hosting() == Hosting::NotConnected => Reason::NotConnected,
            _ => Reason::NotHosted,
        };
        fx.event(ControlEvent::Reply(call.id, Outcome::NotExecuted(refused)));
    }

    /// The caller of a call went away.
    pub(crate) fn handle_cancel(&mut self, id: &CallId, fx: &mut Effects) {
        if let Some(link) = &self.link
            && self.in_flight.contains(id)
        {
            fx.send(link.link, Cancel { id: id.clone() });
        }
    }

    /// A handler has returned.
    pub(crate) fn handle_handled(
        &mut self,
        now: Instant,
        task: &TaskId,
        through: u64,
        checkpoint: Option<bytes::Bytes>,
        fx: &mut Effects,
    ) {
        let Some(followed) = &mut self.followed else { return };
        let Some(handled) = followed.handled(task, through, checkpoint) else { return };
        match self.claim {
            Claim::Active(fence) => {
                followed.dispatch(task, fx);
                self.ack(fence, handled, fx);
            }
            Claim::Releasing(fence) => {
                self.ack(fence, handled, fx);
                self.release_when_quiet(now, fx);
            }
            Claim::None | Claim::SentOn | Claim::Attaching { .. } => {}
        }
    }

    fn ack(&self, fence: Fence, handled: Handled, fx: &mut Effects) {
        if let Some(link) = &self.link {
            let Handled { task, through, checkpoint } = handled;
            fx.send(link.link, Ack { fence, task, through, checkpoint });
        }
    }

    fn set_status(&mut self, status: NodeStatus, fx: &mut Effects) {
        self.status = status;
        let hosted = self.serving().map(|(_, fence, _)| fence);
        if self.told_status.replace((status, hosted)) == Some((status, hosted)) {
            return;
        }
        fx.event(ControlEvent::Status { worker: self.worker.clone(), status, hosted });
    }

    /// When to call [`Proxy::handle_timeout`].
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let retry = match self.claim {
            Claim::Attaching { retry_at } => retry_at,
            _ => None,
        };
        let lost = self.lost_at.map(|at| at + LOST_PROXY_KEPT);
        let session = self.session.as_ref().filter(|_| self.beats()).and_then(Session::poll_timeout);
        [retry, lost, session, self.in_flight.poll_timeout()].into_iter().flatten().min()
    }

    /// Whether the session's silence means anything: a worker that was sent on, or another control node that this one
    /// does not own, owes no sign of life; its link has a keep-alive of its own.
    fn beats(&self) -> bool {
        !matches!(self.claim, Claim::None | Claim::SentOn)
    }

    /// Does what the time asks for. Says whether the proxy is done with and can be dropped.
    pub(crate) fn handle_timeout(&mut self, now: Instant, owners: &dyn Owners, fx: &mut Effects) -> bool {
        self.in_flight.handle_timeout(now, fx);
        if let Claim::Attaching { retry_at: Some(at) } = self.claim
            && at <= now
        {
            self.claim = Claim::None;
            self.follow_plan(now, owners, fx);
        }
        while self.beats()
            && let Some(session) = &mut self.session
            && let Some(timeout) = session.handle_timeout(now)
        {
            let link = session.link();
            match (timeout, session.fence()) {
                // The first beat says that events are welcome, which they are once every log is known.
                (SessionTimeout::Beat, Some(_))
                    if !self.followed.as_ref().is_some_and(Followed::is_resumed) => {}
                (SessionTimeout::Beat, Some(fence)) => {
                    let standbys = self.acting.as_ref().map(Acting::to_dial);
                    let changed = standbys.filter(|standbys| *standbys != self.told_standbys);
                    if let Some(standbys) = &changed {
                        self.told_standbys.clone_from(standbys);
                    }
                    fx.send(link, Beat { fence, roster: owners.roster(), standbys: changed });
                }
                (SessionTimeout::Beat | SessionTimeout::Ended, _) => break,
                (SessionTimeout::Lost, _) => {
                    fx.event(ControlEvent::CloseLink(link, "the worker has been silent"));
                    self.lose(now, fx);
                }
            }
        }
        self.lost_at.is_some_and(|at| now >= at + LOST_PROXY_KEPT)
    }
}
