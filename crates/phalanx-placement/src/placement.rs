//! Who owns which partition: a pure function of the roster.
//!
//! Every control node computes it for itself and, of the same roster, comes to the same answer: so ownership
//! needs no election, no log and no message. What changes the answer is only the set of active control nodes
//! with their weights and zones; generations, addresses and the order of arrival do not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use phalanx_base::{NodeId, Owner, Partition, RosterEntry, RosterVersion, RosterView};

use crate::hash::partition;
use crate::ring::Ring;
use crate::zones::Zones;

/// Stands for "nobody" among the indices of nodes.
const NOBODY: u16 = u16::MAX;

/// The owner of a partition and its standbys, as indices into the table of nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seat {
    owner: u16,
    standbys: [u16; Owner::STANDBYS],
}

/// Who owns which partition, and who stands in.
///
/// Cheap to clone: the table behind it (some 400 kB) is shared and never changes.
#[derive(Clone, PartialEq, Eq)]
pub struct Placement(Arc<Table>);

#[derive(PartialEq, Eq, Default)]
struct Table {
    version: RosterVersion,
    /// Sorted.
    nodes: Vec<NodeId>,
    /// How many partitions each node owns.
    shares: Vec<usize>,
    /// One for each partition, or none at all where there is no node.
    seats: Vec<Seat>,
}

impl Placement {
    /// The greatest number of control nodes that own partitions; of a larger roster the first by id do. Twice
    /// the 128 that a cluster is made for: the time and the memory that a placement takes grow with it.
    pub const NODES_MAX: usize = 256;

    /// The placement by a roster.
    ///
    /// Active entries own partitions. A node has 512 points on the ring for each unit of weight (a weight
    /// outside of 1 to [`RosterEntry::WEIGHT_MAX`] counts as the nearer end). Each partition, in order, goes to
    /// the first node at its places of the ring that owns fewer than `ceil(1.10 × 65,536 × weight ÷ sum of
    /// weights)`; further places give two standbys, which are other nodes, in zones other than the owner's and
    /// each other's where there are such nodes, and else at least not in the owner's.
    ///
    /// Takes some tens of milliseconds for 128 nodes: call it when the roster has changed, not for each
    /// question.
    #[must_use]
    pub fn compute(roster: &RosterView) -> Self {
        let entries: Vec<&RosterEntry> = roster.active().take(Self::NODES_MAX).collect();
        let nodes: Vec<NodeId> = entries.iter().map(|entry| entry.node.clone()).collect();
        let weights: Vec<u16> =
            entries.iter().map(|entry| entry.weight.clamp(1, RosterEntry::WEIGHT_MAX)).collect();
        let mut table = Table { version: roster.version(), shares: vec![0; nodes.len()], ..Table::default() };
        if !nodes.is_empty() {
            let ring = Ring::new(&nodes, &weights);
            let caps = caps(&weights);
            let zones = Zones::new(entries.iter().map(|entry| entry.zone.as_str()));
            table.seats = (0..=u16::MAX)
                .map(|number| seat(&ring, Partition(number), &caps, &mut table.shares, &zones))
                .collect();
        }
        table.nodes = nodes;
        Self(Arc::new(table))
    }

    /// The version of the roster that this follows from.
    #[must_use]
    pub fn version(&self) -> RosterVersion {
        self.0.version
    }

    /// The nodes that own partitions, sorted by id.
    #[must_use]
    pub fn owner_nodes(&self) -> &[NodeId] {
        &self.0.nodes
    }

    /// Who owns the partition of a worker; `None` only where no control node is active.
    #[must_use]
    pub fn owner_of(&self, worker: &NodeId) -> Option<Owner> {
        self.owner(partition(worker))
    }

    /// Who owns a partition; `None` only where no control node is active.
    #[must_use]
    pub fn owner(&self, partition: Partition) -> Option<Owner> {
        let seat = self.seat(partition)?;
        let standbys = seat.standbys.iter().filter_map(|index| self.node(*index)).cloned().collect();
        Some(Owner { node: self.node(seat.owner)?.clone(), standbys })
    }

    /// The owner of a partition without its standbys; allocates nothing.
    #[must_use]
    pub fn owner_node(&self, partition: Partition) -> Option<&NodeId> {
        self.node(self.seat(partition)?.owner)
    }

    /// How many partitions a node owns.
    #[must_use]
    pub fn share(&self, node: &NodeId) -> usize {
        self.0.nodes.binary_search(node).map_or(0, |index| self.0.shares[index])
    }

    fn seat(&self, partition: Partition) -> Option<&Seat> {
        self.0.seats.get(usize::from(partition.0))
    }

    fn node(&self, index: u16) -> Option<&NodeId> {
        self.0.nodes.get(usize::from(index))
    }
}

impl Default for Placement {
    /// The placement of an empty roster: nobody owns anything.
    fn default() -> Self {
        Self(Arc::new(Table::default()))
    }
}

impl fmt::Debug for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares: BTreeMap<_, _> = self.0.nodes.iter().zip(&self.0.shares).collect();
        f.debug_struct("Placement").field("version", &self.0.version).field("shares", &shares).finish()
    }
}

/// The most partitions that each node may own: `ceil(1.10 × 65,536 × weight ÷ sum of weights)`, in whole
/// numbers.
fn caps(weights: &[u16]) -> Vec<usize> {
    let sum: usize = weights.iter().copied().map(usize::from).sum();
    weights.iter().map(|weight| (11 * Partition::COUNT * usize::from(*weight)).div_ceil(10 * sum)).collect()
}

/// Finds the owner and the standbys of one partition, and counts it to the owner's share.
fn seat(ring: &Ring<'_>, partition: Partition, caps: &[usize], shares: &mut [usize], zones: &Zones) -> Seat {
    let mut attempt = 0;
    let below_cap = |index: u16| shares[usize::from(index)] < caps[usize::from(index)];
    // The caps add up to more than the partitions, so that some node is below its cap each time.
    let owner = ring
        .find(partition, &mut attempt, below_cap)
        .expect("caps add up to 1.1 times the partitions, so not every node is full");
    shares[usize::from(owner)] += 1;
    let mut standbys = [NOBODY; Owner::STANDBYS];
    let mut taken = vec![owner];
    for standby in &mut standbys {
        let Some(rule) = zones.strictest_rule(&taken) else { break };
        let Some(index) = ring.find(partition, &mut attempt, |index| zones.allow(rule, index, &taken)) else {
            break;
        };
        *standby = index;
        taken.push(index);
    }
    Seat { owner, standbys }
}
