//! One control node and many workers: a real `ShardCore`, and what the workers would say, written by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use phalanx_base::{Boot, Fence, Generation, Lane, NodeId, NodeStatus, Role};
use phalanx_jobs::wire::{Attached, Message, Report, StandDown};
use phalanx_jobs::{Config, ControlEvent, LinkId, ShardCore, Transmit, WorkerLink};

use super::{View, node};

/// The crowd. Control node a hosts it, until its view says something else.
pub(crate) struct Crowd {
    pub(crate) now: Instant,
    pub(crate) core: ShardCore,
    pub(crate) view: View,
    /// The link of each worker that is linked, and the fence that it has issued last.
    pub(crate) links: BTreeMap<u64, (LinkId, Fence)>,
    fences: u64,
}

pub(crate) fn worker(number: u64) -> NodeId {
    node(&format!("w{number:03}"))
}

impl Crowd {
    /// So many workers, all of them hosted.
    pub(crate) fn new(workers: u64) -> Self {
        let view = View {
            me: "a",
            acting: Some("a"),
            down: Default::default(),
            all: vec!["a", "b"],
            roster: 1,
            may_give: true,
            leaving: false,
        };
        let core = ShardCore::new(Config::default(), Arc::new(view.clone()), 1);
        // Far from the beginning of the clock, so that every time before it can be told.
        let now = Instant::now() + Duration::from_secs(3_600);
        let mut crowd = Self { now, core, view, links: BTreeMap::new(), fences: 0 };
        for number in 0..workers {
            crowd.attach(number);
        }
        crowd
    }

    /// A worker links anew, and accepts the claim if one is made.
    pub(crate) fn attach(&mut self, number: u64) {
        self.fences += 1;
        let (link, fence) = (LinkId(self.fences), Fence(self.fences));
        let boot = Boot { node: worker(number), generation: Generation::from_u64(1) };
        self.links.insert(number, (link, fence));
        self.core.handle_link(self.now, WorkerLink { link, boot, role: Role::Worker });
        let claimed = self.sent().iter().any(|transmit| {
            transmit.link == link && matches!(Message::from_frame(&transmit.frame), Ok(Message::Attach(_)))
        });
        if claimed {
            let (status, labels, classes) = (NodeStatus::Ready, Default::default(), Vec::new());
            self.say(number, Attached { fence, status, labels, classes, tasks: 0 });
        }
    }

    /// A worker says that another control node has it.
    pub(crate) fn stand_down(&mut self, number: u64) {
        if let Some((_, fence)) = self.links.get(&number).copied() {
            self.say(number, StandDown { fence });
        }
    }

    /// A worker says how it is.
    pub(crate) fn report(&mut self, number: u64, status: NodeStatus) {
        if let Some((_, fence)) = self.links.get(&number).copied() {
            self.say(number, Report { fence, status, tasks: 0, labels: None });
        }
    }

    /// The link of a worker ends. `left`: the worker has closed it because it stops.
    pub(crate) fn lose(&mut self, number: u64, left: bool) {
        if let Some((link, _)) = self.links.remove(&number) {
            self.core.handle_link_lost(self.now, link, left);
        }
    }

    fn say(&mut self, number: u64, message: impl Into<Message>) {
        if let Some((link, _)) = self.links.get(&number).copied() {
            self.core.handle_frame(self.now, link, Lane::Control, &message.into().to_frame());
        }
    }

    /// What this node believes, from now on.
    pub(crate) fn set_view(&mut self, change: impl FnOnce(&mut View)) {
        change(&mut self.view);
        self.view.roster += 1;
        self.core.handle_owners(self.now, Arc::new(self.view.clone()));
    }

    /// Time passes, and the core does what it asks for.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.core.handle_timeout(self.now);
            self.events();
        }
        self.now = end;
    }

    /// Time passes, and every worker that has a link gives its signs of life.
    pub(crate) fn pass_alive(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            for number in self.links.keys().copied().collect::<Vec<_>>() {
                self.report(number, NodeStatus::Ready);
            }
            self.pass(Duration::from_secs(5).min(end - self.now));
        }
    }

    /// What was sent since somebody asked last.
    pub(crate) fn sent(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.core.poll_transmit()).collect()
    }

    /// What was decided since somebody asked last. A link that is closed is gone.
    pub(crate) fn events(&mut self) -> Vec<ControlEvent> {
        let events: Vec<_> = std::iter::from_fn(|| self.core.poll_event()).collect();
        for event in &events {
            if let ControlEvent::CloseLink(closed, _) = event {
                self.links.retain(|_, (link, _)| link != closed);
            }
        }
        events
    }
}
