//! Which links a node has, and which of two to the same peer stays.
//!
//! Two nodes that dial each other at once get two links. Both ends drop the same one without a word: the one dialled by
//! the greater node id. While a link lives, another one dialled by the same end is refused.

use std::collections::BTreeMap;

use phalanx_base::{Boot, Generation, NodeId};
use phalanx_transport::Link;

/// The links of a node, one a peer.
pub(crate) struct LinkTable {
    me: NodeId,
    links: BTreeMap<NodeId, Link>,
}

/// What becomes of a new link.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Take,
    Refuse,
}

impl LinkTable {
    pub(crate) fn new(me: NodeId) -> Self {
        Self { me, links: BTreeMap::new() }
    }

    pub(crate) fn has(&self, peer: &NodeId) -> bool {
        self.links.get(peer).is_some_and(|link| !link.is_closed())
    }

    /// The generation of a peer that has a link.
    pub(crate) fn generation(&self, peer: &NodeId) -> Option<Generation> {
        self.links.get(peer).filter(|link| !link.is_closed()).map(|link| link.peer().boot.generation)
    }

    /// Takes a link, unless a better one to the same peer is there. Returns the link that it replaces, to be closed;
    /// or the new link itself.
    pub(crate) fn insert(&mut self, link: Link) -> Result<Option<Link>, Link> {
        let peer = link.peer();
        let choice = match self.links.get(&peer.boot.node).filter(|present| !present.is_closed()) {
            None => Choice::Take,
            Some(present) => {
                let present = present.peer();
                self.choose((&present.boot, present.dialled), (&peer.boot, peer.dialled))
            }
        };
        match choice {
            Choice::Take => Ok(self.links.insert(peer.boot.node.clone(), link)),
            Choice::Refuse => Err(link),
        }
    }

    pub(crate) fn remove(&mut self, link: &Link) {
        let node = &link.peer().boot.node;
        if self.links.get(node).is_some_and(|present| present.id() == link.id()) {
            self.links.remove(node);
        }
    }

    /// Which of two links to the same peer stays: boots first, then who dialled (`true`: this node).
    fn choose(&self, (present, present_dialled): (&Boot, bool), (new, new_dialled): (&Boot, bool)) -> Choice {
        if new.generation != present.generation {
            return if new.generation > present.generation { Choice::Take } else { Choice::Refuse };
        }
        if present_dialled == new_dialled {
            return Choice::Refuse;
        }
        // The lower id's dial stays.
        if new_dialled == (self.me < new.node) { Choice::Take } else { Choice::Refuse }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(name: &str, generation: u64) -> Boot {
        Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(generation) }
    }

    #[test]
    fn both_ends_keep_the_same_of_two_links() {
        let (a, b) = (LinkTable::new(boot("a", 1).node), LinkTable::new(boot("b", 1).node));
        // Each end in each order: the link that `a` dialled stays.
        assert_eq!(a.choose((&boot("b", 1), true), (&boot("b", 1), false)), Choice::Refuse);
        assert_eq!(a.choose((&boot("b", 1), false), (&boot("b", 1), true)), Choice::Take);
        assert_eq!(b.choose((&boot("a", 1), false), (&boot("a", 1), true)), Choice::Refuse);
        assert_eq!(b.choose((&boot("a", 1), true), (&boot("a", 1), false)), Choice::Take);
    }

    #[test]
    fn a_newer_boot_replaces_and_a_second_dial_does_not() {
        let table = LinkTable::new(boot("a", 1).node);
        assert_eq!(table.choose((&boot("b", 1), true), (&boot("b", 2), false)), Choice::Take);
        assert_eq!(table.choose((&boot("b", 2), true), (&boot("b", 1), true)), Choice::Refuse);
        assert_eq!(table.choose((&boot("b", 2), true), (&boot("b", 2), true)), Choice::Refuse);
    }
}
