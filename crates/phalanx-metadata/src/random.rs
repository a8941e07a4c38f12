//! The core's own random numbers, from the seed that the caller gives, and the hash that shares out keys.
//!
//! Both are written out here: a run must replay, and all nodes must come to the same choice, on every platform and with
//! every version of a library.

use phalanx_base::NodeId;

use crate::Key;

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`; 0 where the bound is 0. The bias of the modulus is far below what gossip could notice.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % bound.max(1)
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Which of some nodes takes a key over: the one with the highest weight for it (rendezvous hashing, Thaler and
/// Ravishankar, 1998). Whoever sees the same nodes comes to the same choice.
pub(crate) fn pick<'a>(key: &Key, nodes: impl IntoIterator<Item = &'a NodeId>) -> Option<&'a NodeId> {
    nodes.into_iter().max_by_key(|node| (weight(key, node), *node))
}

/// FNV-1a over table, name and node, each with its end marked, and mixed once more, since FNV-1a alone spreads the last
/// bytes badly.
fn weight(key: &Key, node: &NodeId) -> u64 {
    let texts = [key.table().as_str(), key.name(), node.as_str()];
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0xff]));
    mix(bytes
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;

    #[test]
    fn keys_are_shared_out_and_only_the_lost_nodes_keys_move() {
        let nodes: Vec<NodeId> = (0..4).map(|n| NodeId::new(&format!("node-{n}")).unwrap()).collect();
        let mut counts = [0; 4];
        for n in 0..4_000 {
            let key = Key::new(Table::new("jobs").unwrap(), &format!("job-{n}")).unwrap();
            let first = pick(&key, &nodes).unwrap();
            counts[nodes.iter().position(|node| node == first).unwrap()] += 1;
            let rest = pick(&key, &nodes[1..]).unwrap();
            assert!(first == &nodes[0] || rest == first);
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
        assert_eq!(pick(&Key::of_node(Table::new("jobs").unwrap(), &nodes[0]), &[]), None);
    }
}
