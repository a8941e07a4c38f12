//! The world: cores, links, clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use phalanx_base::{Lane, Role};
use phalanx_jobs::wire::{CallId, EventBody, Frame, Hosting, Message, TaskId, Verb};
use phalanx_jobs::{
    Config, ControlEvent, EVENTS_IN_FLIGHT_MAX, LinkId, Outcome, ProxyCall, TaskEnd, Transmit, WorkerEvent,
    WorkerLink,
};

use super::history::{last, state_after};
use super::{ControlEnd, History, To, View, Wire, WorkerEnd, bytes, node};

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) role: Role,
    pub(crate) config: Config,
    pub(crate) worker: WorkerEnd,
    pub(crate) controls: BTreeMap<&'static str, ControlEnd>,
    pub(crate) wires: BTreeMap<LinkId, Wire>,
    pub(crate) history: History,
    /// Handlers return at once, and redirects are dialled.
    pub(crate) automatic: bool,
    /// The states of handlers fit a checkpoint.
    pub(crate) checkpoints: bool,
    /// What control nodes say to each other about handovers: to whom, from whom, what; in order for each pair.
    pub(crate) words: BTreeMap<(&'static str, &'static str), VecDeque<Message>>,
    boots: u64,
    links: u64,
    calls: u64,
}

impl World {
    /// Control nodes a and b with a in charge, and a worker without a link.
    pub(crate) fn new(role: Role, config: Config) -> Self {
        let all = vec!["a", "b"];
        let view = |me| View {
            me,
            acting: Some("a"),
            down: Default::default(),
            all: all.clone(),
            roster: 1,
            may_give: true,
            leaving: false,
        };
        let controls =
            all.iter().map(|name| (*name, ControlEnd::new(name, 1, view(name), &config))).collect();
        Self {
            now: Instant::now(),
            role,
            worker: WorkerEnd::new(1, role, &config),
            config,
            controls,
            wires: BTreeMap::new(),
            history: History::default(),
            automatic: true,
            checkpoints: true,
            words: BTreeMap::new(),
            boots: 1,
            links: 0,
            calls: 0,
        }
    }

    /// A worker that a hosts.
    pub(crate) fn attached() -> Self {
        let mut world = Self::new(Role::Worker, Config::default());
        world.connect("a");
        world.settle();
        assert!(world.hosts("a"));
        world
    }

    pub(crate) fn control(&mut self, name: &str) -> &mut ControlEnd {
        self.controls.get_mut(name).expect("a or b")
    }

    pub(crate) fn hosting(&self, name: &str) -> Hosting {
        self.controls[name].core.hosting(&node("w"))
    }

    pub(crate) fn hosts(&self, name: &str) -> bool {
        matches!(self.hosting(name), Hosting::Hosted { .. })
    }

    pub(crate) fn fence(&self, name: &str) -> Option<u64> {
        match self.hosting(name) {
            Hosting::Hosted { fence, .. } => Some(fence.0),
            _ => None,
        }
    }

    // Links.

    /// A link comes up, and both ends learn of it.
    pub(crate) fn connect(&mut self, control: &'static str) -> LinkId {
        self.links += 1;
        let link = LinkId(self.links);
        self.wires.insert(link, Wire::new(control));
        let (now, boot) = (self.now, self.worker.boot.clone());
        let peer = self.controls[control].boot.clone();
        self.worker.core.handle_session(now, link, peer);
        let role = self.role;
        self.control(control).core.handle_link(now, WorkerLink { link, boot, role });
        self.drain();
        link
    }

    /// A link is lost with all that is under way on it; each end may learn of it later.
    pub(crate) fn cut(&mut self, link: LinkId, worker_sees: bool, control_sees: bool) {
        self.history.faulty = true;
        self.close(link, worker_sees, control_sees);
    }

    fn close(&mut self, link: LinkId, worker_sees: bool, control_sees: bool) {
        let Some(wire) = self.wires.get_mut(&link) else { return };
        wire.dead = true;
        wire.lanes.clear();
        let (control, now) = (wire.control, self.now);
        let tell_worker = worker_sees && wire.worker_up;
        let tell_control = control_sees && wire.control_up;
        wire.worker_up &= !worker_sees;
        wire.control_up &= !control_sees;
        if !wire.worker_up && !wire.control_up {
            self.wires.remove(&link);
        }
        if tell_worker {
            self.worker.core.handle_link_lost(now, link);
        }
        if tell_control {
            self.control(control).core.handle_link_lost(now, link, false);
        }
        self.drain();
    }

    /// One end closes a link; the other one learns of it if anything still passes.
    fn close_by(&mut self, end: To, link: LinkId, why: &str) {
        // Silence is a fault of the network, and a session that has moved on is none.
        self.history.faulty |= why.contains("silent");
        let dead = self.wires.get(&link).is_some_and(|wire| wire.dead);
        self.close(link, !dead || end == To::Worker, !dead || end == To::Control);
    }

    /// What is dead is found dead: links have a keep-alive of their own.
    pub(crate) fn bury_dead_links(&mut self) {
        let dead: Vec<LinkId> =
            self.wires.iter().filter(|(_, wire)| wire.dead).map(|(link, _)| *link).collect();
        for link in dead {
            self.close(link, true, true);
        }
    }

    /// The worker says that it cannot reach a control node.
    pub(crate) fn strand(&mut self, control: &'static str) {
        self.worker.core.handle_out_of_reach(&node(control));
        self.drain();
    }

    pub(crate) fn cut_all(&mut self) {
        for link in self.wires.keys().copied().collect::<Vec<_>>() {
            self.cut(link, true, true);
        }
    }

    /// The links that carry frames to and from a control node.
    pub(crate) fn links_of(&self, control: &str) -> Vec<LinkId> {
        let of = |(_, wire): &(&LinkId, &Wire)| wire.control == control && !wire.dead;
        self.wires.iter().filter(of).map(|(link, _)| *link).collect()
    }

    // Boots and views.

    /// A control node loses everything and starts again, with the view it had.
    pub(crate) fn crash(&mut self, name: &'static str) {
        self.history.faulty = true;
        self.boots += 1;
        let boots = self.boots;
        let config = self.config.clone();
        let control = self.control(name);
        let view = control.view.clone();
        *control = ControlEnd::new(name, boots, view, &config);
        self.words.retain(|(to, from), _| *to != name && *from != name);
        let links: Vec<LinkId> =
            self.wires.iter().filter(|(_, wire)| wire.control == name).map(|(link, _)| *link).collect();
        for link in links {
            self.close(link, true, true);
        }
    }

    /// The worker loses everything and starts again.
    pub(crate) fn restart_worker(&mut self) {
        self.history.faulty = true;
        self.boots += 1;
        self.history.orphaned();
        self.worker = WorkerEnd::new(self.boots, self.role, &self.config);
        for link in self.wires.keys().copied().collect::<Vec<_>>() {
            self.close(link, true, true);
        }
    }

    /// What one control node believes, from now on.
    pub(crate) fn set_view(&mut self, name: &'static str, change: impl FnOnce(&mut View)) {
        let now = self.now;
        let control = self.control(name);
        change(&mut control.view);
        control.view.roster += 1;
        let view = Arc::new(control.view.clone());
        control.core.handle_owners(now, view);
        self.drain();
    }

    /// Everybody believes that this one acts.
    pub(crate) fn set_acting(&mut self, acting: &'static str) {
        let roster = self.controls.values().map(|control| control.view.roster).max().unwrap_or(0);
        for name in ["a", "b"] {
            self.set_view(name, |view| {
                view.acting = Some(acting);
                (view.may_give, view.leaving) = (true, false);
                view.down.clear();
                view.roster = roster;
            });
        }
    }

    // Users.

    /// A call enters a control node, for the boot of the worker that is up now.
    pub(crate) fn call(&mut self, control: &'static str, verb: Verb) -> CallId {
        self.call_within(control, verb, Duration::from_secs(30))
    }

    pub(crate) fn call_within(&mut self, control: &'static str, verb: Verb, time: Duration) -> CallId {
        self.calls += 1;
        let id = CallId { caller: self.controls[control].boot.clone(), sequence: self.calls };
        self.enter(control, self.proxy_call(id.clone(), verb, time));
        id
    }

    pub(crate) fn proxy_call(&self, id: CallId, verb: Verb, time: Duration) -> ProxyCall {
        ProxyCall { id, generation: self.worker.boot.generation, deadline: self.now + time, verb }
    }

    pub(crate) fn enter(&mut self, control: &'static str, call: ProxyCall) {
        let now = self.now;
        let control = self.control(control);
        assert!(control.open.insert(call.id.clone()), "whoever repeats a call has its first outcome");
        control.core.handle_call(now, &node("w"), call);
        self.drain();
    }

    pub(crate) fn cancel(&mut self, control: &'static str, id: &CallId) {
        self.control(control).core.handle_cancel(&node("w"), id);
        self.drain();
    }

    /// The handler of a request or a command answers with the name of the call.
    pub(crate) fn answer(&mut self, id: &CallId) {
        self.worker.requests.remove(id);
        self.worker.core.handle_answer(id, Outcome::Done(bytes(&id.to_string())));
        self.drain();
    }

    pub(crate) fn emit(&mut self, task: &TaskId, body: Bytes) {
        let generation = self.worker.boot.generation;
        if self.worker.tasks.contains(task) {
            self.history.said(generation, task, Some(body.clone()));
        }
        self.worker.core.handle_emit(task, body);
        self.drain();
    }

    pub(crate) fn end(&mut self, task: &TaskId, end: TaskEnd) {
        assert!(self.worker.tasks.remove(task), "{task} runs");
        self.history.said(self.worker.boot.generation, task, None);
        self.worker.core.handle_task_end(self.now, task, end);
        self.drain();
    }

    /// The handler that was given something first returns.
    pub(crate) fn handle_one(&mut self, control: &'static str) -> bool {
        let now = self.now;
        let Some(batch) = self.control(control).hand.pop_front() else { return false };
        self.history.returned(&batch);
        let through = last(&batch);
        let state = self.checkpoints.then(|| state_after(through));
        let core = &mut self.control(control).core;
        core.handle_handled(now, &batch.worker, batch.generation, &batch.task, through, state);
        self.drain();
        true
    }

    // Frames.

    /// Delivers the first frame of a lane. Says whether there was one.
    pub(crate) fn deliver(&mut self, link: LinkId, to: To, lane: Lane) -> bool {
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&link).filter(|wire| !wire.dead) else { return false };
        let control = wire.control;
        let Some(frame) = wire.lanes.get_mut(&(to, lane)).and_then(|lane| lane.pop_front()) else {
            return false;
        };
        match to {
            To::Worker => {
                if let Ok(Message::Call(call)) = Message::from_frame(&frame) {
                    self.history.delivering(Some((link, call)));
                }
                let done = self.worker.core.handle_frame(now, link, lane, &frame);
                assert_eq!(done, Ok(()), "the control node is honest: {frame:?}");
            }
            To::Control => self.control(control).core.handle_frame(now, link, lane, &frame),
        }
        self.drain();
        self.history.delivering(None);
        true
    }

    /// Delivers the first word from one control node to another. Says whether there was one.
    pub(crate) fn deliver_word(&mut self, to: &'static str, from: &'static str) -> bool {
        let now = self.now;
        let Some(word) = self.words.get_mut(&(to, from)).and_then(VecDeque::pop_front) else { return false };
        let core = &mut self.control(to).core;
        match word {
            Message::Wanted(wanted) => core.handle_wanted(now, &node(from), &wanted),
            Message::Offer(offer) => core.handle_offer(now, node(from), offer),
            Message::Declined(declined) => core.handle_declined(now, &node(from), &declined),
            other => panic!("{other:?} is no word about a handover"),
        }
        self.drain();
        true
    }

    fn say(&mut self, to: &phalanx_base::NodeId, from: &'static str, word: impl Into<Message>) {
        let to = if to.as_str() == "a" { "a" } else { "b" };
        let word = Message::from_frame(&word.into().to_frame()).expect("it decodes as it was encoded");
        self.words.entry((to, from)).or_default().push_back(word);
    }

    /// The lanes on which something waits, events first: they overtake everything else.
    pub(crate) fn waiting(&self) -> Vec<(LinkId, To, Lane)> {
        let lanes = self.wires.iter().filter(|(_, wire)| !wire.dead);
        let mut waiting: Vec<_> = lanes
            .flat_map(|(link, wire)| wire.lanes.iter().map(move |(at, queue)| (*link, *at, queue)))
            .filter(|(_, _, queue)| !queue.is_empty())
            .map(|(link, (to, lane), _)| (link, to, lane))
            .collect();
        waiting.sort_by_key(|(link, to, lane)| (std::cmp::Reverse(*lane), *to, *link));
        waiting
    }

    /// Until nothing is under way.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            let redirected = self.automatic.then(|| self.worker.redirected.take()).flatten();
            if let Some(owner) = redirected {
                let name = if owner.as_str() == "a" { "a" } else { "b" };
                if self.links_of(name).is_empty() {
                    self.connect(name);
                }
            } else if let Some((link, to, lane)) = self.waiting().first().copied() {
                self.deliver(link, to, lane);
            } else if self.deliver_word("a", "b") || self.deliver_word("b", "a") {
            } else if !(self.automatic && (self.handle_one("a") || self.handle_one("b"))) {
                return;
            }
        }
        panic!("it never settles");
    }

    // Time.

    /// Time jumps, and each core does what it asks for; nothing is delivered meanwhile.
    pub(crate) fn jump(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        // What one timeout brings about may be due itself, but that comes to an end.
        for _ in 0..8 {
            if due(self.worker.core.poll_timeout()) {
                self.worker.core.handle_timeout(now);
            }
            for control in self.controls.values_mut().filter(|control| due(control.core.poll_timeout())) {
                control.core.handle_timeout(now);
            }
        }
        assert!(!due(self.worker.core.poll_timeout()), "the worker's timer spins");
        let spins = |control: &ControlEnd| due(control.core.poll_timeout());
        assert!(!self.controls.values().any(spins), "a control node's timer spins");
        self.drain();
    }

    /// Time passes while everything is delivered.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        while self.now < end {
            let cores = self.controls.values().map(|control| control.core.poll_timeout());
            let next = cores.chain([self.worker.core.poll_timeout()]).flatten().min().unwrap_or(end);
            let step = next.min(end).saturating_duration_since(self.now);
            self.jump(step);
            self.settle();
        }
    }

    // What the drivers would do.

    pub(crate) fn drain(&mut self) {
        loop {
            self.note_held();
            if let Some(transmit) = self.worker.core.poll_transmit() {
                self.worker_sends(transmit);
            } else if let Some(event) = self.worker.core.poll_event() {
                self.worker_event(event);
            } else if !self.drain_controls() {
                return;
            }
        }
    }

    /// A task that ends before it has begun needs nobody to do anything.
    fn note_held(&mut self) {
        let (core, now, generation) = (&self.worker.core, self.now, self.worker.boot.generation);
        let has_ended =
            |task: &TaskId| core.task_details(now, task).is_none_or(|details| details.state.has_ended());
        let ended: Vec<TaskId> = self.worker.held.iter().filter(|task| has_ended(task)).cloned().collect();
        for task in ended {
            self.worker.held.remove(&task);
            self.history.said(generation, &task, None);
        }
    }

    fn drain_controls(&mut self) -> bool {
        for name in ["a", "b"] {
            if let Some(transmit) = self.control(name).core.poll_transmit() {
                if let Ok(Message::Ack(ack)) = Message::from_frame(&transmit.frame) {
                    self.history.acknowledged(self.worker.boot.generation, &ack);
                }
                self.push(transmit.link, To::Worker, transmit.lane, transmit.frame);
                return true;
            }
            if let Some(event) = self.control(name).core.poll_event() {
                self.control_event(name, event);
                return true;
            }
        }
        false
    }

    fn push(&mut self, link: LinkId, to: To, lane: Lane, frame: Frame) {
        let Some(wire) = self.wires.get_mut(&link).filter(|wire| !wire.dead) else { return };
        let queue = wire.lanes.entry((to, lane)).or_default();
        queue.push_back(frame);
        assert!(lane != Lane::Event || queue.len() <= EVENTS_IN_FLIGHT_MAX, "more events than the window");
    }

    fn worker_sends(&mut self, Transmit { link, lane, frame }: Transmit) {
        match Message::from_frame(&frame).expect("cores send messages") {
            Message::Attached(attached) => {
                self.history.granted(self.worker.boot.generation, link, &attached);
            }
            Message::Outcome(outcome) => self.history.worker_said(&outcome),
            _ => {}
        }
        self.push(link, To::Control, lane, frame);
    }

    fn worker_event(&mut self, event: WorkerEvent) {
        let generation = self.worker.boot.generation;
        match event {
            WorkerEvent::RunRequest { call, .. } => {
                self.history.begun(generation, &call);
                self.worker.requests.insert(call);
                assert!(self.worker.requests.len() <= self.config.running_requests_max);
            }
            WorkerEvent::TaskAccepted { task, .. } => {
                self.history.begun(generation, &task.0);
                self.worker.held.insert(task);
            }
            WorkerEvent::RunTask { task, under, instance, .. } => {
                match under {
                    Some(_) => self.history.begun(generation, &task.0),
                    None => assert!(self.worker.held.remove(&task), "it was told as accepted"),
                }
                self.worker.begins(&task, instance);
                self.worker.tasks.insert(task);
                assert!(self.worker.tasks.len() <= self.config.tasks_max);
            }
            WorkerEvent::Command { task, call, body, .. } => {
                self.history.begun(generation, &call);
                self.worker.commands.push((task, call, body));
            }
            WorkerEvent::CancelRequest(call) => {
                self.worker.requests.remove(&call);
                self.worker.cancelled.push(call);
            }
            WorkerEvent::StopTask(task, at) => self.worker.stopping.push((task, at)),
            WorkerEvent::AbortTask(task) => {
                // The core ends it in the same breath.
                self.history.said(generation, &task, None);
                self.worker.tasks.remove(&task);
                self.worker.aborted.push(task);
            }
            WorkerEvent::Owned { standbys, .. } => {
                self.history.owned();
                self.worker.known = standbys;
            }
            WorkerEvent::Standbys(standbys) => self.worker.known = standbys,
            WorkerEvent::Orphaned => self.history.orphaned(),
            WorkerEvent::Redirected(owner) => self.worker.redirected = Some(owner.node),
            WorkerEvent::CloseLink(link, why) => self.close_by(To::Worker, link, why),
            WorkerEvent::Status(_) | WorkerEvent::Acknowledged(..) => {}
        }
    }

    fn control_event(&mut self, name: &'static str, event: ControlEvent) {
        let control = self.controls.get_mut(name).expect("a or b");
        match event {
            ControlEvent::Reply(id, outcome) => {
                assert!(control.open.remove(&id), "{id} has two replies");
                control.replies.push((id, outcome));
            }
            ControlEvent::Handle(batch) if batch.generation != self.worker.boot.generation => {
                // Of a boot that is over: its handler is told what is missing and the end, and nothing is acknowledged.
                let [(first, EventBody::Gap { .. }), (_, EventBody::Ended(TaskEnd::Lost))] =
                    &batch.entries[..]
                else {
                    panic!("{batch:?} of a boot that is over")
                };
                control.told_end.push((batch.task.clone(), *first));
                let (now, core) = (self.now, &mut control.core);
                core.handle_handled(now, &batch.worker, batch.generation, &batch.task, last(&batch), None);
            }
            ControlEvent::Handle(batch) => {
                self.history.handed(&control.boot, &batch);
                control.handed.push(batch.clone());
                control.hand.push_back(batch);
            }
            ControlEvent::Status { status, hosted, .. } => control.statuses.push((status, hosted)),
            ControlEvent::Forgotten(_) => {
                control.forgotten += 1;
                let boot = control.boot.clone();
                self.history.forgotten(&boot);
            }
            ControlEvent::Redelivered(count) => control.redelivered += count,
            ControlEvent::CloseLink(link, why) => {
                assert_ne!(why, "the worker broke the protocol");
                self.close_by(To::Control, link, why);
            }
            ControlEvent::OpenEventLane(_) | ControlEvent::Labelled(_) => {}
            ControlEvent::TaskStarted { task, .. } => control.lives.starts(task),
            ControlEvent::TaskEnded { task, end, .. } => control.lives.ends(&task, &end),
            ControlEvent::Want { from, wanted } => self.say(&from, name, wanted),
            ControlEvent::Offer { to, mut offer, states_of } => {
                let history = &self.history;
                offer
                    .states
                    .extend(states_of.into_iter().filter_map(|task| history.state(offer.generation, task)));
                self.say(&to, name, offer);
            }
            ControlEvent::Decline { to, declined } => self.say(&to, name, declined),
        }
    }
}
