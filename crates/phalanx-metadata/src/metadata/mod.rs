//! The core: what the program writes and reads, what other control nodes say, and what follows.

mod exchanging;
mod keeping;
mod writing;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use phalanx_base::{Boot, NodeId};

use crate::changes::Event;
use crate::clock::HybridClock;
use crate::config::{MetadataConfig, Rule};
use crate::memory::{self, Memory, RestoreError};
use crate::origins::Origins;
use crate::peers::Peers;
use crate::random::Random;
use crate::replica::{Entry, Replica};
use crate::wire::{Message, Position};
use crate::{Key, Table};

/// For how long writes are gathered before they are sent.
pub const BATCH: Duration = Duration::from_millis(20);
/// How often what is known is compared with a random peer.
pub const EXCHANGE_INTERVAL: Duration = Duration::from_secs(1);

/// A message to send. It is fine to drop it: what is lost is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// To whom.
    pub to: NodeId,
    /// What.
    pub message: Message,
}

/// How much there is, for people who look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Logs that are held, this node's own among them.
    pub logs: usize,
    /// Records in all of them, removed ones included.
    pub records: usize,
    /// What they take in memory, roughly.
    pub bytes: usize,
    /// Parts of logs that were refused.
    pub parts_refused: u64,
    /// Records that this node should have taken over from a log, or restored, and had no room for.
    pub records_without_room: u64,
}

/// What one control node knows of what all of them have written.
///
/// *To read*: [`value`](Self::value), [`table`](Self::table), [`digest`](Self::digest), [`status`](Self::status),
/// [`snapshot`](Self::snapshot). *To write*: [`set`](Self::set), [`remove`](Self::remove), [`restore`](Self::restore).
/// *Inputs*: `handle_…`, in any order; after each of them and each write fetch what follows: [`poll_transmit`](Self::poll_transmit)
/// and [`poll_event`](Self::poll_event) until they give nothing, then [`poll_timeout`](Self::poll_timeout) for when to
/// call [`handle_timeout`](Self::handle_timeout). The caller owns the clocks: `now` must not go back, `unix_ms` may. No
/// call blocks.
#[derive(Debug)]
pub struct Metadata {
    boot: Boot,
    replica: Replica,
    clock: HybridClock,
    origins: Origins,
    peers: Peers,
    memory: Memory,
    random: Random,
    /// Records of the own log that lose against another's, and since when.
    losing: BTreeMap<Key, Instant>,
    /// Up to where the own log is sent to everybody.
    push_target: u64,
    flush_at: Option<Instant>,
    exchange_at: Instant,
    sweep_at: Instant,
    compact_at: Instant,
    /// The clocks of the last input: a message is made of what was known by then.
    now: Instant,
    unix_ms: u64,
    parts_refused: u64,
    records_without_room: u64,
}

impl Metadata {
    /// The knowledge of a boot that begins now: nothing. All randomness comes from the seed.
    #[must_use]
    pub fn new(boot: Boot, config: MetadataConfig, now: Instant, unix_ms: u64, seed: u64) -> Self {
        let mut random = Random::new(seed);
        // Nodes that start together do not exchange together.
        let phase = Duration::from_millis(random.below(EXCHANGE_INTERVAL.as_millis() as u64));
        Self {
            replica: Replica::new(boot.clone(), config),
            clock: HybridClock::new(boot.node.clone()),
            origins: Origins::new(now, boot.clone()),
            peers: Peers::default(),
            memory: Memory::new(now, unix_ms),
            random,
            losing: BTreeMap::new(),
            push_target: 0,
            flush_at: None,
            exchange_at: now + phase,
            sweep_at: now + keeping::SWEEP_INTERVAL,
            compact_at: now + keeping::COMPACT_INTERVAL,
            now,
            unix_ms,
            parts_refused: 0,
            records_without_room: 0,
            boot,
        }
    }

    /// Who this is.
    #[must_use]
    pub fn boot(&self) -> &Boot {
        &self.boot
    }

    /// The winning value under a key.
    #[must_use]
    pub fn value(&self, key: &Key) -> Option<Entry<'_>> {
        self.replica.entry(key)
    }

    /// The winning values of a table, by name.
    pub fn table<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = Entry<'a>> {
        self.replica.table(table)
    }

    /// How far this node has come in each log, by origin. Nodes with equal digests know the same.
    #[must_use]
    pub fn digest(&self) -> Vec<Position> {
        let position = |(origin, log): (&Boot, &crate::log::Log)| Position {
            origin: origin.clone(),
            known: log.known(),
            ahead: log.base() - log.known(),
        };
        // Whether one has written nothing, or never was: nobody need know.
        self.replica.logs().iter().filter(|(_, log)| log.base() > 0).map(position).collect()
    }

    /// How much there is.
    #[must_use]
    pub fn status(&self) -> Status {
        let logs = self.replica.logs();
        Status {
            logs: logs.len(),
            records: logs.values().map(crate::log::Log::len).sum(),
            bytes: self.replica.bytes(),
            parts_refused: self.parts_refused,
            records_without_room: self.records_without_room,
        }
    }

    /// Everything in the tables of [`Rule::LastWriter`], removals too, for this node's store: so that it outlives a stop
    /// of the whole cluster. What was restored and is not written again yet is in it.
    #[must_use]
    pub fn snapshot(&self, unix_ms: u64) -> Bytes {
        let of_many = |key: &Key| self.replica.rule(key.table()) == Some(Rule::LastWriter);
        let winners = self.replica.winners().filter(|(key, _)| of_many(key));
        let held = self.memory.held.iter().flat_map(|held| &held.records);
        let held = held.filter(|(key, record)| self.is_news(key, record));
        // Of two records of a key the later one in the order stays: what is held and is news.
        let records: BTreeMap<_, _> = winners.chain(held).collect();
        memory::encode(&self.boot.node, self.memory.coverage(unix_ms), records.into_iter())
    }

    /// Takes back a snapshot, at best before the first message. For [`LISTEN`](crate::LISTEN) nothing of it is to be
    /// seen: this node listens first, since what it remembers may be out of date. What nobody else has by then is written
    /// again with its stamp unchanged, by one of those that remember it. Returns how many records there are.
    ///
    /// # Errors
    /// [`RestoreError`]; nothing has changed.
    pub fn restore(&mut self, now: Instant, unix_ms: u64, snapshot: &[u8]) -> Result<usize, RestoreError> {
        self.tick(now, unix_ms);
        if snapshot.len() > self.replica.config().limits.total_bytes_max {
            return Err(RestoreError::TooLarge { bytes: snapshot.len() });
        }
        let held = memory::decode(snapshot)?;
        let count = held.records.len();
        self.memory.hold(now, held);
        Ok(count)
    }

    /// What the roster says: every control node that is not given up, with its generation, and which of them are alive. It
    /// decides whose logs are taken and kept, and who takes over from those that are gone; so tell it each change.
    ///
    /// A node that is not named any more is removed: what it wrote in tables of [`Rule::LastWriter`] is taken over by the
    /// live ones, and the rest is dropped after [`REMOVED_KEPT`](crate::REMOVED_KEPT). At most
    /// [`NODES_MAX`](crate::NODES_MAX) are taken.
    pub fn handle_roster(&mut self, now: Instant, known: &[Boot], live: &[NodeId]) {
        self.now = self.now.max(now);
        self.origins.roster(now, known, live);
        self.peers.forgive();
    }

    /// A link to a control node came up, and says in which boot it is.
    pub fn handle_peer_up(&mut self, now: Instant, peer: &Boot) {
        self.now = self.now.max(now);
        self.origins.linked(now, peer);
        if peer.node != self.boot.node && self.peers.up(&peer.node, self.push_target) {
            self.peers.pull(now, &peer.node, true);
        }
    }

    /// The last link to a control node is lost.
    pub fn handle_peer_down(&mut self, node: &NodeId) {
        self.peers.down(node);
    }

    /// Time has passed: at [`poll_timeout`](Self::poll_timeout), or at any other.
    pub fn handle_timeout(&mut self, now: Instant, unix_ms: u64) {
        self.tick(now, unix_ms);
        if self.sweep_at <= now {
            self.sweep_at = now + keeping::SWEEP_INTERVAL;
            self.sweep();
        }
        if self.compact_at <= now {
            self.compact_at = now + keeping::COMPACT_INTERVAL;
            self.compact();
        }
        if self.flush_at.is_some_and(|at| at <= now) {
            self.flush_at = None;
            self.push_target = self.replica.own_log().known();
        }
        if self.exchange_at <= now {
            self.exchange_at = now + EXCHANGE_INTERVAL;
            self.exchange();
        }
    }

    /// When time is next of importance.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let fixed = self.exchange_at.min(self.sweep_at).min(self.compact_at);
        Some(self.flush_at.map_or(fixed, |flush_at| flush_at.min(fixed)))
    }

    /// What has changed for readers.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.replica.changes.pop()
    }

    fn tick(&mut self, now: Instant, unix_ms: u64) {
        self.now = self.now.max(now);
        self.unix_ms = unix_ms;
    }

    /// The own log has grown: it is sent with whatever else is written within a moment.
    fn flush_soon(&mut self) {
        self.flush_at.get_or_insert(self.now + BATCH);
    }
}
