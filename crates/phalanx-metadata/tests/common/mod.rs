//! A cluster of real cores in virtual time, over a network that loses, repeats, overtakes and splits.
#![allow(clippy::unwrap_used, dead_code, reason = "a test fails by panicking, and no test uses all of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use phalanx_base::{Boot, Generation, NodeId};
use phalanx_metadata::{
    Entry, Key, LOGS_MAX, Limits, MESSAGE_BYTES_MAX, Message, Metadata, MetadataConfig, Order, Rule, Stamp,
    Table,
};

/// When all tests begin, in milliseconds since the Unix epoch.
pub(crate) const START_UNIX_MS: u64 = 1_700_000_000_000;

/// What the network does to messages.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
    /// Each message takes up to so long, at random: they overtake each other.
    pub(crate) latency_ms_max: u64,
}

pub(crate) struct Node {
    pub(crate) core: Metadata,
    /// How far its wall clock is ahead.
    pub(crate) skew_ms: i64,
    side: u8,
}

/// What was sent, to whom, when it comes.
type Flight = (Duration, u64, NodeId, NodeId, Bytes);

pub(crate) struct Cluster {
    pub(crate) config: MetadataConfig,
    pub(crate) faults: Faults,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    /// The nodes that the roster names, with their generations.
    pub(crate) roster: BTreeMap<NodeId, Generation>,
    pub(crate) bytes_sent: u64,
    pub(crate) messages_sent: u64,
    pub(crate) largest_message: usize,
    pub(crate) refused: Vec<String>,
    begin: Instant,
    elapsed: Duration,
    flights: BTreeSet<Flight>,
    random: u64,
    serial: u64,
}

pub(crate) fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub(crate) fn table(name: &str) -> Table {
    Table::new(name).unwrap()
}

pub(crate) fn key(table_name: &str, name: &str) -> Key {
    Key::new(table(table_name), name).unwrap()
}

pub(crate) fn config() -> MetadataConfig {
    let tables = [("own", Rule::Single), ("jobs", Rule::LastWriter), ("places", Rule::Greatest)];
    let tables = tables.map(|(name, rule)| (table(name), rule)).into_iter().collect();
    MetadataConfig { tables, limits: Limits::default() }
}

/// A winning entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) key: Key,
    pub(crate) value: Bytes,
    pub(crate) stamp: Stamp,
    pub(crate) order: Order,
}

fn seen(entry: &Entry<'_>) -> Seen {
    let (key, value, stamp) = (entry.key.clone(), entry.value.clone(), entry.stamp.clone());
    Seen { key, value, stamp, order: entry.order }
}

impl Cluster {
    pub(crate) fn new(config: MetadataConfig, seed: u64) -> Self {
        #[allow(
            clippy::disallowed_methods,
            reason = "the only way to get an instant; all time is virtual from here"
        )]
        let begin = Instant::now();
        Self {
            config,
            faults: Faults::default(),
            nodes: BTreeMap::new(),
            roster: BTreeMap::new(),
            bytes_sent: 0,
            messages_sent: 0,
            largest_message: 0,
            refused: Vec::new(),
            begin,
            elapsed: Duration::ZERO,
            flights: BTreeSet::new(),
            random: seed,
            serial: 0,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below.max(1)
    }

    pub(crate) fn now(&self) -> Instant {
        self.begin + self.elapsed
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    pub(crate) fn unix_ms(&self, node: &NodeId) -> u64 {
        let skew = self.nodes.get(node).map_or(0, |node| node.skew_ms);
        (START_UNIX_MS + self.elapsed.as_millis() as u64).saturating_add_signed(skew)
    }

    /// Starts a node and puts it into the roster. Nobody is told before [`Self::tell`].
    pub(crate) fn start(&mut self, name: &str, generation: u64, skew_ms: i64) {
        let boot = Boot { node: id(name), generation: Generation::from_u64(generation) };
        self.roster.insert(boot.node.clone(), boot.generation);
        let unix_ms = self.unix_ms(&boot.node).saturating_add_signed(skew_ms);
        let seed = self.random(u64::MAX);
        let core = Metadata::new(boot.clone(), self.config.clone(), self.now(), unix_ms, seed);
        self.nodes.insert(boot.node, Node { core, skew_ms, side: 0 });
    }

    pub(crate) fn start_all(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.start(name, 1, 0));
        self.tell();
    }

    /// A node is gone from one moment to the next; the roster still names it.
    pub(crate) fn kill(&mut self, name: &str) {
        self.nodes.remove(&id(name));
        self.tell();
    }

    /// Puts nodes on a side of the network each. Links across end.
    pub(crate) fn split(&mut self, side_of: impl Fn(&NodeId) -> u8) {
        self.nodes.iter_mut().for_each(|(id, node)| node.side = side_of(id));
        self.tell();
    }

    fn linked(&self, a: &NodeId, b: &NodeId) -> bool {
        matches!((self.nodes.get(a), self.nodes.get(b)), (Some(a), Some(b)) if a.side == b.side)
    }

    /// Tells all nodes the roster, who is alive on their side, and the links there are.
    pub(crate) fn tell(&mut self) {
        let known: Vec<Boot> = self
            .roster
            .iter()
            .map(|(node, generation)| Boot { node: node.clone(), generation: *generation })
            .collect();
        let (now, ids): (_, Vec<NodeId>) = (self.now(), self.nodes.keys().cloned().collect());
        for node in &ids {
            let reached: Vec<NodeId> = ids.iter().filter(|other| self.linked(node, other)).cloned().collect();
            let core = &mut self.nodes.get_mut(node).unwrap().core;
            core.handle_roster(now, &known, &reached);
            for other in known.iter().filter(|other| other.node != *node) {
                core.handle_peer_down(&other.node);
                if reached.contains(&other.node) {
                    core.handle_peer_up(now, other);
                }
            }
        }
        self.flush(&ids);
    }

    /// Does something with a running node's core, and sends what follows.
    pub(crate) fn with<T>(&mut self, name: &str, act: impl FnOnce(&mut Metadata, Instant, u64) -> T) -> T {
        let (now, unix_ms) = (self.now(), self.unix_ms(&id(name)));
        let result = act(&mut self.nodes.get_mut(&id(name)).unwrap().core, now, unix_ms);
        self.flush(&[id(name)]);
        result
    }

    pub(crate) fn core(&self, name: &str) -> &Metadata {
        &self.nodes[&id(name)].core
    }

    fn flush(&mut self, touched: &[NodeId]) {
        let mut sent = Vec::new();
        for from in touched {
            let Some(node) = self.nodes.get_mut(from) else { continue };
            sent.extend(
                std::iter::from_fn(|| node.core.poll_transmit()).map(|transmit| (from.clone(), transmit)),
            );
        }
        for (from, transmit) in sent {
            let bytes = transmit.message.encode();
            assert!(bytes.len() <= MESSAGE_BYTES_MAX);
            self.largest_message = self.largest_message.max(bytes.len());
            self.bytes_sent += bytes.len() as u64;
            self.messages_sent += 1;
            let copies = 1 + usize::from(self.random(100) < self.faults.repeat_percent);
            for _ in 0..copies {
                if self.random(100) >= self.faults.loss_percent {
                    let latency = Duration::from_millis(1 + self.random(self.faults.latency_ms_max));
                    self.serial += 1;
                    let at = self.elapsed + latency;
                    self.flights.insert((at, self.serial, from.clone(), transmit.to.clone(), bytes.clone()));
                }
            }
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.elapsed + time;
        while self.step(end) {}
        self.elapsed = end;
    }

    /// Runs until something holds, and says how long it took; `None` when it does not come to it.
    pub(crate) fn run_until(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) -> Option<Duration> {
        let (begin, end) = (self.elapsed, self.elapsed + limit);
        loop {
            if holds(self) {
                return Some(self.elapsed - begin);
            }
            if !self.step(end) {
                self.elapsed = end;
                return holds(self).then(|| end - begin);
            }
        }
    }

    fn step(&mut self, end: Duration) -> bool {
        let timer = self.nodes.values().filter_map(|node| node.core.poll_timeout()).min();
        let timer = timer.map(|at| at.saturating_duration_since(self.begin));
        let flight = self.flights.first().map(|flight| flight.0);
        let Some(at) = timer.into_iter().chain(flight).min().filter(|at| *at <= end) else { return false };
        self.elapsed = self.elapsed.max(at);
        let now = self.now();
        let mut touched = Vec::new();
        if flight == Some(at) {
            let (_, _, from, to, bytes) = self.flights.pop_first().unwrap();
            if self.linked(&from, &to) {
                self.deliver(&from, &to, &bytes);
                touched.push(to);
            }
        } else {
            for (id, node) in &mut self.nodes {
                if node.core.poll_timeout().is_some_and(|at| at <= now) {
                    let unix_ms = START_UNIX_MS + self.elapsed.as_millis() as u64;
                    node.core.handle_timeout(now, unix_ms.saturating_add_signed(node.skew_ms));
                    assert!(node.core.poll_timeout().unwrap() > now, "time goes on");
                    touched.push(id.clone());
                }
            }
        }
        self.flush(&touched);
        true
    }

    fn deliver(&mut self, from: &NodeId, to: &NodeId, bytes: &[u8]) {
        let (now, unix_ms) = (self.now(), self.unix_ms(to));
        let message = Message::decode(bytes).unwrap();
        let core = &mut self.nodes.get_mut(to).unwrap().core;
        if let Err(refused) = core.handle_message(now, unix_ms, from, message) {
            self.refused.push(refused.to_string());
        }
    }

    pub(crate) fn seen_by(&self, name: &str) -> Vec<Seen> {
        let core = self.core(name);
        ["jobs", "own", "places"]
            .iter()
            .flat_map(|name| {
                let table = table(name);
                core.table(&table).map(|entry| seen(&entry)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Whether all that run know and see the same.
    pub(crate) fn agrees(&self) -> bool {
        let names: Vec<&str> = self.nodes.keys().map(NodeId::as_str).collect();
        names.windows(2).all(|pair| {
            self.core(pair[0]).digest() == self.core(pair[1]).digest()
                && self.seen_by(pair[0]) == self.seen_by(pair[1])
        })
    }

    /// What each node knows and sees, for a test that fails.
    pub(crate) fn describe(&self) -> String {
        let one = |name: &NodeId| {
            format!("{name}: {:?}\n  {:?}", self.core(name.as_str()).digest(), self.seen_by(name.as_str()))
        };
        format!("{:#?}\nrefused: {:?}", self.nodes.keys().map(one).collect::<Vec<_>>(), self.refused)
    }

    pub(crate) fn check_caps(&self) {
        for node in self.nodes.values() {
            let status = node.core.status();
            assert!(status.logs <= LOGS_MAX && status.bytes <= self.config.limits.total_bytes_max);
        }
    }
}
