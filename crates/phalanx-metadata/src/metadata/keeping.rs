//! What is kept, taken over, and forgotten.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use phalanx_base::Boot;

use super::Metadata;
use crate::Key;
use crate::clock::WRITE_AHEAD_MS_MAX;
use crate::config::Rule;
use crate::memory::REMOVAL_KEPT_MS;
use crate::origins::Wanted;
use crate::random::pick;
use crate::record::{Content, Order, Record, Stamp};

/// How often logs of those that are gone are looked at.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How often the own log is looked at as a whole: what is done there may wait.
pub(super) const COMPACT_INTERVAL: Duration = Duration::from_secs(60);
/// How long a log has no origin before others take over: what its origin said last is told by those who heard it.
const TAKE_OVER_AFTER: Duration = Duration::from_secs(5);
/// How long a record has lost before its log has no more to say about the key: by then the winner is known everywhere, so
/// that nobody misses both.
const LOST_FOR: Duration = Duration::from_secs(600);

impl Metadata {
    /// Takes over from logs whose origin is gone, drops those whose time is over, and decides about what is remembered.
    pub(super) fn sweep(&mut self) {
        for origin in self.replica.logs().keys().cloned().collect::<Vec<_>>() {
            match self.origins.wanted(self.now, &origin) {
                Wanted::Present => {}
                Wanted::Orphan { since, .. } if self.now < since + TAKE_OVER_AFTER => {}
                Wanted::Orphan { .. } => self.take_over(&origin, false),
                Wanted::Gone | Wanted::Unknown => {
                    self.take_over(&origin, true);
                    self.replica.drop_log(&origin);
                }
            }
        }
        self.origins.forget(self.now);
        self.write_again();
    }

    /// Copies records with several writers that nobody who is left has into the own log, with their stamps: those that
    /// fall to this node; at the last moment all of them, for it knows a log that the others may not know.
    fn take_over(&mut self, origin: &Boot, last_moment: bool) {
        let Some(log) = self.replica.logs().get(origin) else { return };
        let mut taken = Vec::new();
        for (key, record) in log.records() {
            if self.is_worth_keeping(key, record)
                && self.is_winner(origin, key, record)
                && !self.is_kept_by_others(origin, key, record)
                && (last_moment || self.falls_to_me(key))
            {
                taken.push((key.clone(), record.clone()));
            }
        }
        self.keep(taken);
    }

    fn is_worth_keeping(&self, key: &Key, record: &Record) -> bool {
        let alone = self.replica.holders(key).len() <= 1;
        self.replica.rule(key.table()) == Some(Rule::LastWriter)
            && !record.is_vacant()
            && !(record.is_dead() && self.is_expired(record) && alone)
    }

    fn is_winner(&self, origin: &Boot, key: &Key, record: &Record) -> bool {
        let winner = self.replica.winner(key);
        winner.and_then(|winner| self.replica.compare(key, (origin, record), winner)) == Some(Ordering::Equal)
    }

    fn is_kept_by_others(&self, origin: &Boot, key: &Key, record: &Record) -> bool {
        self.replica.holders(key).iter().any(|holder| {
            let other = self.replica.logs().get(holder).and_then(|log| log.record(key));
            let order = other.and_then(|other| self.replica.compare(key, (holder, other), (origin, record)));
            order.is_some_and(Ordering::is_ge) && self.origins.wanted(self.now, holder) == Wanted::Present
        })
    }

    fn falls_to_me(&self, key: &Key) -> bool {
        pick(key, self.origins.live()) == Some(&self.boot.node)
    }

    /// Whether a record that is held would win.
    pub(super) fn is_news(&self, key: &Key, record: &Record) -> bool {
        let winner = self.replica.winner(key);
        winner.is_none_or(|winner| {
            self.replica.compare(key, (&self.boot, record), winner) == Some(Ordering::Greater)
        })
    }

    /// Writes again what is remembered and nobody has.
    fn write_again(&mut self) {
        let decision = self.memory.decide(self.now, self.unix_ms, self.origins.is_alone());
        let (Some(all), Some(held)) = (decision, self.memory.held.as_ref()) else { return };
        // While this node's clock is so far behind, others would refuse its log; and perhaps somebody sets it.
        let early = |record: &Record| record.stamp.unix_ms > self.unix_ms.saturating_add(WRITE_AHEAD_MS_MAX);
        let mut written = Vec::new();
        let mut waiting = BTreeMap::new();
        for (key, record) in &held.records {
            if !self.is_worth_keeping(key, record) || !self.is_news(key, record) {
                continue;
            }
            if early(record) || !all && !self.falls_to_me(key) {
                waiting.insert(key.clone(), record.clone());
            } else {
                written.push((key.clone(), record.clone()));
            }
        }
        self.memory.still_holds(waiting);
        self.keep(written);
    }

    fn keep(&mut self, records: Vec<(Key, Record)>) {
        for (key, record) in records {
            if !self.replica.has_room(&key, &record) {
                self.records_without_room += 1;
                continue;
            }
            self.clock.observe(self.unix_ms, &record.stamp);
            self.replica.append(&key, record);
            self.flush_soon();
        }
    }

    /// Makes the own log smaller.
    pub(super) fn compact(&mut self) {
        self.vacate();
        self.forget_removals();
    }

    /// Takes back what has lost against others for long.
    fn vacate(&mut self) {
        let mut losing = BTreeMap::new();
        for (key, record) in self.replica.own_log().records() {
            let lost = self.replica.winner(key).is_some_and(|(origin, _)| {
                *origin != self.boot && self.origins.wanted(self.now, origin) == Wanted::Present
            });
            if lost && !record.is_vacant() && self.replica.rule(key.table()) != Some(Rule::Single) {
                let since = self.losing.get(key).copied().unwrap_or(self.now);
                losing.insert(key.clone(), since);
            }
        }
        let now = self.now;
        let old: Vec<Key> =
            losing.extract_if(.., |_, since| now >= *since + LOST_FOR).map(|(key, _)| key).collect();
        self.losing = losing;
        for key in old {
            let stamp = Stamp { unix_ms: self.unix_ms, counter: 0, writer: self.boot.node.clone() };
            let content = Content::Vacant;
            self.replica.append(&key, Record { stamp, order: Order::default(), content });
            self.flush_soon();
        }
    }

    /// Raises the watermark above removals that are old enough. One that still hides a record of another log is written
    /// again above it.
    fn forget_removals(&mut self) {
        let (mut watermark, mut needed) = (0, Vec::new());
        for (version, key, record) in self.replica.own_log().dead() {
            if !self.is_expired(record) {
                break;
            }
            let hides = self.replica.holders(key).iter().any(|holder| *holder != self.boot);
            if hides && !record.is_vacant() {
                needed.push((version, key.clone(), record.clone()));
            } else {
                watermark = version;
            }
        }
        if watermark == 0 {
            return;
        }
        for (version, key, record) in needed {
            if version < watermark {
                self.replica.append(&key, record);
            }
        }
        self.replica.with_own(|log| log.raise_watermark(watermark));
        self.flush_soon();
    }

    fn is_expired(&self, record: &Record) -> bool {
        record.stamp.unix_ms.saturating_add(REMOVAL_KEPT_MS) <= self.unix_ms
    }
}
