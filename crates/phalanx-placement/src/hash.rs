//! The one hash function of placement, and the canonical bytes that go into it.
//!
//! Every node must compute the same owners, on every machine and with every version of the standard library. So
//! the hash is SipHash-1-3 under a fixed key, and what is hashed is one run of bytes that is defined here:
//! never the `Hash` of a tuple or a string, whose writes the standard library may change, and always a single
//! [`Hasher::write`], because a hasher may treat two short writes otherwise than one long one.

use std::hash::{BuildHasher, Hash, Hasher};

use phalanx_base::{NodeId, Partition};
use siphasher::sip::SipHasher13;

/// The key of the hash. It is no secret and protects nothing: it only must never change, since it decides who
/// owns what.
const KEY: &[u8; 16] = b"phalanx-ring-1-3";

/// What is hashed begins with a byte that says what it is, so that no two kinds share bytes.
const TAG_POINT: u8 = 1;
const TAG_LOOKUP: u8 = 2;
const TAG_RANK: u8 = 3;
const TAG_DRAW: u8 = 4;
const TAG_ASSIGNED: u8 = 5;

/// The partition of a worker: SipHash-1-3 over the bytes of its id under the key `phalanx-ring-1-3`, modulo
/// [`Partition::COUNT`] (the low 16 bits).
///
/// It looks at the id only, never at the generation, so that a restart moves nothing.
#[must_use]
pub fn partition(worker: &NodeId) -> Partition {
    Partition((SipHasher13::new_with_key(KEY).hash(worker.as_str().as_bytes()) & 0xffff) as u16)
}

/// Makes the hashers of the ring.
pub(crate) struct RingHash;

impl BuildHasher for RingHash {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(KEY)
    }
}

/// One of the points where a control node stands on the ring.
///
/// Its bytes: 1, the node's id, the number (4 bytes, little-endian).
pub(crate) struct Point<'a> {
    pub(crate) node: &'a NodeId,
    /// The node's place in the sorted table of nodes; not hashed.
    pub(crate) index: u16,
    /// Which of the node's points.
    pub(crate) number: u32,
}

impl Hash for Point<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut buffer = [0; 1 + NodeId::LENGTH_MAX + 4];
        let id = self.node.as_str().as_bytes();
        let end = 1 + id.len();
        buffer[0] = TAG_POINT;
        buffer[1..end].copy_from_slice(id);
        buffer[end..end + 4].copy_from_slice(&self.number.to_le_bytes());
        state.write(&buffer[..end + 4]);
    }
}

/// One try to find a node for a partition.
///
/// Its bytes: 2, the partition (2 bytes, little-endian), the attempt (4 bytes, little-endian).
pub(crate) struct Lookup {
    pub(crate) partition: Partition,
    pub(crate) attempt: u32,
}

impl Hash for Lookup {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [p0, p1] = self.partition.0.to_le_bytes();
        let [a0, a1, a2, a3] = self.attempt.to_le_bytes();
        state.write(&[TAG_LOOKUP, p0, p1, a0, a1, a2, a3]);
    }
}

/// How much a partition prefers a node where the ring gives no answer (rendezvous hashing: Thaler and
/// Ravishankar, 1998).
///
/// The bytes: 3, the partition (2 bytes, little-endian), the node's id.
pub(crate) fn rank(partition: Partition, node: &NodeId) -> u64 {
    let mut buffer = [0; 3 + NodeId::LENGTH_MAX];
    let id = node.as_str().as_bytes();
    buffer[0] = TAG_RANK;
    buffer[1..3].copy_from_slice(&partition.0.to_le_bytes());
    buffer[3..3 + id.len()].copy_from_slice(id);
    SipHasher13::new_with_key(KEY).hash(&buffer[..3 + id.len()])
}

/// The lot of a worker in one choice: the same for the same seed, and else as good as random.
///
/// The bytes: 4, the seed (8 bytes, little-endian), the worker's id.
pub(crate) fn draw(seed: u64, worker: &NodeId) -> u64 {
    let mut buffer = [0; 9 + NodeId::LENGTH_MAX];
    let id = worker.as_str().as_bytes();
    buffer[0] = TAG_DRAW;
    buffer[1..9].copy_from_slice(&seed.to_le_bytes());
    buffer[9..9 + id.len()].copy_from_slice(id);
    SipHasher13::new_with_key(KEY).hash(&buffer[..9 + id.len()])
}

/// What a key, or the id of a worker, counts as when keys are assigned: the hash of its bytes as they are.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    SipHasher13::new_with_key(KEY).hash(bytes)
}

/// How much a key prefers a worker, of their digests.
///
/// The bytes: 5, the key's digest, the worker's digest (8 bytes each, little-endian).
pub(crate) fn assigned_rank(key: u64, worker: u64) -> u64 {
    let mut buffer = [TAG_ASSIGNED; 17];
    buffer[1..9].copy_from_slice(&key.to_le_bytes());
    buffer[9..].copy_from_slice(&worker.to_le_bytes());
    SipHasher13::new_with_key(KEY).hash(&buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_of_the_bytes_that_the_documents_say() {
        let sip = |bytes: &[u8]| SipHasher13::new_with_key(b"phalanx-ring-1-3").hash(bytes);
        let node = NodeId::new("control-1").unwrap();
        let point = Point { node: &node, index: 9, number: 0x0403_0201 };
        assert_eq!(RingHash.hash_one(point), sip(b"\x01control-1\x01\x02\x03\x04"));
        let lookup = Lookup { partition: Partition(0x0201), attempt: 7 };
        assert_eq!(RingHash.hash_one(lookup), sip(b"\x02\x01\x02\x07\0\0\0"));
        assert_eq!(rank(Partition(0x0201), &node), sip(b"\x03\x01\x02control-1"));
        assert_eq!(draw(0x0201, &node), sip(b"\x04\x01\x02\0\0\0\0\0\0control-1"));
        assert_eq!(digest(b"key"), sip(b"key"));
        assert_eq!(assigned_rank(0x0201, 3), sip(b"\x05\x01\x02\0\0\0\0\0\0\x03\0\0\0\0\0\0\0"));
        assert_eq!(u64::from(partition(&node).0), sip(b"control-1") % 65_536);
    }

    #[test]
    fn the_longest_id_fits_the_buffers() {
        let node = NodeId::new(&"x".repeat(NodeId::LENGTH_MAX)).unwrap();
        let point = |number| RingHash.hash_one(Point { node: &node, index: 0, number });
        assert_ne!(point(0), point(1));
        assert_ne!(rank(Partition(0), &node), rank(Partition(1), &node));
        assert_ne!(draw(0, &node), draw(1, &node));
    }
}
