//! Many proxies, one owner: a shard routes links, frames and calls to them, and keeps their timers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use phalanx_base::{Fence, Generation, Lane, NodeId, NodeStatus};

use super::{ControlEvent, Effects, Proxy, ProxyCall, WorkerLink};
use crate::config::Config;
use crate::outcome::{Outcome, Reason};
use crate::ownership::Owners;
use crate::session::LinkId;
use crate::transmit::Transmit;
use crate::wire::{CallId, Frame, Hosting, TaskId};

/// How many proxies one shard holds: a million workers over 16 shards or more.
const PROXIES_MAX: usize = 65_536;

/// The state machine of one shard. See the module's page.
pub struct ShardCore {
    config: Config,
    owners: Arc<dyn Owners>,
    proxies: BTreeMap<NodeId, Proxy>,
    links: BTreeMap<LinkId, NodeId>,
    timers: BTreeSet<(Instant, NodeId)>,
    timer_of: BTreeMap<NodeId, Instant>,
    effects: Effects,
}

impl ShardCore {
    /// A shard without proxies.
    #[must_use]
    pub fn new(config: Config, owners: Arc<dyn Owners>) -> Self {
        Self {
            config,
            owners,
            proxies: BTreeMap::new(),
            links: BTreeMap::new(),
            timers: BTreeSet::new(),
            timer_of: BTreeMap::new(),
            effects: Effects::default(),
        }
    }

    /// Placement or membership has changed: each proxy follows the plan.
    pub fn handle_owners(&mut self, now: Instant, owners: Arc<dyn Owners>) {
        self.owners = owners;
        for proxy in self.proxies.values_mut() {
            proxy.follow_plan(now, self.owners.as_ref(), &mut self.effects);
        }
        let workers: Vec<NodeId> = self.proxies.keys().cloned().collect();
        for worker in workers {
            self.set_timer(&worker);
        }
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
        self.set_timer(&worker);
    }

    /// A link is lost.
    pub fn handle_link_lost(&mut self, now: Instant, link: LinkId) {
        self.effects.transmits.retain(|transmit| transmit.link != link);
        let Some(worker) = self.links.remove(&link) else { return };
        if let Some(proxy) = self.proxies.get_mut(&worker) {
            proxy.handle_link_lost(now, link, &mut self.effects);
        }
        self.set_timer(&worker);
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
            self.handle_link_lost(now, link);
        }
        self.set_timer(&worker);
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
        self.set_timer(worker);
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
        if let Some(proxy) = self.proxies.get_mut(worker)
            && proxy.generation() == Some(generation)
        {
            proxy.handle_handled(now, task, through, checkpoint, &mut self.effects);
        }
        self.set_timer(worker);
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
        self.timers.first().map(|(at, _)| *at)
    }

    /// Does what the time asks for.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, worker)) = self.timers.first().cloned()
            && at <= now
        {
            self.timers.pop_first();
            self.timer_of.remove(&worker);
            let Some(proxy) = self.proxies.get_mut(&worker) else { continue };
            if proxy.handle_timeout(now, self.owners.as_ref(), &mut self.effects) {
                self.proxies.remove(&worker);
                self.effects.event(ControlEvent::Forgotten(worker));
            } else {
                self.set_timer(&worker);
            }
        }
    }

    fn set_timer(&mut self, worker: &NodeId) {
        let next = self.proxies.get(worker).and_then(Proxy::poll_timeout);
        if self.timer_of.get(worker).copied() == next {
            return;
        }
        if let Some(before) = self.timer_of.remove(worker) {
            self.timers.remove(&(before, worker.clone()));
        }
        if let Some(next) = next {
            self.timer_of.insert(worker.clone(), next);
            self.timers.insert((next, worker.clone()));
        }
    }
}
