//! What control nodes tell each other: what they know, and parts of logs.
//!
//! A part says all that is left of a range of versions of one log. So a version that is missing from it was written over
//! or forgotten, and what comes twice, late or not at all does no harm: the next range begins where the last one ended.

use bytes::Bytes;
use phalanx_base::{Boot, NodeId};
use serde::{Deserialize, Serialize};

use crate::Key;
use crate::record::{Content, Order, Record, Stamp};

/// The largest message in bytes. It holds three of the largest values, and passes a slow link in a second or two.
pub const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// The largest value in bytes. What is larger belongs on the bulk lane.
pub const VALUE_BYTES_MAX: usize = 64 << 10;
/// How many logs a node keeps: 128 control nodes, each with some generations that are still being taken over.
pub const LOGS_MAX: usize = 512;
/// The greatest version: nobody counts that far, and it leaves room to count on.
pub(crate) const VERSION_MAX: u64 = 1 << 60;
/// The first byte of each message.
const WIRE_VERSION: u8 = 1;
/// What a line takes on the wire beside its texts and its value, at most: numbers and lengths.
const LINE_OVERHEAD_BYTES: usize = 72;
/// What a part takes beside its lines, at most.
const PART_OVERHEAD_BYTES: usize = NodeId::LENGTH_MAX + 64;
/// What is left for parts in a message.
pub(crate) const MESSAGE_ROOM_BYTES: usize = MESSAGE_BYTES_MAX - 64;

const _: () = assert!(
    PART_OVERHEAD_BYTES
        + LINE_OVERHEAD_BYTES
        + crate::Table::BYTES_MAX
        + Key::NAME_BYTES_MAX
        + NodeId::LENGTH_MAX
        + VALUE_BYTES_MAX
        < MESSAGE_ROOM_BYTES,
    "any record fits in a message"
);
const _: () = assert!(
    2 * LOGS_MAX * (NodeId::LENGTH_MAX + 32) < MESSAGE_ROOM_BYTES,
    "what is known about all logs fits in a message"
);

/// A message between two control nodes. [`Message::encode`] and [`Message::decode`] take it over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message(pub(crate) Body);

/// Grows at its end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Body {
    /// What the sender knows; it wants what it lacks.
    Digest(Digest),
    /// What the receiver of a digest knows beyond it.
    Answer {
        parts: Vec<Part>,
        /// There is more, for whoever asks again.
        more: bool,
    },
    /// What the sender has just written itself.
    Push(Part),
}

/// What a node knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    pub(crate) positions: Vec<Position>,
    /// Logs that it has refused lately, and does not want.
    pub(crate) declined: Vec<Boot>,
    pub(crate) coverage: Coverage,
    /// Whether the receiver shall ask in turn for what it lacks itself.
    pub(crate) both: bool,
}

/// How far a node has come in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which log.
    pub origin: Boot,
    /// It has all that is left of the versions up to this one.
    pub known: u64,
    /// While it takes a log anew: up to which version the parts that it has had are accurate, less `known`. Else 0.
    pub ahead: u64,
}

/// From when to when a node has heard of each removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Coverage {
    pub(crate) since_unix_ms: u64,
    pub(crate) until_unix_ms: u64,
}

/// All that is left of the versions after `from` up to `to` of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) origin: Boot,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// What its sender knows: each line is the last one of its key among these versions.
    pub(crate) head: u64,
    /// Dead records up to here may have been forgotten.
    pub(crate) watermark: u64,
    /// By version.
    pub(crate) lines: Vec<Line>,
}

/// One record of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) version: u64,
    pub(crate) key: Key,
    unix_ms: u64,
    counter: u32,
    /// `None` for the log's own node, as nearly always.
    writer: Option<NodeId>,
    order: Option<Order>,
    content: Content,
}

/// Why bytes are no [`Message`]. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is larger than [`MESSAGE_BYTES_MAX`].
    #[error("a metadata message of {bytes} bytes is larger than {MESSAGE_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is empty or of another wire version.
    #[error("a metadata message of a wire version that is not known: upgrade the older of the two nodes")]
    Version,
    /// It does not decode, or contradicts itself.
    #[error("a malformed metadata message")]
    Malformed,
}

impl Message {
    /// The message as bytes, at most [`MESSAGE_BYTES_MAX`].
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let bytes = postcard::to_extend(self, vec![WIRE_VERSION]);
        bytes.expect("a message has no map, no float and no length unknown before").into()
    }

    /// The message in some bytes. It allocates a small multiple of them at most.
    ///
    /// # Errors
    /// [`DecodeError`] for what no node sends.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(DecodeError::TooLarge { bytes: bytes.len() });
        }
        let Some((&WIRE_VERSION, body)) = bytes.split_first() else {
            return Err(DecodeError::Version);
        };
        match postcard::take_from_bytes::<Self>(body) {
            Ok((message, [])) if message.is_sound() => Ok(message),
            _ => Err(DecodeError::Malformed),
        }
    }

    fn is_sound(&self) -> bool {
        match &self.0 {
            Body::Digest(digest) => digest.is_sound(),
            Body::Answer { parts, .. } => parts.len() <= LOGS_MAX && parts.iter().all(Part::is_sound),
            Body::Push(part) => part.is_sound(),
        }
    }
}

impl Digest {
    fn is_sound(&self) -> bool {
        let sane = |position: &Position| position.known <= VERSION_MAX && position.ahead <= VERSION_MAX;
        self.positions.len() <= LOGS_MAX
            && self.declined.len() <= LOGS_MAX
            && self.positions.iter().all(sane)
            && self.positions.is_sorted_by(|a, b| a.origin < b.origin)
    }
}

impl Part {
    fn is_sound(&self) -> bool {
        let inside = |line: &Line| self.from < line.version && line.version <= self.to && line.is_sound();
        self.from < self.to
            && self.to <= self.head
            && self.head <= VERSION_MAX
            && self.watermark <= self.head
            && self.lines.iter().all(inside)
            && self.lines.is_sorted_by(|a, b| a.version < b.version)
    }

    /// What it takes on the wire before the first line, at most.
    pub(crate) const fn bytes_empty() -> usize {
        PART_OVERHEAD_BYTES
    }
}

impl Line {
    pub(crate) fn new(version: u64, key: &Key, record: &Record, origin: &Boot) -> Self {
        let Record { stamp, order, content } = record;
        Self {
            version,
            key: key.clone(),
            unix_ms: stamp.unix_ms,
            counter: stamp.counter,
            writer: (stamp.writer != origin.node).then(|| stamp.writer.clone()),
            order: (*order != Order::default()).then_some(*order),
            content: content.clone(),
        }
    }

    pub(crate) fn record(&self, origin: &Boot) -> Record {
        let writer = self.writer.as_ref().unwrap_or(&origin.node).clone();
        let stamp = Stamp { unix_ms: self.unix_ms, counter: self.counter, writer };
        Record { stamp, order: self.order.unwrap_or_default(), content: self.content.clone() }
    }

    /// What it takes on the wire, at most.
    pub(crate) fn bytes_max(key: &Key, record: &Record) -> usize {
        let value = if let Content::Value(value) = &record.content { value.len() } else { 0 };
        LINE_OVERHEAD_BYTES + key.bytes() + record.stamp.writer.as_str().len() + value
    }

    fn is_sound(&self) -> bool {
        !matches!(&self.content, Content::Value(value) if value.len() > VALUE_BYTES_MAX)
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
