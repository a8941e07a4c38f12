//! Two control nodes and a worker, as cores joined by hand: a attaches, events flow, a crashes, b goes on from the
//! checkpoint. No network and no runtime; time is a number.
//!
//! `cargo run -p phalanx-jobs --example sessions`
#![allow(clippy::disallowed_methods, reason = "a manual clock has to begin somewhere")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use phalanx_base::{AddressList, Boot, Generation, Labels, NodeId, NodeIdError, Role, RosterVersion};
use phalanx_jobs::wire::{CallId, ClassName, EventBody, Message, OnDisconnect, Standby, TaskId, Verb};
use phalanx_jobs::{
    Acting, Config, ControlEvent, Handle, LinkId, Owners, ProxyCall, ShardCore, WorkerCore, WorkerEvent,
    WorkerIdentity, WorkerLink,
};

/// What a control node believes: the first of these that is alive acts.
struct View {
    me: NodeId,
    alive: Vec<NodeId>,
}

impl Owners for View {
    fn acting(&self, _: &NodeId) -> Option<Acting> {
        let (first, others) = self.alive.split_first()?;
        let standby = |node: &NodeId| Standby { node: node.clone(), addresses: AddressList::default() };
        let standbys = others.iter().map(standby).collect();
        Some(Acting { node: first.clone(), addresses: AddressList::default(), standbys })
    }
    fn is_me(&self, control: &NodeId) -> bool {
        *control == self.me
    }
    fn is_down(&self, control: &NodeId) -> bool {
        !self.alive.contains(control)
    }
    fn controls(&self) -> Vec<NodeId> {
        self.alive.clone()
    }
    fn roster(&self) -> RosterVersion {
        RosterVersion(1)
    }
}

/// The cores, and the links between them by number.
struct World {
    start: Instant,
    now: Instant,
    worker: WorkerCore,
    controls: BTreeMap<NodeId, ShardCore>,
    links: BTreeMap<LinkId, NodeId>,
    calls: u64,
}

fn boot(name: &str) -> Result<Boot, NodeIdError> {
    Ok(Boot { node: NodeId::new(name)?, generation: Generation::from_u64(1) })
}

impl World {
    fn new(names: &[&str]) -> Result<Self, NodeIdError> {
        let class = ClassName { name: "camera".into(), version: 1 };
        let identity = WorkerIdentity {
            boot: boot("camera-7")?,
            role: Role::Worker,
            labels: Labels::default(),
            classes: vec![class],
        };
        let alive = names.iter().map(|name| NodeId::new(name)).collect::<Result<Vec<_>, _>>()?;
        let shard = |me: &NodeId| {
            let view = View { me: me.clone(), alive: alive.clone() };
            (me.clone(), ShardCore::new(Config::default(), Arc::new(view), 1))
        };
        let (start, worker) = (Instant::now(), WorkerCore::new(identity, Config::default()));
        let controls = alive.iter().map(shard).collect();
        Ok(Self { start, now: start, worker, controls, links: BTreeMap::new(), calls: 0 })
    }

    fn say(&self, who: &str, what: &str) {
        println!("{:5.1} s  {who:<9} {what}", (self.now - self.start).as_secs_f64());
    }

    fn connect(&mut self, name: &str) -> Result<(), NodeIdError> {
        let (control, worker) = (boot(name)?, boot("camera-7")?);
        let link = LinkId(self.links.len() as u64 + 1);
        self.say("camera-7", &format!("dials {name}: link {}", link.0));
        self.links.insert(link, control.node.clone());
        if let Some(shard) = self.controls.get_mut(&control.node) {
            self.worker.handle_session(self.now, link, control);
            shard.handle_link(self.now, WorkerLink { link, boot: worker, role: Role::Worker });
        }
        Ok(())
    }

    fn call(&mut self, name: &str, verb: Verb) -> Result<CallId, NodeIdError> {
        self.calls += 1;
        let id = CallId { caller: boot(name)?, sequence: self.calls };
        let deadline = self.now + Duration::from_secs(10);
        let call = ProxyCall { id: id.clone(), generation: Generation::from_u64(1), deadline, verb };
        if let Some(shard) = self.controls.get_mut(&id.caller.node) {
            shard.handle_call(self.now, &boot("camera-7")?.node, call);
        }
        Ok(id)
    }

    /// Moves frames until nothing is under way. Handlers return after `handled` batches, and then hold what they have.
    fn settle(&mut self, mut handled: usize) -> Result<(), Box<dyn Error>> {
        loop {
            if let Some(sent) = self.worker.poll_transmit() {
                let shard = self.links.get(&sent.link).and_then(|name| self.controls.get_mut(name));
                if let Some(shard) = shard {
                    shard.handle_frame(self.now, sent.link, sent.lane, &sent.frame);
                }
            } else if let Some((name, sent)) = self
                .controls
                .iter_mut()
                .find_map(|(name, shard)| Some((name.clone(), shard.poll_transmit()?)))
            {
                self.show(&name, &Message::from_frame(&sent.frame)?);
                self.worker.handle_frame(self.now, sent.link, sent.lane, &sent.frame)?;
            } else if let Some(event) = self.worker.poll_event() {
                self.show_worker(&event);
            } else if let Some((name, event)) =
                self.controls.iter_mut().find_map(|(name, shard)| Some((name.clone(), shard.poll_event()?)))
            {
                self.handle(&name, event, &mut handled);
            } else {
                return Ok(());
            }
        }
    }

    fn show(&self, name: &NodeId, message: &Message) {
        match message {
            Message::Attach(_) => self.say(name.as_str(), "claims: ATTACH"),
            Message::Ack(ack) => self.say(name.as_str(), &format!("acknowledges through {}", ack.through)),
            Message::Release(release) => {
                self.say(name.as_str(), &format!("releases to {}", release.owner.node));
            }
            _ => {}
        }
    }

    fn show_worker(&self, event: &WorkerEvent) {
        match event {
            WorkerEvent::Owned { owner, .. } => self.say("camera-7", &format!("accepts {}", owner.node)),
            WorkerEvent::Orphaned => self.say("camera-7", "has no owner"),
            WorkerEvent::RunTask { task, .. } => self.say("camera-7", &format!("runs task {task}")),
            _ => {}
        }
    }

    fn handle(&mut self, name: &NodeId, event: ControlEvent, handled: &mut usize) {
        match event {
            ControlEvent::Status { status, hosted: Some(fence), .. } => {
                self.say(name.as_str(), &format!("hosts the proxy under fence {fence}: {status}"));
            }
            ControlEvent::Reply(id, outcome) => {
                self.say(name.as_str(), &format!("call {id} ended: {outcome:?}"))
            }
            ControlEvent::Handle(batch) => self.handle_batch(name, &batch, handled),
            _ => {}
        }
    }

    fn handle_batch(&mut self, name: &NodeId, batch: &Handle, handled: &mut usize) {
        if let Some(Some(state)) = &batch.restore {
            let state = String::from_utf8_lossy(state);
            self.say(name.as_str(), &format!("begins with the checkpoint: {state}"));
        }
        let Some((last, _)) = batch.entries.last() else { return };
        let texts: Vec<String> = batch.entries.iter().map(describe).collect();
        self.say(name.as_str(), &format!("handles {}", texts.join(", ")));
        if *handled == 0 {
            return self.say(name.as_str(), "(its handler has not returned)");
        }
        *handled -= 1;
        let state = Some(Bytes::from(format!("everything up to {last}")));
        if let Some(shard) = self.controls.get_mut(name) {
            shard.handle_handled(self.now, &batch.worker, batch.generation, &batch.task, *last, state);
        }
    }
}

fn describe((number, body): &(u64, EventBody)) -> String {
    match body {
        EventBody::Emitted(body) => format!("{number}:{}", String::from_utf8_lossy(body)),
        EventBody::Gap { through } => format!("gap {number} to {through}"),
        EventBody::Ended(end) => format!("{number}:end {end:?}"),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut world = World::new(&["a", "b"])?;
    world.connect("a")?;
    world.settle(usize::MAX)?;

    let class = ClassName { name: "camera".into(), version: 1 };
    let verb = Verb::Start { class, body: Bytes::new(), on_disconnect: OnDisconnect::Keep, instance: None };
    let task = TaskId(world.call("a", verb)?);
    world.settle(usize::MAX)?;
    for frame in ["dawn", "noon"] {
        world.now += Duration::from_secs(1);
        world.worker.handle_emit(&task, Bytes::from(frame));
        world.settle(usize::MAX)?;
    }
    world.now += Duration::from_secs(1);
    world.worker.handle_emit(&task, Bytes::from("dusk"));
    world.settle(0)?;

    world.say("a", "crashes, with an event in hand that it has not acknowledged");
    let (a, b) = (NodeId::new("a")?, NodeId::new("b")?);
    world.controls.remove(&a);
    world.worker.handle_link_lost(world.now, LinkId(1));
    world.worker.handle_emit(&task, Bytes::from("night"));
    world.settle(0)?;

    world.now += Duration::from_secs(2);
    world.say("b", "sees a down: now it acts");
    if let Some(shard) = world.controls.get_mut(&b) {
        shard.handle_owners(world.now, Arc::new(View { me: b.clone(), alive: vec![b] }));
    }
    world.connect("b")?;
    world.settle(usize::MAX)?;
    Ok(())
}
