//! What one origin says under a key, and which of several such words wins.

use std::cmp::Ordering;

use bytes::Bytes;
use phalanx_base::{Boot, NodeId};
use serde::{Deserialize, Serialize};

use crate::Key;
use crate::config::Rule;

/// When a record was written, by a hybrid logical clock (Kulkarni and others, 2014), and by whom. A copy of a record in
/// another log keeps its stamp, so that nothing changes for readers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Milliseconds since the Unix epoch, or more where the writer had seen more.
    pub unix_ms: u64,
    /// Tells writes of one millisecond apart.
    pub counter: u32,
    /// The node that wrote it first.
    pub writer: NodeId,
}

/// What a record of [`Rule::Greatest`] is compared by, first number first; for a location, generation and fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Order(pub u64, pub u64);

/// What is under a key. Of two records that are equal in everything else, the greater content wins everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Content {
    /// A value.
    Value(Bytes),
    /// Somebody has removed it: it wins over what is older, in any log.
    Removed,
    /// This log has nothing more to say about the key: another's record has won long ago. It wins over nothing.
    Vacant,
}

/// What one log says under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) stamp: Stamp,
    pub(crate) order: Order,
    pub(crate) content: Content,
}

/// What a record takes beside its texts and its value: numbers, the tables' own bookkeeping, roughly.
const RECORD_OVERHEAD_BYTES: usize = 128;

impl Record {
    /// What it takes in memory, roughly, which is more than on the wire.
    pub(crate) fn bytes(&self, key: &Key) -> usize {
        let value = if let Content::Value(value) = &self.content { value.len() } else { 0 };
        RECORD_OVERHEAD_BYTES + key.bytes() + self.stamp.writer.as_str().len() + value
    }

    pub(crate) fn is_vacant(&self) -> bool {
        self.content == Content::Vacant
    }

    /// Whether it is kept for a while only: what the watermark passes.
    pub(crate) fn is_dead(&self) -> bool {
        !matches!(self.content, Content::Value(_))
    }

    /// Which of two records under one key wins, by the rule of its table. Copies of one record are equal.
    pub(crate) fn compare(&self, log: &Boot, other: &Self, others_log: &Boot, rule: Rule) -> Ordering {
        let first = match rule {
            Rule::Single => log.generation.cmp(&others_log.generation),
            Rule::LastWriter => Ordering::Equal,
            Rule::Greatest => self.order.cmp(&other.order),
        };
        first.then_with(|| self.stamp.cmp(&other.stamp)).then_with(|| self.content.cmp(&other.content))
    }
}
