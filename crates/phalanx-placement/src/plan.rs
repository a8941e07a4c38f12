//! What changes hands between two placements.

use std::collections::BTreeSet;

use phalanx_base::{Move, NodeId, Partition};

use crate::Placement;

/// The partitions that change hands between two placements.
///
/// Only a change of owner is a move; a change of standbys costs nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    moves: Vec<Move>,
    ideal: usize,
}

impl Plan {
    /// The plan that leads from one placement to another.
    #[must_use]
    pub fn between(before: &Placement, after: &Placement) -> Self {
        let (old, new): (BTreeSet<&NodeId>, BTreeSet<&NodeId>) =
            (before.owner_nodes().iter().collect(), after.owner_nodes().iter().collect());
        let mut plan = Self::default();
        for partition in (0..=u16::MAX).map(Partition) {
            let (from, to) = (before.owner_node(partition), after.owner_node(partition));
            if from == to {
                continue;
            }
            let must_move = from.is_some_and(|from| !new.contains(from));
            let should_move = to.is_some_and(|to| !old.contains(to));
            plan.ideal += usize::from(must_move || should_move);
            plan.moves.push(Move { partition, from: from.cloned(), to: to.cloned() });
        }
        plan
    }

    /// Every move, sorted by partition.
    #[must_use]
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// The moves away from a node, sorted by partition.
    pub fn moved_from<'a>(&'a self, node: &'a NodeId) -> impl Iterator<Item = &'a Move> {
        self.moves.iter().filter(move |change| change.from.as_ref() == Some(node))
    }

    /// The moves to a node, sorted by partition.
    pub fn moved_to<'a>(&'a self, node: &'a NodeId) -> impl Iterator<Item = &'a Move> {
        self.moves.iter().filter(move |change| change.to.as_ref() == Some(node))
    }

    /// How many partitions nodes that joined gain or nodes that left lose: the moves that no placement could
    /// spare. The others go between nodes that stay, for the sake of balance or of a changed weight.
    #[must_use]
    pub fn ideal(&self) -> usize {
        self.ideal
    }

    /// Whether nothing moves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }
}
