//! What a node remembers from before its start.
//!
//! A store may be old: what was removed since then must not come back by it. So a node listens first. What it remembers
//! is older than the removals that are still known, and somebody here has been there all the time since: then it is out
//! of date, and forgotten. Else whatever nobody has is written again, with its stamp unchanged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use phalanx_base::{Boot, Generation, NodeId};
use serde::{Deserialize, Serialize};

use crate::Key;
use crate::record::Record;
use crate::wire::{Coverage, Line};

/// How long the removal of a record is remembered.
pub const REMOVAL_KEPT_MS: u64 = 3_600_000;
/// How long a node listens before it says what it remembers, and again before it says what others should have said.
pub const LISTEN: Duration = Duration::from_secs(10);

const SNAPSHOT_VERSION: u8 = 1;

/// Why a snapshot was not restored. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// It is empty or of another version.
    #[error(
        "a metadata snapshot of a version that is not known: start the program that wrote it, or do without"
    )]
    Version,
    /// It does not decode.
    #[error("a malformed metadata snapshot: it is damaged, or of something else")]
    Malformed,
    /// It is larger than all logs together may be.
    #[error("a metadata snapshot of {bytes} bytes is larger than the limit for all logs: raise the limits")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// Records of a store that are not written again yet.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) records: BTreeMap<Key, Record>,
    pub(crate) coverage: Coverage,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    node: NodeId,
    coverage: Coverage,
    lines: Vec<Line>,
}

#[derive(Debug)]
pub(crate) struct Memory {
    since_unix_ms: u64,
    decide_at: Instant,
    settled: bool,
    pub(crate) held: Option<Held>,
    /// What others have heard, while this node listens.
    heard: BTreeMap<NodeId, Coverage>,
}

impl Memory {
    pub(crate) fn new(now: Instant, unix_ms: u64) -> Self {
        let decide_at = now + LISTEN;
        Self { since_unix_ms: unix_ms, decide_at, settled: false, held: None, heard: BTreeMap::new() }
    }

    pub(crate) fn hear(&mut self, from: &NodeId, coverage: Coverage) {
        if !self.settled && (self.heard.len() < crate::NODES_MAX || self.heard.contains_key(from)) {
            self.heard.insert(from.clone(), coverage);
        }
    }

    pub(crate) fn hold(&mut self, now: Instant, held: Held) {
        self.settled = false;
        self.decide_at = now + LISTEN;
        self.held = Some(held);
    }

    /// From when to when this node knows of removals.
    pub(crate) fn coverage(&self, unix_ms: u64) -> Coverage {
        match &self.held {
            Some(held) => held.coverage,
            None if self.settled => Coverage { since_unix_ms: self.since_unix_ms, until_unix_ms: unix_ms },
            None => Coverage { since_unix_ms: self.since_unix_ms, until_unix_ms: self.since_unix_ms },
        }
    }

    /// Whether it is time to write again what is held, and if so, whether all of it, since others had their time to. What
    /// is out of date is no longer held then.
    pub(crate) fn decide(&mut self, now: Instant, unix_ms: u64, alone: bool) -> Option<bool> {
        if now < self.decide_at {
            return None;
        }
        if self.settled {
            return self.held.as_ref().map(|_| now >= self.decide_at + LISTEN);
        }
        if let Some(Held { coverage, .. }) = &self.held {
            let forgotten_unix_ms = coverage.until_unix_ms.saturating_add(REMOVAL_KEPT_MS);
            let knew_better = |heard: &Coverage| {
                heard.since_unix_ms <= coverage.until_unix_ms && heard.until_unix_ms > forgotten_unix_ms
            };
            if unix_ms > forgotten_unix_ms && self.heard.is_empty() && !alone {
                return None;
            }
            if self.heard.values().any(knew_better) {
                self.held = None;
            } else {
                self.since_unix_ms = self.since_unix_ms.min(coverage.since_unix_ms);
            }
        }
        let inherited = self.heard.values().filter(|heard| heard.until_unix_ms >= self.since_unix_ms);
        self.since_unix_ms = inherited.map(|heard| heard.since_unix_ms).fold(self.since_unix_ms, u64::min);
        self.settled = true;
        self.heard.clear();
        self.held.as_ref().map(|_| false)
    }

    /// The rest of what is held.
    pub(crate) fn still_holds(&mut self, records: BTreeMap<Key, Record>) {
        self.held = self.held.take().filter(|_| !records.is_empty()).map(|held| Held { records, ..held });
    }
}

/// Records as bytes for a store.
pub(crate) fn encode<'a>(
    node: &NodeId,
    coverage: Coverage,
    records: impl Iterator<Item = (&'a Key, &'a Record)>,
) -> Bytes {
    let origin = origin(node);
    let lines = records.map(|(key, record)| Line::new(0, key, record, &origin)).collect();
    let stored = Stored { node: node.clone(), coverage, lines };
    let bytes = postcard::to_extend(&stored, vec![SNAPSHOT_VERSION]);
    bytes.expect("a snapshot has no map, no float and no length unknown before").into()
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Held, RestoreError> {
    let Some((&SNAPSHOT_VERSION, body)) = bytes.split_first() else {
        return Err(RestoreError::Version);
    };
    let stored = postcard::take_from_bytes::<Stored>(body);
    let Ok((Stored { node, coverage, lines }, [])) = stored else {
        return Err(RestoreError::Malformed);
    };
    let origin = origin(&node);
    let records = lines.into_iter().map(|line| (line.key.clone(), line.record(&origin))).collect();
    Ok(Held { records, coverage })
}

/// A line leaves out the writer where it is the origin's node.
fn origin(node: &NodeId) -> Boot {
    Boot { node: node.clone(), generation: Generation::from_u64(0) }
}
