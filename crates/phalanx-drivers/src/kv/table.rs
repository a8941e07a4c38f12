//! The table behind a worker's small data: what is kept, under which version, within which bounds.
//!
//! It is a value without I/O: the handler around it does no more than ask it.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::class::{Condition, KvError, KvUsage, Listed, Page, Version, Versioned};
use super::limits::{KvLimits, PAGE_BYTES_MAX, PAGE_KEYS_MAX};

/// What is kept of one key.
#[derive(Debug, Clone)]
struct Kept {
    number: u64,
    value: Bytes,
}

/// Keys, values and versions. Each call either does all it is asked for or nothing.
#[derive(Debug)]
pub struct Table {
    limits: KvLimits,
    life: u64,
    last: u64,
    bytes: u64,
    kept: BTreeMap<String, Kept>,
}

impl Table {
    /// An empty table. `life` tells its versions from those of another table: draw it at random.
    #[must_use]
    pub fn new(limits: KvLimits, life: u64) -> Self {
        Self { limits, life, last: 0, bytes: 0, kept: BTreeMap::new() }
    }

    /// The value of a key, and its version.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Versioned> {
        let kept = self.kept.get(key)?;
        Some(Versioned { version: self.version(kept.number), value: kept.value.clone() })
    }

    /// Sets a value, and says its version.
    ///
    /// # Errors
    /// [`KvError`]; nothing has changed then.
    pub fn put(&mut self, key: &str, value: Bytes, condition: Condition) -> Result<Version, KvError> {
        self.check(key, condition)?;
        self.limits.check(key, &value)?;
        let before = self.kept.get(key).map(|kept| size(key, &kept.value));
        let (added, removed) = (size(key, &value), before.unwrap_or(0));
        // What is there is counted in `bytes`, so this does not go below nothing.
        let bytes = self.bytes - removed + added;
        if bytes > self.limits.bytes_max {
            return Err(KvError::BytesFull { bytes_max: self.limits.bytes_max });
        }
        if before.is_none() && self.kept.len() >= self.limits.keys_max {
            return Err(KvError::KeysFull { keys_max: self.limits.keys_max as u64 });
        }
        self.last += 1;
        self.bytes = bytes;
        self.kept.insert(key.to_owned(), Kept { number: self.last, value });
        Ok(self.version(self.last))
    }

    /// Removes a key. Says whether it was there.
    ///
    /// # Errors
    /// [`KvError::Conflict`]; nothing has changed then.
    pub fn delete(&mut self, key: &str, condition: Condition) -> Result<bool, KvError> {
        self.check(key, condition)?;
        let Some(kept) = self.kept.remove(key) else { return Ok(false) };
        self.bytes -= size(key, &kept.value);
        Ok(true)
    }

    /// The keys that begin with `prefix` and come after `after`, in their order, as far as one page goes.
    #[must_use]
    pub fn list(&self, prefix: &str, after: Option<&str>, keys_max: u32) -> Page {
        let room = usize::try_from(keys_max).unwrap_or(usize::MAX).clamp(1, PAGE_KEYS_MAX);
        // A place before the prefix counts as its begin; one behind it finds nothing.
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut page = Page { keys: Vec::new(), more: false };
        let mut bytes = 0;
        for (key, kept) in self.kept.range::<str, _>((from, Bound::Unbounded)) {
            if !key.starts_with(prefix) {
                break;
            }
            bytes += key.len();
            if page.keys.len() >= room || (bytes > PAGE_BYTES_MAX && !page.keys.is_empty()) {
                page.more = true;
                break;
            }
            let version = self.version(kept.number);
            page.keys.push(Listed { key: key.clone(), version, value_bytes: kept.value.len() as u64 });
        }
        page
    }

    /// How much is kept, and of how much.
    #[must_use]
    pub fn usage(&self) -> KvUsage {
        KvUsage {
            keys: self.kept.len() as u64,
            keys_max: self.limits.keys_max as u64,
            bytes: self.bytes,
            bytes_max: self.limits.bytes_max,
        }
    }

    fn version(&self, number: u64) -> Version {
        Version { life: self.life, number }
    }

    fn check(&self, key: &str, condition: Condition) -> Result<(), KvError> {
        let present = self.kept.get(key).map(|kept| self.version(kept.number));
        let holds = match condition {
            Condition::Always => true,
            Condition::Absent => present.is_none(),
            Condition::Is(version) => present == Some(version),
        };
        if holds { Ok(()) } else { Err(KvError::Conflict { present }) }
    }
}

fn size(key: &str, value: &Bytes) -> u64 {
    (key.len() + value.len()) as u64
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
