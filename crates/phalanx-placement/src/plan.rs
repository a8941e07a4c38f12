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

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_base::{AddressList, Generation, RosterEntry, RosterState, RosterView};

    fn placement(nodes: &[(&str, u16)]) -> Placement {
        let entry = |(name, weight): &(&str, u16)| RosterEntry {
            node: NodeId::new(name).unwrap(),
            generation: Generation::from_u64(1),
            state: RosterState::Active,
            weight: *weight,
            zone: String::new(),
            addresses: AddressList::default(),
            version: 1,
        };
        Placement::compute(&RosterView::new(nodes.iter().map(entry).collect()))
    }

    #[test]
    fn the_first_node_takes_all_and_the_last_one_gives_all_up() {
        let (nobody, one) = (Placement::default(), placement(&[("a", 1)]));
        let (first, last) = (Plan::between(&nobody, &one), Plan::between(&one, &nobody));
        for plan in [&first, &last] {
            assert_eq!((plan.moves().len(), plan.ideal()), (Partition::COUNT, Partition::COUNT));
        }
        let node = NodeId::new("a").unwrap();
        assert_eq!(first.moves()[7], Move { partition: Partition(7), from: None, to: Some(node.clone()) });
        assert_eq!((first.moved_to(&node).count(), first.moved_from(&node).count()), (Partition::COUNT, 0));
        assert_eq!((last.moved_to(&node).count(), last.moved_from(&node).count()), (0, Partition::COUNT));
        assert!(Plan::between(&one, &one).is_empty());
    }

    #[test]
    fn a_greater_weight_draws_partitions_which_nobody_had_to_move() {
        let plan = Plan::between(&placement(&[("a", 1), ("b", 1)]), &placement(&[("a", 1), ("b", 2)]));
        let heavier = NodeId::new("b").unwrap();
        assert_eq!(plan.ideal(), 0);
        assert_eq!(plan.moved_to(&heavier).count(), plan.moves().len());
        // From a half to two thirds, give or take.
        assert!((9_000..=13_000).contains(&plan.moves().len()), "{}", plan.moves().len());
    }
}
