//! Which links a node has, and which of two to the same peer stays.
//!
//! Two nodes that dial each other at once get two links. Both ends give up the same one without a word: the one dialled by
//! the greater node id, after what is under way on it. While a link lives, another one dialled by the same end is refused. An earlier boot of a peer is
//! refused for as long as this node remembers a later one, whether that has a link or not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phalanx_base::{Boot, Generation, NodeId, Role};
use phalanx_transport::{Admit, CloseReason, Link, Refusal};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;

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

/// How many peers' links can be told of at the same time, at best: a node that a flood of workers dials has no one queue.
const TELLERS: usize = 64;

/// The table of links: whoever dials or accepts looks into it for a moment. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SharedLinks(Arc<Shared>);

struct Shared {
    table: Mutex<LinkTable>,
    /// Whoever tells of a link of a peer holds the one that the peer's name leads to.
    tellers: [AsyncMutex<()>; TELLERS],
}

impl SharedLinks {
    pub(crate) fn new(table: LinkTable) -> Self {
        let tellers = std::array::from_fn(|_| AsyncMutex::default());
        Self(Arc::new(Shared { table: Mutex::new(table), tellers }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, LinkTable> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody of a link, unless another one has taken its place. Of two links to one peer the one that stays is so
    /// always told last: else whoever was told of the other one after it would go on with that, and have none when it closes.
    /// Says whether it was told.
    pub(crate) async fn tell_of(&self, link: &Link, tell: impl Future<Output = ()>) -> bool {
        let name = link.peer().boot.node.as_str();
        let teller = name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let _turn = self.0.tellers[teller % TELLERS].lock().await;
        let is_current = self.lock().is_current(link);
        if is_current {
            tell.await;
        }
        is_current
    }
}

impl Admit for SharedLinks {
    /// A peer of which a later boot is known is an earlier one: it must not take its place.
    fn admit(&self, peer: &Boot, _: Role) -> Result<(), Refusal> {
        match self.lock().generation(&peer.node) {
            Some(known) if known > peer.generation => Err(Refusal::Stale { known }),
            _ => Ok(()),
        }
    }
}

/// How long a link goes on that another one to the same boot has replaced: what is under way on it ends in order, such as a
/// transfer that began right after two nodes had dialled each other. Nothing new begins on it.
const REPLACED_KEPT: Duration = Duration::from_secs(60);

/// Closes a link that another one has replaced, once nobody needs it any more.
pub(crate) async fn retire(replaced: Link, by: Boot) {
    // Of an earlier boot nobody is there who could go on.
    if replaced.peer().boot == by && !replaced.is_closed() {
        let _ = timeout(REPLACED_KEPT, replaced.closed()).await;
    }
    replaced.close(CloseReason::Duplicate);
}

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

    /// Takes a link, unless a better one to the same peer is there. Returns the link that it replaces, to [`retire`]; or the new
    /// link itself, to be closed.
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

    /// Whether this is the link that its peer has here.
    fn is_current(&self, link: &Link) -> bool {
        self.links.get(&link.peer().boot.node).is_some_and(|present| present.id() == link.id())
    }

    pub(crate) fn remove(&mut self, link: &Link) {
        if self.is_current(link) {
            self.links.remove(&link.peer().boot.node);
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
    use phalanx_transport::Peer;

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

    /// A link to a peer, in memory; its other end is kept for as long.
    fn link(to: &str, dialled: bool) -> (Link, Link) {
        let peer =
            |name, dialled| Peer { boot: boot(name, 1), role: Role::Control, remote: None, dialled, wire: 1 };
        Link::pair(peer("a", !dialled), peer(to, dialled))
    }

    #[tokio::test]
    async fn the_link_that_stays_is_told_last_whoever_was_quicker() {
        let links = SharedLinks::new(LinkTable::new(boot("a", 1).node));
        let ((first, _first_end), (second, _second_end)) = (link("b", false), link("b", true));
        assert!(matches!(links.lock().insert(first.clone()), Ok(None)));
        let told = Mutex::new(Vec::new());
        let note = |what| told.lock().unwrap().push(what);
        let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
        let tell_first = links.tell_of(&first, async {
            may_go_on.await.unwrap();
            note("first");
        });
        let tell_second = async {
            // It takes the place of the first one while that is being told, and waits for its turn.
            assert!(matches!(links.lock().insert(second.clone()), Ok(Some(_))));
            let told = links.tell_of(&second, async { note("second") });
            tokio::join!(told, async { go_on.send(()).unwrap() }).0
        };
        assert_eq!(tokio::join!(tell_first, tell_second), (true, true));
        assert!(!links.tell_of(&first, async { note("first again") }).await, "it has been replaced");
        assert_eq!(*told.lock().unwrap(), ["first", "second"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_on_a_link_that_is_replaced_may_end() {
        let ((first, first_end), (second, _second_end)) = (link("b", false), link("b", true));
        let mut retiring = std::pin::pin!(retire(first.clone(), second.peer().boot.clone()));
        assert!(timeout(REPLACED_KEPT / 2, &mut retiring).await.is_err());
        assert!(!first.is_closed());
        retiring.await;
        assert!(first_end.is_closed());
        // A later boot of the peer has nothing under way on it.
        retire(second.clone(), boot("b", 2)).await;
        assert!(second.is_closed());
        // And where the peer was quicker there is nothing to wait for.
        retire(first, boot("b", 1)).await;
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
