//! Which links a node has, and which of two to the same peer stays.
//!
//! Two nodes that dial each other at once get two links. Both ends drop the same one without a word: the one dialled by
//! the greater node id. While a link lives, another one dialled by the same end is refused. An earlier boot of a peer is
//! refused for as long as this node remembers a later one, whether that has a link or not.

use std::collections::BTreeMap;

use phalanx_base::{Boot, Generation, NodeId};
use phalanx_transport::Link;

/// The links of a node, one a peer.
pub(crate) struct LinkTable {
    me: NodeId,
    links: BTreeMap<NodeId, Link>,
    /// The latest boot of each peer that ever had a link.
    known: BTreeMap<NodeId, Generation>,
}

/// How many peers' boots are remembered: as many as a control node has workers at most. A peer beyond that is judged by
/// its link alone.
const KNOWN_MAX: usize = 131_072;

/// What becomes of a new link.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Take,
    Refuse,
}

impl LinkTable {
    pub(crate) fn new(me: NodeId) -> Self {
        Self { me, links: BTreeMap::new(), known: BTreeMap::new() }
    }

    pub(crate) fn has(&self, peer: &NodeId) -> bool {
        self.links.get(peer).is_some_and(|link| !link.is_closed())
    }

    /// The latest boot of a peer that is known.
    pub(crate) fn generation(&self, peer: &NodeId) -> Option<Generation> {
        let linked = self.links.get(peer).map(|link| link.peer().boot.generation);
        linked.max(self.known.get(peer).copied())
    }

    fn remember(&mut self, boot: &Boot) {
        if let Some(known) = self.known.get_mut(&boot.node) {
            *known = boot.generation.max(*known);
        } else if self.known.len() < KNOWN_MAX {
            self.known.insert(boot.node.clone(), boot.generation);
        }
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
            Choice::Take => {
                let boot = peer.boot.clone();
                self.remember(&boot);
                Ok(self.links.insert(boot.node, link))
            }
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
    fn the_latest_boot_of_a_peer_is_remembered() {
        let mut table = LinkTable::new(boot("a", 1).node);
        for generation in [3, 7, 5] {
            table.remember(&boot("b", generation));
        }
        assert_eq!(table.generation(&boot("b", 0).node), Some(Generation::from_u64(7)));
        assert_eq!(table.generation(&boot("c", 0).node), None);
    }

    #[test]
    fn a_newer_boot_replaces_and_a_second_dial_does_not() {
        let table = LinkTable::new(boot("a", 1).node);
        assert_eq!(table.choose((&boot("b", 1), true), (&boot("b", 2), false)), Choice::Take);
        assert_eq!(table.choose((&boot("b", 2), true), (&boot("b", 1), true)), Choice::Refuse);
        assert_eq!(table.choose((&boot("b", 2), true), (&boot("b", 2), true)), Choice::Refuse);
    }
}
