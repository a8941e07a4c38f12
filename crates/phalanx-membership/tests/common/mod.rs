//! A cluster of cores on an in-memory network with manual time, seeded loss, repetition and reordering, and links that
//! can be cut. It dials as a node would: whoever hears of a new member opens a link to it.
#![allow(dead_code, reason = "each test uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use phalanx_base::{AddressList, Boot, Generation, NodeId};
use phalanx_membership::{
    Channel, ClusterView, Config, DATAGRAM_BYTES_MAX, Event, LinkLoss, Liveness, LocalMember, Membership,
    RosterSnapshot, SYNC_BYTES_MAX, Transmit,
};

pub(crate) fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// What the network does to datagrams; sync messages are only lost with their link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
    /// Each datagram takes between 1 and this many milliseconds, so that they overtake each other.
    pub(crate) latency_ms_max: u64,
}

pub(crate) const NO_FAULTS: Faults = Faults { loss_percent: 0, repeat_percent: 0, latency_ms_max: 3 };

struct Message {
    from: NodeId,
    to: NodeId,
    channel: Channel,
    payload: Bytes,
}

/// Decides whether a message of this time, from here to there, is dropped.
pub(crate) type Script = Box<dyn FnMut(Duration, &NodeId, &NodeId, Channel) -> bool>;

pub(crate) struct Cluster {
    start: Instant,
    now: Instant,
    config: Config,
    nodes: BTreeMap<NodeId, Membership>,
    /// When each node wants its time.
    deadlines: BTreeMap<NodeId, Instant>,
    /// The same in order, without those that sleep.
    due: BTreeSet<(Instant, NodeId)>,
    in_flight: BTreeMap<(Instant, u64), Message>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Who sleeps, and what has come for each meanwhile.
    asleep: BTreeMap<NodeId, Vec<Message>>,
    random: u64,
    sent: u64,
    captured: Option<Rc<RefCell<Vec<Vec<u8>>>>>,
    pub(crate) faults: Faults,
    pub(crate) script: Option<Script>,
    /// Every event with its time and who saw it.
    pub(crate) log: Vec<(Duration, NodeId, Event)>,
    pub(crate) bytes_sent: u64,
}

impl Cluster {
    #[expect(clippy::disallowed_methods, reason = "an origin for manual time")]
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            config,
            nodes: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            due: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            cut: BTreeSet::new(),
            asleep: BTreeMap::new(),
            random: seed,
            sent: 0,
            captured: None,
            faults: NO_FAULTS,
            script: None,
            log: Vec::new(),
            bytes_sent: 0,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn start(&mut self, name: &str, generation: u64) {
        self.start_stored(name, generation, RosterSnapshot::default());
    }

    pub(crate) fn start_stored(&mut self, name: &str, generation: u64, stored: RosterSnapshot) {
        let addresses: AddressList = format!("{name}:7000").parse().unwrap();
        let boot = Boot { node: id(name), generation: Generation::from_u64(generation) };
        let local = LocalMember { stored, ..LocalMember::new(boot, addresses) };
        self.start_local(local);
    }

    pub(crate) fn start_local(&mut self, local: LocalMember) {
        let seed = self.draw();
        let node = local.boot.node.clone();
        let mut core = Membership::new(self.config.clone(), local, seed, self.now).unwrap();
        core.activate(self.now);
        self.nodes.insert(node.clone(), core);
        self.drain_outputs(&node);
    }

    /// Opens a link between two nodes; each is told about the other.
    pub(crate) fn link(&mut self, a: &str, b: &str) {
        self.link_ids(&id(a), &id(b));
    }

    /// As [`Cluster::link`], where nothing is cut between them.
    pub(crate) fn link_if_possible(&mut self, a: &str, b: &str) {
        if !self.cut.contains(&(id(a), id(b))) {
            self.link(a, b);
        }
    }

    /// Collects the payload of every message from now on.
    pub(crate) fn capture(&mut self) -> Rc<RefCell<Vec<Vec<u8>>>> {
        self.captured.get_or_insert_default().clone()
    }

    /// How each node sees the others, for a failed test.
    pub(crate) fn describe(&self) -> String {
        let member = |view: &ClusterView| {
            let members = view.members.iter().map(|member| format!("{}:{:?}", member.boot, member.liveness));
            let roster = view.roster.entries().iter();
            let roster = roster.map(|entry| format!("{} v{} {:?}", entry.node, entry.version, entry.state));
            format!(
                "\n{} sees {:?}, roster {:?}",
                view.local,
                members.collect::<Vec<_>>(),
                roster.collect::<Vec<_>>()
            )
        };
        self.views().iter().map(member).collect()
    }

    /// Stops a node at once; nobody is told.
    pub(crate) fn kill(&mut self, name: &str) {
        self.nodes.remove(&id(name)).expect("a node that runs");
        self.set_deadline(&id(name), None);
    }

    /// The link between two nodes is lost; only the first one learns of it, and why.
    pub(crate) fn lose_link(&mut self, at: &str, to: &str, loss: LinkLoss) {
        self.with(at, |core, now| core.handle_peer_unreachable(now, &id(to), loss));
    }

    /// The node gets neither time nor messages from now on, as a process that is stopped.
    pub(crate) fn put_to_sleep(&mut self, name: &str) {
        self.set_deadline(&id(name), None);
        self.asleep.insert(id(name), Vec::new());
    }

    /// The node finds that all its timers are overdue, and then everything that has come meanwhile, or what of it the
    /// socket has kept.
    pub(crate) fn wake(&mut self, name: &str, kept: usize) {
        let unread = self.asleep.remove(&id(name)).expect("a node that sleeps");
        self.with(name, |core, now| core.handle_timeout(now));
        unread.iter().take(kept).for_each(|message| self.hand_over(message));
    }

    /// Nothing passes between these two sides from now on, and each end of a link learns that it is lost.
    pub(crate) fn partition(&mut self, left: &[&str], right: &[&str]) {
        for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (id(a), id(b)))) {
            for (from, to) in [(a.clone(), b.clone()), (b, a)] {
                if let Some(core) = self.nodes.get_mut(&from) {
                    core.handle_peer_unreachable(self.now, &to, LinkLoss::Unknown);
                }
                self.drain_outputs(&from);
                self.cut.insert((from, to));
            }
        }
    }

    /// Everybody reaches everybody again; the links across are opened anew.
    pub(crate) fn heal(&mut self) {
        for (a, b) in std::mem::take(&mut self.cut) {
            if a < b {
                self.link_ids(&a, &b);
            }
        }
    }

    pub(crate) fn with<T>(&mut self, name: &str, act: impl FnOnce(&mut Membership, Instant) -> T) -> T {
        let now = self.now;
        let result = act(self.nodes.get_mut(&id(name)).expect("a node that runs"), now);
        self.drain_outputs(&id(name));
        result
    }

    pub(crate) fn is_running(&self, name: &str) -> bool {
        self.nodes.contains_key(&id(name))
    }

    pub(crate) fn core(&self, name: &str) -> &Membership {
        &self.nodes[&id(name)]
    }

    pub(crate) fn cores(&self) -> impl Iterator<Item = &Membership> {
        self.nodes.values()
    }

    pub(crate) fn views(&self) -> Vec<ClusterView> {
        self.nodes.values().map(Membership::view).collect()
    }

    /// Whether all that run have the same roster, hold each other for alive and nobody else.
    pub(crate) fn agrees(&self) -> bool {
        let alive: Vec<&NodeId> = self.nodes.keys().collect();
        // What fails mostly, and costs little to look at, first.
        let all_alive = |core: &Membership| alive.iter().all(|node| core.liveness(node) == Liveness::Alive);
        if !self.nodes.values().all(all_alive) {
            return false;
        }
        let rosters: BTreeSet<Vec<u8>> = self.nodes.values().map(|core| core.snapshot().encode()).collect();
        rosters.len() <= 1
            && self.nodes.values().all(|core| {
                let members = core.members();
                let seen = members.iter().filter(|member| member.liveness.is_alive());
                seen.map(|member| &member.boot.node).eq(alive.iter().copied())
                    && members.iter().all(|member| member.liveness != Liveness::Suspect)
            })
    }

    /// How often a node came back under a new gossip epoch.
    pub(crate) fn renewals(&self) -> u64 {
        self.nodes.values().map(|core| core.counters().renewals).sum()
    }

    pub(crate) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
    }

    /// Runs until the condition holds; the time that took, or `None` after `limit`. It looks once in a while only, since
    /// to compare many views takes longer than to make them.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let (begin, end) = (self.now, self.now + limit);
        while !done(self) {
            if self.now >= end {
                return None;
            }
            let look_at = end.min(self.now + Duration::from_millis(5));
            while self.step(look_at) {}
        }
        Some(self.now - begin)
    }

    /// When one node told this event first.
    pub(crate) fn when(&self, observer: &str, matches: impl Fn(&Event) -> bool) -> Option<Duration> {
        let seen = self.log.iter().find(|(_, node, event)| *node == id(observer) && matches(event));
        seen.map(|(at, ..)| *at)
    }

    fn link_ids(&mut self, a: &NodeId, b: &NodeId) {
        if self.asleep.contains_key(a) || self.asleep.contains_key(b) {
            return;
        }
        for (here, there) in [(a, b), (b, a)] {
            let Some(peer) = self.nodes.get(there).map(|core| core.local().clone()) else { continue };
            if let Some(core) = self.nodes.get_mut(here) {
                core.handle_peer_reachable(self.now, peer, None);
            }
        }
        self.drain_outputs(a);
        self.drain_outputs(b);
    }

    /// Goes to the next thing that happens, if that is not after `end`.
    fn step(&mut self, end: Instant) -> bool {
        let message = self.in_flight.first_key_value().map(|((at, _), _)| *at);
        let timeout = self.due.first().map(|(at, node)| (*at.max(&self.now), node));
        match (message, timeout) {
            (Some(at), timer) if at <= end && timer.is_none_or(|(due, _)| at <= due) => {
                self.now = at;
                self.deliver();
            }
            (_, Some((at, node))) if at <= end => {
                let node = node.clone();
                self.now = at;
                self.nodes.get_mut(&node).expect("it was just found").handle_timeout(at);
                self.drain_outputs(&node);
            }
            _ => {
                self.now = end;
                return false;
            }
        }
        true
    }

    fn deliver(&mut self) {
        let Some((_, message)) = self.in_flight.pop_first() else { return };
        match self.asleep.get_mut(&message.to) {
            Some(unread) => unread.push(message),
            None => self.hand_over(&message),
        }
    }

    fn hand_over(&mut self, message: &Message) {
        let Some(core) = self.nodes.get_mut(&message.to) else { return };
        match message.channel {
            // What an honest node sends to one that listens may be stale, and is never malformed.
            Channel::Datagram => core.handle_datagram(self.now, &message.from, &message.payload).unwrap(),
            Channel::Sync => core.handle_sync(self.now, &message.from, &message.payload).unwrap(),
        }
        self.drain_outputs(&message.to);
    }

    fn drain_outputs(&mut self, node: &NodeId) {
        let Some(core) = self.nodes.get_mut(node) else { return };
        let deadline = core.poll_timeout();
        let transmits: Vec<_> = std::iter::from_fn(|| core.poll_transmit()).collect();
        let events: Vec<_> = std::iter::from_fn(|| core.poll_event()).collect();
        self.set_deadline(node, deadline);
        for transmit in transmits {
            self.send(node, transmit);
        }
        for event in events {
            if let Event::Joined(member) = &event {
                let there = member.boot.node.clone();
                if self.nodes.contains_key(&there) && !self.cut.contains(&(node.clone(), there.clone())) {
                    self.link_ids(node, &there);
                }
            }
            self.log.push((self.elapsed(), node.clone(), event));
        }
    }

    fn set_deadline(&mut self, node: &NodeId, at: Option<Instant>) {
        let at = at.filter(|_| !self.asleep.contains_key(node));
        let before = match at {
            Some(at) => self.deadlines.insert(node.clone(), at),
            None => self.deadlines.remove(node),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.due.remove(&(before, node.clone()));
        }
        if let Some(at) = at {
            self.due.insert((at, node.clone()));
        }
    }

    fn send(&mut self, from: &NodeId, transmit: Transmit) {
        let Transmit { to, channel, payload } = transmit;
        let cap = if channel == Channel::Datagram { DATAGRAM_BYTES_MAX } else { SYNC_BYTES_MAX };
        assert!(payload.len() <= cap, "{} bytes on {channel:?}", payload.len());
        self.bytes_sent += payload.len() as u64;
        if let Some(captured) = &self.captured {
            captured.borrow_mut().push(payload.to_vec());
        }
        let elapsed = self.elapsed();
        let scripted = self.script.as_mut().is_some_and(|script| script(elapsed, from, &to, channel));
        let cut = !self.cut.is_empty() && self.cut.contains(&(from.clone(), to.clone()));
        if scripted || cut {
            return;
        }
        let faults = self.faults;
        if channel == Channel::Datagram && self.draw() % 100 < faults.loss_percent {
            return;
        }
        let repeats = channel == Channel::Datagram && self.draw() % 100 < faults.repeat_percent;
        for _ in 0..=u8::from(repeats) {
            let latency = match channel {
                Channel::Datagram => 1 + self.draw() % faults.latency_ms_max,
                Channel::Sync => faults.latency_ms_max,
            };
            self.sent += 1;
            let at = self.now + Duration::from_millis(latency);
            let message = Message { from: from.clone(), to: to.clone(), channel, payload: payload.clone() };
            self.in_flight.insert((at, self.sent), message);
        }
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
