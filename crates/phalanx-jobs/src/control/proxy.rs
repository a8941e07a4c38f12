//! The control-side end of one worker's session: claim and serve. How it is given away is in `giving`.

use std::collections::VecDeque;
use std::time::Instant;

use phalanx_base::{Boot, Fence, Generation, Labels, Lane, NodeId, NodeStatus, Role, Usage, planted};

use super::events::Followed;
use super::following::serves_events;
use super::in_flight::InFlight;
use super::mass::Standing;
use super::{BlockReason, ControlEvent, Effects};
use crate::config::{CLAIM_RETRY, Config, LINGER, LOST_PROXY_KEPT, OFFER_RETRY};
use crate::lifecycle::EndSummary;
use crate::ownership::{Acting, Giving, Holding, Owners, Stage, Step, Steward};
use crate::session::{Admitted, LinkId, Session, SessionTimeout, Side, Violation};
use crate::wire::{
    Attach, Attached, Beat, ClassName, Frame, HostedWorker, Hosting, Message, Offer, Redirect, Standby,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claim {
    /// None is made.
    None,
    /// The worker has been sent to its owner, by a redirect or a release.
    SentOn,
    /// Attach is under way; if refused, until then.
    Attaching { retry_at: Option<Instant> },
    /// Accepted under this fence.
    Active(Fence),
    /// Accepted under this fence, and being given to another control node.
    Giving(Fence, Giving),
}

/// What a worker has said of itself.
#[derive(Debug, Default)]
struct Said {
    tasks: u32,
    labels: Labels,
    classes: Vec<ClassName>,
    usage: Usage,
}

/// One worker's proxy. See the module's page.
#[derive(Debug)]
pub struct Proxy {
    pub(super) worker: NodeId,
    pub(super) link: Option<WorkerLink>,
    session: Option<Session>,
    pub(super) claim: Claim,
    last_fence: Fence,
    /// The present owner that the worker named when it refused.
    refused_for: Option<NodeId>,
    /// The acting owner that the worker cannot reach, while this node claims it in that one's place.
    stands_in_for: Option<NodeId>,
    status: NodeStatus,
    /// What the worker said of itself last.
    said: Said,
    /// What was said last of how the worker is.
    told_status: Option<(NodeStatus, Option<Fence>)>,
    pub(super) in_flight: InFlight,
    pub(super) followed: Option<Followed>,
    /// The logs of earlier boots, while their handlers are told the end.
    pub(super) closing: VecDeque<Followed>,
    pub(super) acting: Option<Acting>,
    /// What the present owner has offered, and how long that is worth something.
    pub(super) offer: Option<(Offer, Instant)>,
    /// The last offer that was declined, by boot of the worker, fence and number: a copy of it that comes late is not taken
    /// either, since its giver goes on.
    pub(super) declined: Option<(Generation, Fence, u64)>,
    /// The last offer that was taken: a copy of it is not declined, since its giver must not go on.
    pub(super) taken: Option<(Generation, Fence, u64)>,
    /// Who has asked for the worker before it was to be given away, and when.
    pub(super) wanted_by: Option<(NodeId, Instant)>,
    /// How many offers this node has made of the worker.
    pub(super) offers: u64,
    /// A handover has failed: until then none is tried.
    pub(super) rest_until: Option<Instant>,
    /// Why the last handover to the acting owner has failed, and since when that has been so.
    pub(super) failed: Option<(BlockReason, Instant)>,
    told_standbys: Vec<Standby>,
    pub(super) lost_at: Option<Instant>,
    /// The worker was hosted here, and did not say that it would stop when its link was lost.
    pub(super) is_missed: bool,
    /// How the worker stood to this node when its shard counted it last.
    pub(super) counted: Standing,
    /// The worker has another owner: until then outcomes of what was sent before may come over this link.
    linger_until: Option<Instant>,
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
            stands_in_for: None,
            status: NodeStatus::Connecting,
            said: Said::default(),
            told_status: None,
            in_flight: InFlight::default(),
            followed: None,
            closing: VecDeque::new(),
            acting: None,
            offer: None,
            declined: None,
            taken: None,
            wanted_by: None,
            offers: 0,
            rest_until: None,
            failed: None,
            told_standbys: Vec::new(),
            lost_at: None,
            is_missed: false,
            counted: Standing::default(),
            linger_until: None,
        }
    }

    /// How this node stands to the worker.
    #[must_use]
    pub fn hosting(&self) -> Hosting {
        match (&self.link, self.fence()) {
            (Some(link), Some(fence)) => Hosting::Hosted { fence, generation: link.boot.generation },
            (Some(_), None) => Hosting::Between,
            // Also one that was sent on: it keeps this link until it is attached elsewhere, or gone.
            (None, _) => Hosting::NotConnected,
        }
    }

    /// The link under the present fence, and that fence: for transfers.
    #[must_use]
    pub fn serving(&self) -> Option<(LinkId, Fence, Generation)> {
        let (link, fence) = (self.link.as_ref()?, self.fence()?);
        Some((link.link, fence, link.boot.generation))
    }

    /// What is known of the worker, while this node hosts its proxy.
    pub(crate) fn hosted(&self) -> Option<HostedWorker> {
        let (_, fence, generation) = self.serving()?;
        let Said { tasks, labels, classes, usage } = &self.said;
        Some(HostedWorker {
            worker: self.worker.clone(),
            generation,
            fence,
            status: self.status,
            tasks: *tasks,
            labels: labels.clone(),
            classes: classes.clone(),
            usage: *usage,
        })
    }

    /// Whether nothing of the worker is here that another owner should have, and no call is under way.
    pub(crate) fn is_let_go(&self, owners: &dyn Owners) -> bool {
        let elsewhere = self.acting.as_ref().is_some_and(|acting| !owners.is_me(&acting.node));
        self.in_flight.is_empty() && !(elsewhere && self.fence().is_some())
    }

    /// The present fence, while this node holds it.
    pub(super) fn fence(&self) -> Option<Fence> {
        match self.claim {
            Claim::Active(fence) | Claim::Giving(fence, _) => Some(fence),
            Claim::None | Claim::SentOn | Claim::Attaching { .. } => None,
        }
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
            self.lose(now, false, fx);
        }
        if self.generation() != Some(link.boot.generation) {
            self.last_fence = Fence::default();
            self.offer = None;
            self.close_logs(now, link.boot.generation, fx);
        }
        let link_shared = (link.link, link.role == Role::Control);
        let boot = link.boot.clone();
        self.session = Some(Session::new(now, Side::Control, boot, &self.worker, link_shared, config));
        self.link = Some(link);
        (self.lost_at, self.is_missed) = (None, false);
        self.claim = Claim::None;
        (self.refused_for, self.stands_in_for) = (None, None);
        self.follow_plan(now, owners, fx);
        if !matches!(self.claim, Claim::Attaching { .. }) {
            // It tells somebody else what of its earlier boots goes on.
            self.tell_lost(now, fx);
        }
    }

    /// The link is lost. In-flight calls are answered now, and the worker is `NotConnected`.
    pub(crate) fn handle_link_lost(&mut self, now: Instant, link: LinkId, left: bool, fx: &mut Effects) {
        if self.link.as_ref().is_some_and(|present| present.link == link) {
            self.lose(now, left, fx);
        }
    }

    fn lose(&mut self, now: Instant, left: bool, fx: &mut Effects) {
        let hosted = self.fence().is_some();
        self.session = None;
        self.lost_at = Some(now);
        assert!(!planted!("panic-on-loss") || self.in_flight.is_empty(), "calls are under way");
        self.in_flight.lose_all(fx);
        if let Some(followed) = &mut self.followed {
            followed.lose();
        }
        self.tell_lost(now, fx);
        if self.claim != Claim::SentOn {
            self.claim = Claim::None;
        }
        self.link = None;
        self.is_missed =
            hosted && !left && !matches!(self.status, NodeStatus::Stopping | NodeStatus::Stopped);
        if hosted {
            self.set_status(if left { NodeStatus::Stopped } else { NodeStatus::NotConnected }, fx);
        }
    }

    /// The boot of the worker whose events are followed.
    pub(crate) fn generation(&self) -> Option<Generation> {
        self.followed.as_ref().map(Followed::generation)
    }

    /// Does what the plan asks for: claim, redirect, release, or nothing.
    pub(crate) fn follow_plan(&mut self, now: Instant, owners: &dyn Owners, fx: &mut Effects) {
        let acting = owners.acting(&self.worker);
        if acting.as_ref().map(|acting| &acting.node) != self.acting.as_ref().map(|acting| &acting.node) {
            self.failed = None;
        }
        self.acting = acting;
        let mine = self.acting.as_ref().is_some_and(|acting| {
            let stands_in = self.fence().is_none() && self.stands_in_for.as_ref() == Some(&acting.node);
            owners.is_me(&acting.node) || stands_in
        });
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
            // The shard starts it, at its pace.
            Step::Give => {}
            Step::Keep => self.keep(now, fx),
        }
    }

    fn holding(&self) -> Holding {
        if self.link.is_none() {
            return Holding::NoLink;
        }
        match &self.claim {
            Claim::None => Holding::Link,
            Claim::SentOn => Holding::Redirected,
            Claim::Attaching { .. } => Holding::Claiming,
            Claim::Active(_) => Holding::Active,
            Claim::Giving(_, giving) if giving.stage() == Stage::Offered => Holding::Offered,
            Claim::Giving(_, giving) => match &self.acting {
                Some(acting) if acting.node == *giving.to() => Holding::Giving,
                _ => Holding::GivingAstray,
            },
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
            handover_token: self.valid_offer(now).map(|offer| offer.token.clone()),
            standbys: acting.to_dial(),
        };
        self.told_standbys.clone_from(&attach.standbys);
        fx.send(link.link, attach);
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
            Message::Attached(attached) if self.fence().is_none() => {
                return self.handle_attached(now, attached, owners, fx);
            }
            Message::Nack(nack) => self.handle_nack(now, nack.present, nack.fence, owners, fx),
            Message::TaskSnapshot(snapshot) => {
                let Some(followed) = &mut self.followed else { return Ok(()) };
                let (fence, task) = (snapshot.fence, snapshot.task.clone());
                let handled = followed.resume(snapshot)?;
                followed.note_started(&task, fx);
                if let Some(handled) = handled {
                    self.ack(fence, handled, fx);
                }
                self.welcome_events(now, fence, owners, fx);
            }
            Message::Stranded(stranded) => self.handle_stranded(now, stranded.owner, owners, fx),
            Message::StandDown(_) => self.stand_down(now, owners, fx),
            Message::Report(report) => {
                self.said.tasks = report.tasks;
                if let Some(labels) = report.labels {
                    self.said.labels = labels;
                    fx.event(ControlEvent::Labelled(self.worker.clone()));
                }
                self.set_status(report.status, fx);
            }
            Message::Gauge(gauge) => self.said.usage = gauge.usage,
            Message::Outcome(outcome) => self.handle_outcome(&outcome.id, outcome.outcome, fx),
            Message::Event(event) => {
                let task = event.task.clone();
                self.ack_too_early(&event, fx);
                let Some(followed) = &mut self.followed else { return Ok(()) };
                let end = event.body.end().map(EndSummary::from);
                match followed.receive(event)? {
                    true => fx.event(ControlEvent::Redelivered(1)),
                    false => followed.note_received(&task, end, fx),
                }
                if serves_events(&self.claim) {
                    followed.dispatch(now, &task, fx);
                }
            }
            other => return Err(Violation::NotPermitted(other.kind())),
        }
        Ok(())
    }

    fn handle_attached(
        &mut self,
        now: Instant,
        attached: Attached,
        owners: &dyn Owners,
        fx: &mut Effects,
    ) -> Result<(), Violation> {
        if attached.fence <= self.last_fence {
            return Err(Violation::OutOfOrder(crate::wire::Kind::Attached));
        }
        let states = self.valid_offer(now).map(|offer| offer.states.clone());
        self.offer = None;
        if let Some(followed) = &mut self.followed {
            followed.expect_states(states.unwrap_or_default());
            followed.begin(attached.tasks)?;
        }
        if let Some(session) = &mut self.session {
            session.grant(now, attached.fence);
        }
        self.last_fence = attached.fence;
        self.claim = Claim::Active(attached.fence);
        (self.refused_for, self.rest_until, self.linger_until, self.failed) = (None, None, None, None);
        self.stands_in_for = None;
        if let Some(link) = &self.link {
            fx.event(ControlEvent::OpenEventLane(link.link));
        }
        let Attached { tasks, labels, classes, .. } = attached;
        self.said = Said { tasks, labels, classes, usage: Usage::default() };
        self.set_status(attached.status, fx);
        self.welcome_events(now, attached.fence, owners, fx);
        // The plan may have changed while the claim was under way.
        self.follow_plan(now, owners, fx);
        Ok(())
    }

    /// Once the worker has said how far each log is, the first beat tells it that its events are welcome: on another lane
    /// they would otherwise overtake what says where they begin.
    fn welcome_events(&mut self, now: Instant, fence: Fence, owners: &dyn Owners, fx: &mut Effects) {
        if let (Some(link), Some(followed)) = (&self.link, &self.followed)
            && followed.is_resumed()
        {
            fx.send(link.link, Beat { fence, roster: owners.roster(), standbys: None });
            self.tell_lost(now, fx);
        }
    }

    /// The worker cannot reach its acting owner, which lives: this node claims it, and gives it to that one once the two have a
    /// link. Of several that stand in the worker takes the first.
    fn handle_stranded(&mut self, now: Instant, owner: NodeId, owners: &dyn Owners, fx: &mut Effects) {
        let named = self.acting.as_ref().is_some_and(|acting| acting.node == owner);
        if named && self.fence().is_none() && !owners.is_me(&owner) && !owners.is_leaving() {
            tracing::info!(worker = %self.worker, %owner, "the worker cannot reach its owner: this node stands in");
            self.stands_in_for = Some(owner);
            self.follow_plan(now, owners, fx);
        }
    }

    /// The worker has another live owner: that one is asked for it, unless it has offered it already.
    fn handle_nack(
        &mut self,
        now: Instant,
        present: NodeId,
        fence: Fence,
        owners: &dyn Owners,
        fx: &mut Effects,
    ) {
        if !matches!(self.claim, Claim::Attaching { .. }) {
            return;
        }
        self.last_fence = self.last_fence.max(fence);
        let stood_in_for = self.stands_in_for.take();
        if stood_in_for.is_some() && stood_in_for.as_ref() == self.acting.as_ref().map(|acting| &acting.node)
        {
            // The worker needs nobody to stand in any more.
            return self.claim = Claim::SentOn;
        }
        let offered = self.valid_offer(now).is_some_and(|offer| offer.fence == fence);
        let retry = if offered { OFFER_RETRY } else { CLAIM_RETRY };
        if !offered {
            self.offer = None;
            self.want(&present, owners, fx);
        }
        self.refused_for = Some(present);
        self.claim = Claim::Attaching { retry_at: Some(now + retry) };
    }

    fn stand_down(&mut self, now: Instant, owners: &dyn Owners, fx: &mut Effects) {
        let given = matches!(self.claim, Claim::Giving(..));
        self.claim = Claim::SentOn;
        self.retire(now);
        self.tell_lost(now, fx);
        match (given, self.generation()) {
            (true, Some(generation)) => self.follow_anew(generation, fx),
            _ => self.followed.iter_mut().for_each(Followed::lose),
        }
        self.set_status(NodeStatus::Connecting, fx);
        self.follow_plan(now, owners, fx);
    }

    /// The session only carries replies from now on.
    pub(super) fn retire(&mut self, now: Instant) {
        self.linger_until = Some(now + LINGER);
        if let Some(session) = &mut self.session {
            session.retire(now);
        }
    }

    pub(super) fn set_status(&mut self, status: NodeStatus, fx: &mut Effects) {
        self.status = status;
        let hosted = self.serving().map(|(_, fence, _)| fence);
        if self.told_status.replace((status, hosted)) == Some((status, hosted)) {
            return;
        }
        fx.event(ControlEvent::Status { worker: self.worker.clone(), status, hosted });
    }

    /// Whether the worker has no link here, and had one.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost_at.is_some()
    }

    /// When to call [`Proxy::handle_timeout`].
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let step = match &self.claim {
            Claim::Attaching { retry_at } => *retry_at,
            Claim::Giving(_, giving) => Some(giving.until()),
            _ => self.rest_until,
        };
        let lost = self.lost_at.map(|at| at + LOST_PROXY_KEPT);
        let session = self.session.as_ref().filter(|_| self.beats()).and_then(Session::poll_timeout);
        [step, lost, session, self.linger_until, self.in_flight.poll_timeout()].into_iter().flatten().min()
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
        self.rest_until.take_if(|until| *until <= now);
        // Whoever waits longer asks the next owner, with the same id.
        if self.linger_until.take_if(|until| *until <= now).is_some() {
            self.in_flight.lose_all(fx);
        }
        if matches!(&self.claim, Claim::Giving(_, giving) if giving.until() <= now) {
            self.give_up_giving(now, None, fx);
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
                    self.lose(now, false, fx);
                }
            }
        }
        self.lost_at.is_some_and(|at| now >= at + LOST_PROXY_KEPT)
    }
}
