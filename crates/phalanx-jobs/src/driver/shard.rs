//! Runs one shard: the proxies of many workers on one task.

use std::collections::BTreeMap;
use std::sync::Arc;

use phalanx_base::{Fence, Generation, Lane, NodeId, NodeStatus, Spawn};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::alarm::Alarm;
use super::control::WorkerChange;
use super::handling::{Handled, States};
use super::mass::ShardLosses;
use super::streams::{StreamEvent, Streams};
use super::{BURST_MAX, listing, now, peers};
use crate::carrier::Carrier;
use crate::config::Config;
use crate::control::{ControlEvent, DrainProgress, LossCounts, ProxyCall, ShardCore, WorkerLink};
use crate::outcome::Outcome;
use crate::ownership::Owners;
use crate::registry::EventHandlers;
use crate::session::LinkId;
use crate::wire::{CallId, Declined, HostedWorker, Hosting, Message, Offer, Opening, Wanted};

/// Where a transfer to a worker goes: its link, and what the opening must carry.
pub(super) struct Serving {
    pub(super) carrier: Arc<dyn Carrier>,
    pub(super) fence: Fence,
    pub(super) generation: Generation,
}

/// What a shard is told and asked.
pub(super) enum Input {
    Link(Arc<dyn Carrier>),
    /// Whether the worker has said that it stops.
    LinkLost(LinkId, bool),
    Owners(Arc<dyn Owners>),
    Call(NodeId, ProxyCall, oneshot::Sender<Outcome>),
    Cancel(NodeId, CallId),
    Hosting(NodeId, oneshot::Sender<Hosting>),
    Serving(NodeId, oneshot::Sender<Option<Serving>>),
    Workers(oneshot::Sender<Vec<(NodeId, NodeStatus, Option<Fence>)>>),
    Hosted(NodeId, oneshot::Sender<Option<HostedWorker>>),
    Page(Option<NodeId>, oneshot::Sender<(Vec<HostedWorker>, bool)>),
    Forget(NodeId, oneshot::Sender<crate::Forgotten>),
    WhenEmptyHanded(oneshot::Sender<()>),
    ReleaseAll,
    DrainProgress(oneshot::Sender<DrainProgress>),
    Handled(Handled),
    Wanted(NodeId, Wanted),
    Offer(NodeId, Offer),
    Declined(NodeId, Declined),
}

/// What a shard runs with.
pub(super) struct ShardSettings {
    pub(super) config: Config,
    pub(super) owners: Arc<dyn Owners>,
    pub(super) handlers: EventHandlers,
    pub(super) spawn: Arc<dyn Spawn>,
    pub(super) changes: broadcast::Sender<WorkerChange>,
    /// How many shards share the pace of moves.
    pub(super) shards: usize,
    /// Which of them this one is, and where each of them says what it has lost.
    pub(super) losses: (usize, ShardLosses),
    /// Weak, since the peers hold the shards.
    pub(super) peers: mpsc::WeakSender<peers::Input>,
}

pub(super) struct Shard {
    core: ShardCore,
    streams: Streams,
    states: States,
    replies: BTreeMap<CallId, oneshot::Sender<Outcome>>,
    inbox: mpsc::Receiver<Input>,
    own_inbox: mpsc::WeakSender<Input>,
    spawn: Arc<dyn Spawn>,
    changes: broadcast::Sender<WorkerChange>,
    peers: mpsc::WeakSender<peers::Input>,
    losses: (usize, ShardLosses),
    told_losses: LossCounts,
    /// Who waits until this shard may go: one for each caller of `handed_over`.
    leavers: Vec<oneshot::Sender<()>>,
    alarm: Alarm,
}

impl Shard {
    pub(super) fn new(
        settings: ShardSettings,
        inbox: mpsc::Receiver<Input>,
        own_inbox: mpsc::WeakSender<Input>,
    ) -> Self {
        Self {
            core: ShardCore::new(settings.config, settings.owners, settings.shards),
            streams: Streams::new(Some(Opening::Session)),
            states: States::new(settings.handlers),
            replies: BTreeMap::new(),
            inbox,
            own_inbox,
            spawn: settings.spawn,
            changes: settings.changes,
            peers: settings.peers,
            losses: settings.losses,
            told_losses: LossCounts::default(),
            leavers: Vec::new(),
            alarm: Alarm::default(),
        }
    }

    pub(super) async fn run(mut self) {
        while self.turn().await {}
    }

    async fn turn(&mut self) -> bool {
        self.alarm.set(self.core.poll_timeout());
        let mut input = None;
        tokio::select! {
            biased;
            event = self.streams.next() => self.handle_streams(event),
            message = self.inbox.recv() => match message {
                Some(message) => input = Some(message),
                None => return false,
            },
            () = self.alarm.wait() => {}
        }
        let mut taken = 0;
        while let Some(message) = input.take().or_else(|| self.inbox.try_recv().ok()) {
            self.handle_input(message);
            taken += 1;
            if taken >= BURST_MAX {
                break;
            }
        }
        if self.core.poll_timeout().is_some_and(|at| at <= now()) {
            self.core.handle_timeout(now());
        }
        self.drain();
        true
    }

    /// Handles what has come, and what more has come meanwhile.
    fn handle_streams(&mut self, first: StreamEvent) {
        let mut event = Some(first);
        for _ in 0..BURST_MAX {
            let Some(event) = event.take().or_else(|| self.streams.ready()) else { break };
            self.handle_stream(event);
        }
    }

    fn handle_stream(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Frame(link, lane, frame) => self.core.handle_frame(now(), link, lane, &frame),
            // Who holds the link says what became of it, and why: a worker that left is not one that was lost.
            StreamEvent::Lost(link) => {
                if let Some(carrier) = self.streams.carrier(link) {
                    carrier.close("a stream was lost");
                }
            }
        }
    }

    fn handle_input(&mut self, input: Input) {
        match input {
            Input::Link(carrier) => {
                let (link, boot, role) = (carrier.id(), carrier.peer().clone(), carrier.role());
                self.streams.add_link(carrier);
                self.core.handle_link(now(), WorkerLink { link, boot, role });
            }
            Input::LinkLost(link, left) => self.forget_link(link, left),
            Input::Hosted(worker, reply) => drop(reply.send(self.core.hosted(&worker))),
            Input::Page(after, reply) => drop(reply.send(listing::page(&self.core, after.as_ref()))),
            Input::WhenEmptyHanded(reply) => {
                self.leavers.retain(|leaver| !leaver.is_closed());
                self.leavers.push(reply);
            }
            Input::Forget(worker, reply) => drop(reply.send(self.core.handle_forget(&worker))),
            Input::ReleaseAll => self.core.release_all(now()),
            Input::DrainProgress(reply) => drop(reply.send(self.core.drain_progress(now()))),
            Input::Owners(owners) => self.core.handle_owners(now(), owners),
            Input::Call(worker, call, reply) => {
                self.replies.insert(call.id.clone(), reply);
                self.core.handle_call(now(), &worker, call);
            }
            Input::Cancel(worker, id) => self.core.handle_cancel(&worker, &id),
            // Whoever asked and went away wants no answer.
            Input::Hosting(worker, reply) => drop(reply.send(self.core.hosting(&worker))),
            Input::Serving(worker, reply) => drop(reply.send(self.serving(&worker))),
            Input::Workers(reply) => {
                let workers =
                    self.core.workers().map(|(worker, status, hosted)| (worker.clone(), status, hosted));
                drop(reply.send(workers.collect()));
            }
            Input::Handled(handled) => self.handle_handled(handled),
            Input::Wanted(by, wanted) => self.core.handle_wanted(now(), &by, &wanted),
            Input::Offer(from, offer) => self.core.handle_offer(now(), from, offer),
            Input::Declined(by, declined) => self.core.handle_declined(now(), &by, &declined),
        }
    }

    fn serving(&self, worker: &NodeId) -> Option<Serving> {
        let (link, fence, generation) = self.core.serving(worker)?;
        Some(Serving { carrier: self.streams.carrier(link)?.clone(), fence, generation })
    }

    fn handle_handled(&mut self, handled: Handled) {
        let Handled { worker, generation, task, through, checkpoint, state } = handled;
        if let Some(state) = state
            && self.core.follows(&worker, generation, &task)
        {
            self.states.keep(worker.clone(), task.clone(), state);
        }
        self.core.handle_handled(now(), &worker, generation, &task, through, checkpoint);
    }

    fn close_link(&mut self, link: LinkId, why: &str) {
        if let Some(carrier) = self.streams.carrier(link) {
            carrier.close(why);
        }
        self.forget_link(link, false);
    }

    fn forget_link(&mut self, link: LinkId, left: bool) {
        self.streams.remove_link(link);
        self.core.handle_link_lost(now(), link, left);
    }

    fn drain(&mut self) {
        loop {
            if let Some(transmit) = self.core.poll_transmit() {
                if !self.streams.push(transmit.link, transmit.lane, transmit.frame) {
                    self.close_link(transmit.link, "the worker does not read");
                }
            } else if let Some(event) = self.core.poll_event() {
                self.handle_event(event);
            } else {
                break;
            }
        }
        let counts = self.core.losses();
        if self.told_losses != counts {
            self.told_losses = counts;
            let (number, losses) = &self.losses;
            losses.send_modify(|all| all[*number] = counts);
        }
        if !self.leavers.is_empty() && self.core.is_empty_handed() {
            for leaver in self.leavers.drain(..) {
                // Whoever does not wait any more need not be told.
                let _ = leaver.send(());
            }
        }
    }

    fn handle_event(&mut self, event: ControlEvent) {
        match event {
            ControlEvent::OpenEventLane(link) => self.streams.open(link, Lane::Event),
            ControlEvent::Reply(id, outcome) => {
                if let Some(reply) = self.replies.remove(&id) {
                    drop(reply.send(outcome));
                }
            }
            ControlEvent::Handle(batch) => {
                // Without an inbox the shard is on its way out.
                let Some(inbox) = self.own_inbox.upgrade() else { return };
                if let Some(handled) = self.states.handle(batch, self.spawn.as_ref(), &inbox) {
                    self.handle_handled(handled);
                }
            }
            ControlEvent::Forgotten(worker) => self.states.forget(&worker),
            ControlEvent::Status { worker, status, hosted } => {
                // Nobody has to listen.
                drop(self.changes.send(WorkerChange::Status { worker, status, hosted }));
            }
            ControlEvent::TaskStarted { worker, task, class, instance } => {
                drop(self.changes.send(WorkerChange::TaskStarted { worker, task, class, instance }));
            }
            ControlEvent::TaskEnded { worker, task, class, instance, end } => {
                drop(self.changes.send(WorkerChange::TaskEnded { worker, task, class, instance, end }));
            }
            ControlEvent::Labelled(worker) => drop(self.changes.send(WorkerChange::Labelled { worker })),
            ControlEvent::Redelivered(count) => drop(self.changes.send(WorkerChange::Redelivered { count })),
            ControlEvent::Want { from, wanted } => self.tell_peer(from, wanted.into()),
            ControlEvent::Offer { to, mut offer, states_of } => {
                self.states.add(&mut offer, &states_of);
                self.tell_peer(to, offer.into());
            }
            ControlEvent::Decline { to, declined } => self.tell_peer(to, declined.into()),
            ControlEvent::CloseLink(link, why) => self.close_link(link, why),
        }
    }

    /// What finds the peers' inbox full is lost, and asked or offered again.
    fn tell_peer(&self, to: NodeId, message: Message) {
        if let Some(peers) = self.peers.upgrade() {
            let _ = peers.try_send(peers::Input::Tell(to, message));
        }
    }
}
