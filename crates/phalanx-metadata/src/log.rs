//! The log of one origin: a version for each write, and the last record of each key.
//!
//! Every node that has come to the same version of a log has the same records of it. Dead records are forgotten below
//! the *watermark*, which the origin raises. Whoever is behind the watermark may have missed a removal: it takes the log
//! anew, and keeps what it had until it has all of it, so that nothing is missing meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use phalanx_base::Boot;

use crate::Key;
use crate::config::Limits;
use crate::record::Record;
use crate::wire::{Line, Part};

/// The log of one origin, as one node knows it.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The versions up to here are known.
    known: u64,
    /// While the log is taken anew: the least head of those who sent parts of it. What was removed up to there shows in
    /// all of them. Else below `known`.
    base: u64,
    watermark: u64,
    records: BTreeMap<Key, (u64, Record)>,
    by_version: BTreeMap<u64, Key>,
    /// The versions of dead records.
    dead: BTreeSet<u64>,
    /// Versions that a part should have had, while the log is taken anew: gone when that is done.
    stale: BTreeSet<u64>,
    bytes: usize,
}

/// Why a part was not taken. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartError {
    /// What it says is known already.
    Old,
    /// Something before it is missing.
    Gap,
    /// The log would be larger than allowed.
    TooLarge,
}

impl Log {
    pub(crate) fn known(&self) -> u64 {
        self.known
    }

    /// What was removed up to here is known, in each part.
    pub(crate) fn base(&self) -> u64 {
        self.base.max(self.known)
    }

    pub(crate) fn watermark(&self) -> u64 {
        self.watermark
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it is taken anew: it cannot be passed on then.
    pub(crate) fn is_partial(&self) -> bool {
        self.known < self.base
    }

    pub(crate) fn record(&self, key: &Key) -> Option<&Record> {
        self.records.get(key).map(|(_, record)| record)
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = (&Key, &Record)> {
        self.records.iter().map(|(key, (_, record))| (key, record))
    }

    /// Whether a record fits beside what there is, with the bytes that all logs may take more.
    pub(crate) fn has_room(&self, key: &Key, record: &Record, bytes_free: usize, limits: &Limits) -> bool {
        let (records, bytes) = self.growth(std::iter::once((key, record)));
        self.len() + records <= limits.log_records_max
            && self.bytes + bytes <= limits.log_bytes_max
            && bytes <= bytes_free
    }

    /// Writes a record of the own log, with the next version.
    pub(crate) fn append(&mut self, key: Key, record: Record) {
        self.known += 1;
        self.put(self.known, key, record);
    }

    /// Forgets dead records up to the watermark, of the own log. It takes a version, so that everybody hears of it.
    pub(crate) fn raise_watermark(&mut self, watermark: u64) -> Vec<Key> {
        self.known += 1;
        self.watermark = watermark;
        self.forget_dead()
    }

    /// Begins the own log anew above a version that somebody claims to know: everybody takes it again.
    pub(crate) fn outbid(&mut self, claimed: u64) {
        self.known = self.known.max(claimed) + 1;
        self.watermark = self.known;
    }

    /// The dead records by version.
    pub(crate) fn dead(&self) -> impl Iterator<Item = (u64, &Key, &Record)> {
        self.dead.iter().filter_map(|version| {
            let key = self.by_version.get(version)?;
            Some((*version, key, self.record(key)?))
        })
    }

    /// What is left of the versions after `from` up to `to`, as far as it fits. `None` where nothing fits, or the range
    /// is empty.
    pub(crate) fn part(&self, origin: &Boot, from: u64, to: u64, room: &mut usize) -> Option<Part> {
        if from >= to || *room < Part::bytes_empty() {
            return None;
        }
        let (mut left, mut reached) = (*room - Part::bytes_empty(), to);
        let mut lines = Vec::new();
        for (version, key) in self.by_version.range(from + 1..=to) {
            let Some(record) = self.record(key) else { continue };
            let bytes = Line::bytes_max(key, record);
            if bytes > left {
                // Everything before the line that does not fit is said.
                reached = version - 1;
                break;
            }
            left -= bytes;
            lines.push(Line::new(*version, key, record, origin));
        }
        if reached <= from {
            return None;
        }
        *room = left;
        let (head, watermark) = (self.known, self.watermark);
        Some(Part { origin: origin.clone(), from, to: reached, head, watermark, lines })
    }

    /// Takes a part of somebody else's log, all of it or nothing; the keys under which something has changed.
    pub(crate) fn apply(
        &mut self,
        part: &Part,
        bytes_free: usize,
        limits: &Limits,
    ) -> Result<Vec<Key>, PartError> {
        let anew = part.watermark > self.base();
        if anew && part.from > 0 || part.from > self.known {
            return Err(PartError::Gap);
        }
        if !anew && part.to <= self.known {
            return Err(PartError::Old);
        }
        let start = if anew { 0 } else { self.known };
        let new = part.lines.iter().filter(|line| line.version > start);
        let new: Vec<(u64, Key, Record)> =
            new.map(|line| (line.version, line.key.clone(), line.record(&part.origin))).collect();
        // What is taken anew may stand beside what was there before.
        let times = if anew || self.is_partial() { 2 } else { 1 };
        let (records, bytes) = self.growth(new.iter().map(|(_, key, record)| (key, record)));
        if self.len() + records > limits.log_records_max.saturating_mul(times)
            || self.bytes + bytes > limits.log_bytes_max.saturating_mul(times)
            || bytes > bytes_free
        {
            return Err(PartError::TooLarge);
        }
        if anew {
            (self.known, self.base) = (0, part.head);
            self.stale.clear();
        }
        Ok(self.advance(part, new))
    }

    fn advance(&mut self, part: &Part, new: Vec<(u64, Key, Record)>) -> Vec<Key> {
        if self.is_partial() {
            self.base = self.base.min(part.head);
            let covered = self.by_version.range(self.known + 1..=part.to).map(|(version, _)| *version);
            self.stale.extend(covered);
        }
        let mut changed = Vec::with_capacity(new.len());
        for (version, key, record) in new {
            self.stale.remove(&version);
            changed.push(key.clone());
            changed.extend(self.put(version, key, record));
        }
        self.known = part.to;
        self.watermark = self.watermark.max(part.watermark);
        if !self.is_partial() {
            for version in std::mem::take(&mut self.stale) {
                changed.extend(self.delete(version));
            }
            changed.extend(self.forget_dead());
        }
        changed
    }

    fn forget_dead(&mut self) -> Vec<Key> {
        let versions: Vec<u64> = self.dead.range(..=self.watermark).copied().collect();
        versions.into_iter().filter_map(|version| self.delete(version)).collect()
    }

    /// How many records and bytes more these would take; of several under one key each is counted.
    fn growth<'a>(&self, new: impl Iterator<Item = (&'a Key, &'a Record)>) -> (usize, usize) {
        new.fold((0, 0), |(records, bytes), (key, record)| {
            let old = self.record(key);
            let more = record.bytes(key).saturating_sub(old.map_or(0, |old| old.bytes(key)));
            (records + usize::from(old.is_none()), bytes + more)
        })
    }

    /// Puts a record in place of an older one of its key. The key of another record that had this version and is gone:
    /// a relay has lied about one of them.
    fn put(&mut self, version: u64, key: Key, record: Record) -> Option<Key> {
        if let Some((old_version, _)) = self.records.get(&key) {
            self.delete(*old_version);
        }
        let displaced = self.delete(version);
        self.bytes += record.bytes(&key);
        if record.is_dead() {
            self.dead.insert(version);
        }
        self.by_version.insert(version, key.clone());
        self.records.insert(key, (version, record));
        displaced
    }

    fn delete(&mut self, version: u64) -> Option<Key> {
        let key = self.by_version.remove(&version)?;
        self.dead.remove(&version);
        self.stale.remove(&version);
        if let Some((_, record)) = self.records.remove(&key) {
            self.bytes -= record.bytes(&key);
        }
        Some(key)
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
