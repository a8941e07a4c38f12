//! All logs, and which record wins under each key.
//!
//! What is read often is kept ready: the winner of each key. When a log changes, only the keys that it names are looked
//! at, and for each only the logs that hold it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use phalanx_base::Boot;

use crate::changes::Changes;
use crate::config::{MetadataConfig, Rule};
use crate::log::{Log, PartError};
use crate::record::{Content, Order, Record, Stamp};
use crate::wire::Part;
use crate::{Key, Table};

/// A value that readers see, and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its key.
    pub key: &'a Key,
    /// The value.
    pub value: &'a Bytes,
    /// When it was written, and by whom.
    pub stamp: &'a Stamp,
    /// What it is compared by in a table of [`Rule::Greatest`].
    pub order: Order,
    /// Whose log it stands in: not its writer's where another node has taken it over.
    pub origin: &'a Boot,
}

/// The record that wins under a key, and the logs that have one.
#[derive(Debug)]
struct Merged {
    winner: Record,
    origin: Boot,
    holders: Vec<Boot>,
}

#[derive(Debug)]
pub(crate) struct Replica {
    own: Boot,
    config: MetadataConfig,
    logs: BTreeMap<Boot, Log>,
    merged: BTreeMap<Key, Merged>,
    bytes: usize,
    pub(crate) changes: Changes,
}

impl Replica {
    pub(crate) fn new(own: Boot, config: MetadataConfig) -> Self {
        let logs = BTreeMap::from([(own.clone(), Log::default())]);
        Self { own, config, logs, merged: BTreeMap::new(), bytes: 0, changes: Changes::default() }
    }

    pub(crate) fn rule(&self, table: &Table) -> Option<Rule> {
        self.config.tables.get(table).copied()
    }

    pub(crate) fn config(&self) -> &MetadataConfig {
        &self.config
    }

    pub(crate) fn logs(&self) -> &BTreeMap<Boot, Log> {
        &self.logs
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn own_log(&self) -> &Log {
        self.logs.get(&self.own).expect("the own log is there from the start and is never dropped")
    }

    /// The winning record of a key, be it a value or a removal, and whose log it is in.
    pub(crate) fn winner(&self, key: &Key) -> Option<(&Boot, &Record)> {
        self.merged.get(key).map(|merged| (&merged.origin, &merged.winner))
    }

    /// The logs that have a record under a key.
    pub(crate) fn holders(&self, key: &Key) -> &[Boot] {
        self.merged.get(key).map_or(&[], |merged| &merged.holders)
    }

    pub(crate) fn entry(&self, key: &Key) -> Option<Entry<'_>> {
        self.merged.get_key_value(key).and_then(|(key, merged)| merged.entry(key))
    }

    pub(crate) fn table<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = Entry<'a>> {
        let from = Key::first_of(table);
        let of_table = self.merged.range(from..).take_while(move |(key, _)| key.table() == table);
        of_table.filter_map(|(key, merged)| merged.entry(key))
    }

    /// Every winning record, removals too.
    pub(crate) fn winners(&self) -> impl Iterator<Item = (&Key, &Record)> {
        self.merged.iter().map(|(key, merged)| (key, &merged.winner))
    }

    /// How two records compare, be there one in the second log or not.
    pub(crate) fn compare(&self, key: &Key, a: (&Boot, &Record), b: (&Boot, &Record)) -> Option<Ordering> {
        Some(a.1.compare(a.0, b.1, b.0, self.rule(key.table())?))
    }

    pub(crate) fn has_room(&self, key: &Key, record: &Record) -> bool {
        self.own_log().has_room(key, record, self.bytes_free(), &self.config.limits)
    }

    /// Writes a record into the own log, whether there is room or not.
    pub(crate) fn append(&mut self, key: &Key, record: Record) {
        self.with_own(|log| {
            log.append(key.clone(), record);
            vec![key.clone()]
        });
    }

    /// Changes the own log; what is told to have changed is merged anew.
    pub(crate) fn with_own(&mut self, change: impl FnOnce(&mut Log) -> Vec<Key>) {
        let own = self.own.clone();
        let log = self.logs.entry(own.clone()).or_default();
        let before = log.bytes();
        let changed = change(log);
        self.bytes = self.bytes - before + log.bytes();
        changed.iter().for_each(|key| self.merge(&own, key));
    }

    /// Takes a part of another origin's log. Nothing has changed after an error.
    pub(crate) fn apply(&mut self, part: &Part) -> Result<(), PartError> {
        let bytes_free = self.bytes_free();
        let mut unknown = Log::default();
        let known = self.logs.get_mut(&part.origin);
        let is_new = known.is_none();
        let log = known.unwrap_or(&mut unknown);
        let before = log.bytes();
        let changed = log.apply(part, bytes_free, &self.config.limits)?;
        self.bytes = self.bytes - before + log.bytes();
        if is_new {
            self.logs.insert(part.origin.clone(), unknown);
        }
        changed.iter().for_each(|key| self.merge(&part.origin, key));
        Ok(())
    }

    /// Forgets a log.
    pub(crate) fn drop_log(&mut self, origin: &Boot) {
        let Some(log) = self.logs.remove(origin) else { return };
        self.bytes -= log.bytes();
        log.records().for_each(|(key, _)| self.merge(origin, key));
    }

    fn bytes_free(&self) -> usize {
        self.config.limits.total_bytes_max.saturating_sub(self.bytes)
    }

    /// Finds the winner of a key under which a log has changed.
    fn merge(&mut self, origin: &Boot, key: &Key) {
        let Some(rule) = self.rule(key.table()) else { return };
        let of = |boot: &Boot| {
            let record = self.logs.get(boot).and_then(|log| log.record(key));
            record.filter(|record| !record.is_vacant())
        };
        let mut holders =
            self.merged.get_mut(key).map(|merged| std::mem::take(&mut merged.holders)).unwrap_or_default();
        holders.retain(|holder| holder != origin);
        if of(origin).is_some() {
            // Nearly every key has one holder: no room for more.
            holders.reserve_exact(1);
            holders.push(origin.clone());
        }
        let records = holders.iter().filter_map(|holder| Some((holder, of(holder)?)));
        let best = records.max_by(|a, b| a.1.compare(a.0, b.1, b.0, rule).then_with(|| a.0.cmp(b.0)));
        let best = best.map(|(holder, record)| (holder.clone(), record.clone()));
        let before = self.merged.get(key).map(|merged| &merged.winner);
        if before.and_then(visible) != best.as_ref().and_then(|(_, record)| visible(record)) {
            self.changes.push(key);
        }
        match best {
            Some((origin, winner)) => {
                self.merged.insert(key.clone(), Merged { winner, origin, holders });
            }
            None => {
                self.merged.remove(key);
            }
        }
    }
}

impl Merged {
    fn entry<'a>(&'a self, key: &'a Key) -> Option<Entry<'a>> {
        let value = visible(&self.winner)?.0;
        let Record { stamp, order, .. } = &self.winner;
        Some(Entry { key, value, stamp, order: *order, origin: &self.origin })
    }
}

/// What a reader sees of a record; nothing of a removal.
fn visible(record: &Record) -> Option<(&Bytes, &Stamp, Order)> {
    match &record.content {
        Content::Value(value) => Some((value, &record.stamp, record.order)),
        Content::Removed | Content::Vacant => None,
    }
}
