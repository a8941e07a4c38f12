//! Who owns what: the answers of placement, in the words that the other layers understand.

use serde::{Deserialize, Serialize};

use crate::NodeId;

/// One of the 65,536 slots that worker ids hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition(pub u16);

impl Partition {
    /// How many there are.
    pub const COUNT: usize = 65_536;
}

/// The control node that should host a worker's proxy, and who stands in for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The owner by the ring.
    pub node: NodeId,
    /// Who takes over while the owner is down, in this order; fewer than two in a small cluster.
    pub standbys: Vec<NodeId>,
}

impl Owner {
    /// How many standbys a partition has where the cluster is large enough.
    pub const STANDBYS: usize = 2;

    /// The *acting* owner: the first of owner and standbys that is `alive` in the eyes of the caller.
    pub fn acting(&self, mut alive: impl FnMut(&NodeId) -> bool) -> Option<&NodeId> {
        std::iter::once(&self.node).chain(&self.standbys).find(|node| alive(node))
    }
}

/// One partition that changes hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Which partition.
    pub partition: Partition,
    /// Its owner before, if it had one.
    pub from: Option<NodeId>,
    /// Its owner after, if it has one.
    pub to: Option<NodeId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_acting_owner_is_the_first_that_is_alive() {
        let id = |name| NodeId::new(name).unwrap();
        let owner = Owner { node: id("a"), standbys: vec![id("b"), id("c")] };
        assert_eq!(owner.acting(|_| true), Some(&id("a")));
        assert_eq!(owner.acting(|node| node.as_str() != "a"), Some(&id("b")));
        assert_eq!(owner.acting(|_| false), None);
    }
}
