//! Who a node is: its stable name, the boot it is in, and the fence that a worker issues.
//!
//! A name outlives restarts, a generation does not; the two together name one boot. Placement looks at names only, so
//! that a restart moves nothing, while everything that must not survive a restart is stamped with the generation.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The alphabet of RFC 4648 base32, in lower case: no two letters of it differ by case only.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The short, stable name of a node: 1 to 64 of `a-z A-Z 0-9 . _ -`, chosen by the user or generated.
///
/// Cheap to clone. Ordered by bytes, which breaks ties the same way on every node.
#[derive(Clone)]
pub struct NodeId(Arc<str>);

/// Why a text is not a [`NodeId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeIdError {
    /// The text is empty.
    #[error("a node id is empty: give it 1 to {} characters", NodeId::LENGTH_MAX)]
    Empty,
    /// The text has more than [`NodeId::LENGTH_MAX`] bytes.
    #[error("a node id of {length} bytes is longer than {}", NodeId::LENGTH_MAX)]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The text holds a character that no node id may have.
    #[error("{found:?} at byte {at} of a node id: only a-z, A-Z, 0-9, '.', '_' and '-' are allowed")]
    Forbidden {
        /// The character.
        found: char,
        /// Its position in bytes.
        at: usize,
    },
}

impl NodeId {
    /// The greatest length in bytes: the id travels in every gossip packet.
    pub const LENGTH_MAX: usize = 64;

    /// Checks a name and takes it.
    ///
    /// # Errors
    /// [`NodeIdError`] says what is wrong and where.
    pub fn new(name: &str) -> Result<Self, NodeIdError> {
        if name.is_empty() {
            return Err(NodeIdError::Empty);
        }
        if name.len() > Self::LENGTH_MAX {
            return Err(NodeIdError::TooLong { length: name.len() });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match name.char_indices().find(|(_, c)| !allowed(*c)) {
            Some((at, found)) => Err(NodeIdError::Forbidden { found, at }),
            None => Ok(Self(name.into())),
        }
    }

    /// The generated form: 128 random bits as 26 letters of base32.
    #[must_use]
    pub fn from_bits(bits: u128) -> Self {
        let name: String =
            (0..26).map(|digit| char::from(BASE32[((bits >> (digit * 5)) & 31) as usize])).collect();
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// The ids of one table are often clones of one another, which is seen faster than that their bytes are equal.
impl PartialEq for NodeId {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for NodeId {}

impl Hash for NodeId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialOrd for NodeId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NodeId {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

/// Takes a name as it lies in the input: one comes with each call.
struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = NodeId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a node")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<NodeId, E> {
        NodeId::new(name).map_err(E::custom)
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;
    fn from_str(name: &str) -> Result<Self, NodeIdError> {
        Self::new(name)
    }
}

impl TryFrom<String> for NodeId {
    type Error = NodeIdError;
    fn try_from(name: String) -> Result<Self, NodeIdError> {
        Self::new(&name)
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number that grows at every start of a node; with the [`NodeId`] it names one boot.
///
/// The upper 48 bits are Unix milliseconds, or one more than the last stored value where the clock went back; the
/// lower 16 are random, so that two boots which share a store that was lost still differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(u64);

impl Generation {
    /// The generation of a boot that starts at `unix_ms`, after the `last` one that was stored.
    #[must_use]
    pub fn next(unix_ms: u64, last: Option<Generation>, random: u16) -> Self {
        let floor = last.map_or(0, |last| (last.0 >> 16) + 1);
        Self(unix_ms.max(floor) << 16 | u64::from(random))
    }

    /// The smallest generation above this one: what a node takes after a peer says that it knows this one already.
    #[must_use]
    pub fn after(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// When the boot began, in milliseconds since the Unix epoch; later than that where a boot before it says so, since it
    /// is greater for each boot of a node that has stored the one before.
    #[must_use]
    pub fn unix_ms(self) -> u64 {
        self.0 >> 16
    }

    /// As a number, for storage.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// From a stored number.
    #[must_use]
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// One boot of one node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Boot {
    /// Which node.
    pub node: NodeId,
    /// Which start of it.
    pub generation: Generation,
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.generation)
    }
}

/// The number a worker issues each time it accepts a proxy; every frame that causes work carries it.
///
/// Nothing but the worker makes one, and within one boot of a worker none is made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Fence(pub u64);

impl Fence {
    /// The fence a worker issues after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn generations_grow_when_the_clock_goes_back() {
        let first = Generation::next(2_000, None, 9);
        let second = Generation::next(1_000, Some(first), 0);
        assert!(second > first);
        assert!(first.after() > first);
    }

    #[test]
    fn errors_say_where() {
        assert_eq!(NodeId::new("a b"), Err(NodeIdError::Forbidden { found: ' ', at: 1 }));
        assert_eq!(NodeId::new(""), Err(NodeIdError::Empty));
        assert_eq!(NodeId::new(&"x".repeat(65)), Err(NodeIdError::TooLong { length: 65 }));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in ".{0,80}") {
            if let Ok(id) = NodeId::new(&text) {
                prop_assert_eq!(id.as_str(), text.as_str());
                prop_assert_eq!(id.to_string().parse::<NodeId>().unwrap(), id);
            }
        }

        #[test]
        fn generated_ids_are_valid_and_differ(a: u128, b: u128) {
            let (x, y) = (NodeId::from_bits(a), NodeId::from_bits(b));
            prop_assert_eq!(NodeId::new(x.as_str()).unwrap(), x.clone());
            prop_assert_eq!(a == b, x == y);
        }

        #[test]
        fn serde_refuses_what_the_parser_refuses(text in ".{0,80}") {
            let bytes = postcard::to_stdvec(&text).unwrap();
            prop_assert_eq!(postcard::from_bytes::<NodeId>(&bytes).is_ok(), NodeId::new(&text).is_ok());
        }
    }
}
