//! The ring: finds a control node for a partition, among those that a caller accepts.
//!
//! Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2018), where a refused partition
//! tries another place of the ring instead of the next point, so that a full node does not flood its neighbour.

use hashring::HashRing;
use phalanx_base::{NodeId, Partition};

use crate::hash::{Lookup, Point, RingHash, rank};

/// How many points a control node has on the ring for each unit of its weight: shares then differ by some 4 %
/// (1/√512), so that the cap on shares refuses few partitions, and few move for its sake.
const POINTS_PER_WEIGHT: u32 = 512;

/// How many places of the ring one search tries. Where a search for an owner begins, nodes that are below their
/// cap have at least an eleventh of the weight (a full node has 1.1 times its share, so full nodes have at most
/// 1/1.1 of the weight), and so of the ring, give or take 4 %: a search fails once in some 400 at the very
/// worst, and usually the first place will do. A search for a standby may accept one node of many; then the
/// limit bounds the work.
const ATTEMPTS_MAX: u32 = 64;

pub(crate) struct Ring<'a> {
    nodes: &'a [NodeId],
    ring: HashRing<Point<'a>, RingHash>,
}

impl<'a> Ring<'a> {
    /// A ring of these nodes, sorted by id, with their weights. Equal nodes with equal weights make equal
    /// rings: the points are added in the order of the nodes, and sorting them by hash is stable.
    pub(crate) fn new(nodes: &'a [NodeId], weights: &[u16]) -> Self {
        let points = (0..).zip(nodes).zip(weights).flat_map(|((index, node), weight)| {
            (0..u32::from(*weight) * POINTS_PER_WEIGHT).map(move |number| Point { node, index, number })
        });
        let mut ring = HashRing::with_hasher(RingHash);
        ring.batch_add(points.collect());
        Self { nodes, ring }
    }

    /// Finds a node for a partition that `accepts` takes: the first one at the places of the ring that follow
    /// from the partition and the next values of `attempt`, which is counted up past the last place tried;
    /// failing that, of all acceptable nodes the one with the highest rank for this partition. `None` only if
    /// no node is acceptable.
    pub(crate) fn find(
        &self,
        partition: Partition,
        attempt: &mut u32,
        accepts: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        for _ in 0..ATTEMPTS_MAX {
            let lookup = Lookup { partition, attempt: *attempt };
            *attempt += 1;
            let index = self.ring.get(&lookup)?.index;
            if accepts(index) {
                return Some(index);
            }
        }
        // Ranks depend on the partition and the one node only: as nodes come and go, no other one's choice
        // changes.
        (0..)
            .zip(self.nodes)
            .filter(|(index, _)| accepts(*index))
            .max_by_key(|(_, node)| rank(partition, node))
            .map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn nodes(count: usize) -> Vec<NodeId> {
        (0..count).map(|number| NodeId::new(&format!("node-{number:03}")).unwrap()).collect()
    }

    #[test]
    fn a_search_finds_the_one_acceptable_node_or_none() {
        let nodes = nodes(100);
        let ring = Ring::new(&nodes, &[1; 100]);
        for partition in (0..500).map(Partition) {
            assert_eq!(ring.find(partition, &mut 0, |index| index == 42), Some(42));
            assert_eq!(ring.find(partition, &mut 0, |_| false), None);
        }
        assert_eq!(Ring::new(&[], &[]).find(Partition(0), &mut 0, |_| true), None);
    }

    #[test]
    fn a_search_goes_on_where_the_last_one_ended() {
        let nodes = nodes(3);
        let ring = Ring::new(&nodes, &[1; 3]);
        let mut attempt = 0;
        let first = ring.find(Partition(7), &mut attempt, |_| true);
        assert_eq!(attempt, 1);
        let other = ring.find(Partition(7), &mut attempt, |index| Some(index) != first);
        assert!(other.is_some() && other != first && attempt > 1);
    }

    #[test]
    fn the_fallback_spreads_over_the_acceptable_nodes() {
        let nodes = nodes(100);
        let ring = Ring::new(&nodes, &[1; 100]);
        let mut found = [0; 3];
        for partition in (0..3000).map(Partition) {
            // Every place of the ring is refused, so that the ranks decide.
            let calls = Cell::new(0);
            let accepts = |index| calls.replace(calls.get() + 1) >= ATTEMPTS_MAX && index < 3;
            let index = ring.find(partition, &mut 0, accepts).unwrap();
            found[usize::from(index)] += 1;
        }
        assert!(found.iter().all(|count| (900..=1100).contains(count)), "{found:?}");
    }
}
