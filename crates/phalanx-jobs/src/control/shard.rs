//! Many proxies, one owner: a shard routes links, frames and calls to them, and keeps their timers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use phalanx_base::{Fence, Generation, Lane, NodeId, NodeStatus};

use super::drain::{Blocked, DrainProgress, Draining, Named};
use super::mass::{LossCounts, Losses, Standing};
use super::{ControlEvent, Effects, Proxy, ProxyCall, WorkerLink};
use crate::config::Config;
use crate::outcome::{Outcome, Reason};
use crate::ownership::{Owners, Pacer};
use crate::session::LinkId;
use crate::transmit::Transmit;
use crate::wire::{CallId, Declined, Frame, HostedWorker, Hosting, Offer, TaskId, Wanted};

/// How many proxies one shard holds: a million workers over 16 shards or more.
const PROXIES_MAX: usize = 65_536;

/// What became of an operator's wish that a worker be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forgotten {
    /// Nothing was known of it here.
    Unknown,
    /// What was kept for it is dropped.
    Dropped,
    /// It is linked to this node: nothing was changed.
    Connected,
}

/// When each proxy is looked at next.
///
/// A proxy wants that at the deadline of each call, and hardly any passes: so a time that is set stays until an earlier one is wanted,
/// and a proxy that is looked at without need sets it anew.
#[derive(Debug, Default)]
struct Timers {
    order: BTreeSet<(Instant, NodeId)>,
    of: BTreeMap<NodeId, Instant>,
}

impl Timers {
    fn first(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// A worker whose time has come by now.
    fn pop(&mut self, now: Instant) -> Option<NodeId> {
        let (_, worker) = self.order.first().filter(|(at, _)| *at <= now)?.clone();
        self.remove(&worker);
        Some(worker)
    }

    fn set(&mut self, worker: &NodeId, wanted: Instant) {
        if self.of.get(worker).is_none_or(|at| wanted < *at) {
            self.remove(worker);
            self.of.insert(worker.clone(), wanted);
            self.order.insert((wanted, worker.clone()));
        }
    }

    fn remove(&mut self, worker: &NodeId) {
        if let Some(at) = self.of.remove(worker) {
            self.order.remove(&(at, worker.clone()));
        }
    }
}

/// The state machine of one shard. See the module's page.
pub struct ShardCore {
    config: Config,
    owners: Arc<dyn Owners>,
    proxies: BTreeMap<NodeId, Proxy>,
    links: BTreeMap<LinkId, NodeId>,
    timers: Timers,
    pacer: Pacer,
    /// The workers that should be given away, and wait for their turn.
    waiting: BTreeSet<NodeId>,
    /// The workers that are being given away.
    giving: BTreeSet<NodeId>,
    /// What becomes of its workers, since this node began to leave.
    draining: Option<Draining>,
    losses: Losses,
    effects: Effects,
}

impl ShardCore {
    /// A shard without proxies, one of so many that share the node's pace of moves.
    #[must_use]
    pub fn new(config: Config, owners: Arc<dyn Owners>, shards: usize) -> Self {
        Self {
            pacer: Pacer::new(config.settle, shards),
            config,
            owners,
            proxies: BTreeMap::new(),
            links: BTreeMap::new(),
            timers: Timers::default(),
            waiting: BTreeSet::new(),
            giving: BTreeSet::new(),
            draining: None,
            losses: Losses::default(),
            effects: Effects::default(),
        }
    }

    /// Placement or membership has changed: each proxy follows the plan.
    pub fn handle_owners(&mut self, now: Instant, owners: Arc<dyn Owners>) {
        let down = |owners: &dyn Owners| -> Vec<NodeId> {
            owners.controls().into_iter().filter(|control| owners.is_down(control)).collect()
        };
        let seen = |owners: &dyn Owners| (owners.roster(), down(owners), owners.is_leaving());
        if seen(owners.as_ref()) != seen(self.owners.as_ref()) {
            self.pacer.handle_change(now, owners.is_leaving());
        }
        self.owners = owners;
        if !self.owners.is_leaving() {
            self.draining = None;
        } else if self.draining.is_none() {
            let hosted = self.proxies.iter().filter(|(_, proxy)| proxy.serving().is_some());
            self.draining = Some(Draining::new(now, hosted.map(|(worker, _)| worker.clone()).collect()));
        }
        for proxy in self.proxies.values_mut() {
            proxy.follow_plan(now, self.owners.as_ref(), &mut self.effects);
        }
        let workers: Vec<NodeId> = self.proxies.keys().cloned().collect();
        for worker in workers {
            self.note(&worker);
        }
        self.start_giving(now);
    }

    /// A link to a worker is up.
    pub fn handle_link(&mut self, now: Instant, link: WorkerLink) {
        let worker = link.boot.node.clone();
        if self.proxies.len() >= PROXIES_MAX && !self.proxies.contains_key(&worker) {
            let event =
                ControlEvent::CloseLink(link.link, "this control node hosts as many workers as it can");
            return self.effects.event(event);
        }
        self.links.insert(link.link, worker.clone());
        let proxy = self.proxies.entry(worker.clone()).or_insert_with(|| Proxy::new(worker.clone()));
        proxy.handle_link(now, link, &self.config, self.owners.as_ref(), &mut self.effects);
        self.note(&worker);
    }

    /// A link is lost. `left`: the worker has said that it stops, so that nobody has to look for it.
    pub fn handle_link_lost(&mut self, now: Instant, link: LinkId, left: bool) {
        self.effects.transmits.retain(|transmit| transmit.link != link);
        let Some(worker) = self.links.remove(&link) else { return };
        if let Some(proxy) = self.proxies.get_mut(&worker) {
            proxy.handle_link_lost(now, link, left, &mut self.effects);
        }
        self.note(&worker);
    }

    /// A frame has come over a link. A peer that breaks the rules loses it.
    pub fn handle_frame(&mut self, now: Instant, link: LinkId, lane: Lane, frame: &Frame) {
        let Some(worker) = self.links.get(&link).cloned() else { return };
        let Some(proxy) = self.proxies.get_mut(&worker) else { return };
        let current = proxy.link_id() == Some(link);
        let done = if current {
            proxy.handle_frame(now, lane, frame, self.owners.as_ref(), &mut self.effects)
        } else {
            Ok(())
        };
        if let Err(violation) = done {
            tracing::warn!(%worker, %violation, "closing the link to a worker that breaks the protocol");
            self.effects.event(ControlEvent::CloseLink(link, "the worker broke the protocol"));
            self.handle_link_lost(now, link, false);
        }
        self.note(&worker);
    }

    /// An operator says that a worker will not come back: what is kept for it is dropped now instead of later. One that has a
    /// link is left alone.
    pub fn handle_forget(&mut self, worker: &NodeId) -> Forgotten {
        let Some(proxy) = self.proxies.get(worker) else { return Forgotten::Unknown };
        if !proxy.is_lost() {
            return Forgotten::Connected;
        }
        self.drop_proxy(worker);
        Forgotten::Dropped
    }

    /// Lets go of a proxy that is done with.
    fn drop_proxy(&mut self, worker: &NodeId) {
        if let Some(proxy) = self.proxies.remove(worker) {
            self.losses.change(worker, proxy.counted, Standing::Away);
        }
        self.note(worker);
        self.effects.event(ControlEvent::Forgotten(worker.clone()));
    }

    /// A call has come. It is answered with exactly one [`ControlEvent::Reply`].
    pub fn handle_call(&mut self, now: Instant, worker: &NodeId, call: ProxyCall) {
        match self.proxies.get_mut(worker) {
            Some(proxy) => proxy.handle_call(now, call, &mut self.effects),
            None => {
                let outcome = Outcome::NotExecuted(Reason::NotHosted);
                self.effects.event(ControlEvent::Reply(call.id, outcome));
            }
        }
        self.note(worker);
    }

    /// The caller of a call went away.
    pub fn handle_cancel(&mut self, worker: &NodeId, id: &CallId) {
        if let Some(proxy) = self.proxies.get_mut(worker) {
            proxy.handle_cancel(id, &mut self.effects);
        }
    }

    /// The handler of a class has returned, for everything of a task up to `through`.
    pub fn handle_handled(
        &mut self,
        now: Instant,
        worker: &NodeId,
        generation: Generation,
        task: &TaskId,
        through: u64,
        checkpoint: Option<Bytes>,
    ) {
        if let Some(proxy) = self.proxies.get_mut(worker) {
            proxy.handle_handled(now, generation, task, through, checkpoint, &mut self.effects);
        }
        self.note(worker);
    }

    /// Another control node, which has a link to a worker, asks for it.
    pub fn handle_wanted(&mut self, now: Instant, by: &NodeId, wanted: &Wanted) {
        let worker = &wanted.worker;
        let Some(proxy) = self.proxies.get_mut(worker) else { return };
        // Whoever asks too early asks again.
        if self.waiting.contains(worker) && self.pacer.start(now, self.giving.len()) {
            proxy.start_giving(now, self.owners.as_ref(), &mut self.effects);
        }
        proxy.handle_wanted(now, by, wanted, &mut self.effects);
        self.note(worker);
    }

    /// The present owner offers a worker.
    pub fn handle_offer(&mut self, now: Instant, from: NodeId, offer: Offer) {
        let worker = offer.worker.clone();
        let Some(proxy) = self.proxies.get_mut(&worker) else {
            let declined = Declined { worker, fence: offer.fence, number: offer.number };
            return self.effects.event(ControlEvent::Decline { to: from, declined });
        };
        proxy.handle_offer(now, from, offer, self.owners.as_ref(), &mut self.effects);
        self.note(&worker);
    }

    /// Another control node does not take the worker that was offered to it.
    pub fn handle_declined(&mut self, now: Instant, by: &NodeId, declined: &Declined) {
        if let Some(proxy) = self.proxies.get_mut(&declined.worker) {
            proxy.handle_declined(now, by, declined, &mut self.effects);
        }
        self.note(&declined.worker);
    }

    /// Gives up at once whatever is still hosted here and has another owner: this node must go. What handlers have in hand
    /// comes again at the next owner.
    pub fn release_all(&mut self, now: Instant) {
        let (mut released, mut why) = (Vec::new(), Named::default());
        let since = self.draining.as_ref().map_or(now, Draining::since);
        for (worker, proxy) in &mut self.proxies {
            let blocked = proxy.blocked(now, since, self.owners.as_ref());
            if proxy.release(now, self.owners.as_ref(), &mut self.effects) {
                released.push(worker.clone());
                blocked.into_iter().for_each(|blocked| why.add(blocked));
            }
        }
        if let Some(draining) = &mut self.draining {
            draining.note_released(&released, why.into_vec());
        }
        for worker in &released {
            self.note(worker);
        }
    }

    /// How far this shard is with giving all its workers away. For a node that leaves; of another one nothing is counted.
    #[must_use]
    pub fn drain_progress(&self, now: Instant) -> DrainProgress {
        self.draining
            .as_ref()
            .map_or_else(DrainProgress::default, |draining| draining.progress(self.blocked(now)))
    }

    /// What holds up the workers that shall go.
    fn blocked(&self, now: Instant) -> Vec<Blocked> {
        let Some(draining) = &self.draining else { return Vec::new() };
        let mut named = Named::default();
        for proxy in self.proxies.values() {
            if let Some(blocked) = proxy.blocked(now, draining.since(), self.owners.as_ref()) {
                named.add(blocked);
            }
        }
        named.into_vec()
    }

    /// Gives away what waits for it, as far as the pace allows.
    fn start_giving(&mut self, now: Instant) {
        while let Some(worker) = self.waiting.first().cloned()
            && self.pacer.start(now, self.giving.len())
        {
            if let Some(proxy) = self.proxies.get_mut(&worker) {
                proxy.start_giving(now, self.owners.as_ref(), &mut self.effects);
            }
            self.note(&worker);
        }
    }

    /// Whether the events of a task are followed here, in that boot of the worker.
    #[must_use]
    pub fn follows(&self, worker: &NodeId, generation: Generation, task: &TaskId) -> bool {
        self.proxies.get(worker).is_some_and(|proxy| proxy.follows(generation, task))
    }

    /// How this node stands to a worker.
    #[must_use]
    pub fn hosting(&self, worker: &NodeId) -> Hosting {
        self.proxies.get(worker).map_or(Hosting::Unknown, Proxy::hosting)
    }

    /// The link under the present fence, and that fence: for transfers.
    #[must_use]
    pub fn serving(&self, worker: &NodeId) -> Option<(LinkId, Fence, Generation)> {
        self.proxies.get(worker)?.serving()
    }

    /// Each worker that this shard knows, how it is, and under which fence it is hosted here.
    pub fn workers(&self) -> impl Iterator<Item = (&NodeId, NodeStatus, Option<Fence>)> {
        self.proxies
            .iter()
            .map(|(worker, proxy)| (worker, proxy.status(), proxy.serving().map(|(_, fence, _)| fence)))
    }

    /// What is known of a worker, while it is hosted here.
    #[must_use]
    pub fn hosted(&self, worker: &NodeId) -> Option<HostedWorker> {
        self.proxies.get(worker)?.hosted()
    }

    /// What is known of each worker that is hosted here, after this name, in the order of names.
    pub fn hosted_after(&self, after: Option<&NodeId>) -> impl Iterator<Item = HostedWorker> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.proxies.range::<NodeId, _>((from, Bound::Unbounded)).filter_map(|(_, proxy)| proxy.hosted())
    }

    /// Whether nothing is hosted here that has another owner, and no call is under way: this node may go.
    #[must_use]
    pub fn is_empty_handed(&self) -> bool {
        self.proxies.values().all(|proxy| proxy.is_let_go(self.owners.as_ref()))
    }

    /// How many workers are hosted here, and how many were lost. It changes with each call of a `handle_…`.
    #[must_use]
    pub fn losses(&self) -> LossCounts {
        self.losses.counts()
    }

    /// What to send next.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.effects.transmits.pop_front()
    }

    /// What to do next.
    pub fn poll_event(&mut self) -> Option<ControlEvent> {
        self.effects.events.pop_front()
    }

    /// When to call [`ShardCore::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timer = self.timers.first();
        let pace = if self.waiting.is_empty() { None } else { self.pacer.poll_timeout(self.giving.len()) };
        [timer, pace, self.losses.poll_timeout()].into_iter().flatten().min()
    }

    /// Does what the time asks for.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(worker) = self.timers.pop(now) {
            let Some(proxy) = self.proxies.get_mut(&worker) else { continue };
            if proxy.handle_timeout(now, self.owners.as_ref(), &mut self.effects) {
                self.drop_proxy(&worker);
            } else {
                self.note(&worker);
            }
        }
        self.losses.handle_timeout(now);
        self.start_giving(now);
    }

    /// Keeps what is known of a proxy from outside: its timer, and whether it waits to be given away or is.
    fn note(&mut self, worker: &NodeId) {
        let proxy = self.proxies.get_mut(worker);
        let member = |set: &mut BTreeSet<NodeId>, is_in: bool| match is_in {
            true if !set.contains(worker) => drop(set.insert(worker.clone())),
            true => {}
            false => drop(set.remove(worker)),
        };
        let wants_to_give = proxy.as_ref().is_some_and(|proxy| proxy.wants_to_give(self.owners.as_ref()));
        member(&mut self.waiting, wants_to_give);
        member(&mut self.giving, proxy.as_ref().is_some_and(|proxy| proxy.is_giving()));
        if let Some(draining) = &mut self.draining {
            draining.note(worker, proxy.as_deref());
        }
        let Some(proxy) = proxy else { return self.timers.remove(worker) };
        // Of a node that leaves nobody is lost: its links end.
        let standing = match proxy.standing() {
            Standing::Missing(_) if self.owners.is_leaving() => Standing::Away,
            standing => standing,
        };
        if standing != proxy.counted {
            self.losses.change(worker, std::mem::replace(&mut proxy.counted, standing), standing);
        }
        if let Some(next) = proxy.poll_timeout() {
            self.timers.set(worker, next);
        }
    }
}
