//! Which logs are wanted: those of the control nodes that the roster names, in the boot that it names.
//!
//! What a message says about an origin is never believed here: only the roster and the links, which are authenticated,
//! say which nodes there are and in which boot. Else one lie about a generation would put an end to a log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use phalanx_base::{Boot, Generation, NodeId};

/// How many control nodes are known, more than any cluster has. Of more, the least ids.
pub const NODES_MAX: usize = 512;
/// How long the log of a removed node is kept: by then everybody has it who will, and has taken over from it.
pub const REMOVED_KEPT: Duration = Duration::from_secs(600);
/// How long the logs of the former boots of a node are kept. Its present boot has long said by then what it has to say.
pub const SUPERSEDED_KEPT: Duration = Duration::from_secs(60);

/// A control node.
#[derive(Debug)]
struct Standing {
    generation: Generation,
    /// Since when it is in this generation, as far as is known here.
    since: Instant,
    removed_at: Option<Instant>,
}

/// What a log is to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Its origin runs, as far as is known.
    Present,
    /// Its origin is no more. Its log is taken over, and goes in the end.
    Orphan { since: Instant, until: Instant },
    /// Nobody has told of its origin, or of this generation.
    Unknown,
    /// Its origin is no more, since long.
    Gone,
}

#[derive(Debug)]
pub(crate) struct Origins {
    own: Boot,
    standings: BTreeMap<NodeId, Standing>,
    live: BTreeSet<NodeId>,
}

impl Origins {
    pub(crate) fn new(now: Instant, own: Boot) -> Self {
        let standing = Standing { generation: own.generation, since: now, removed_at: None };
        let standings = BTreeMap::from([(own.node.clone(), standing)]);
        Self { live: BTreeSet::from([own.node.clone()]), own, standings }
    }

    pub(crate) fn roster(&mut self, now: Instant, known: &[Boot], live: &[NodeId]) {
        let known: BTreeMap<&NodeId, Generation> =
            known.iter().map(|boot| (&boot.node, boot.generation)).take(NODES_MAX - 1).collect();
        for (node, standing) in &mut self.standings {
            if *node != self.own.node && !known.contains_key(node) {
                standing.removed_at.get_or_insert(now);
            }
        }
        for (node, generation) in known {
            self.see(now, node, generation);
        }
        let present = |node: &&NodeId| self.standings.get(*node).is_some_and(|one| one.removed_at.is_none());
        self.live = live.iter().filter(present).chain([&self.own.node]).cloned().collect();
    }

    /// A link says in which boot a node is. Of a node that the roster does not name it says nothing.
    pub(crate) fn linked(&mut self, now: Instant, boot: &Boot) {
        if self.is_member(&boot.node) {
            self.see(now, &boot.node, boot.generation);
        }
    }

    fn see(&mut self, now: Instant, node: &NodeId, generation: Generation) {
        if *node == self.own.node {
            return;
        }
        // Twice, for those that were removed a while ago. Only a roster in a frenzy gets there.
        if self.standings.len() >= 2 * NODES_MAX && !self.standings.contains_key(node) {
            return;
        }
        let first = Standing { generation, since: now, removed_at: None };
        let standing = self.standings.entry(node.clone()).or_insert(first);
        standing.removed_at = None;
        if generation > standing.generation {
            (standing.generation, standing.since) = (generation, now);
        }
    }

    /// Forgets the nodes whose time is over.
    pub(crate) fn forget(&mut self, now: Instant) {
        let kept = |at: Instant| now < at + REMOVED_KEPT;
        self.standings.retain(|_, standing| standing.removed_at.is_none_or(kept));
    }

    /// Whether the roster names a node.
    pub(crate) fn is_member(&self, node: &NodeId) -> bool {
        self.standings.get(node).is_some_and(|standing| standing.removed_at.is_none())
    }

    /// Whether the roster names nobody else.
    pub(crate) fn is_alone(&self) -> bool {
        self.standings.iter().all(|(node, one)| *node == self.own.node || one.removed_at.is_some())
    }

    pub(crate) fn live(&self) -> &BTreeSet<NodeId> {
        &self.live
    }

    pub(crate) fn wanted(&self, now: Instant, origin: &Boot) -> Wanted {
        let Some(standing) = self.standings.get(&origin.node) else { return Wanted::Unknown };
        if origin.generation > standing.generation {
            return Wanted::Unknown;
        }
        let superseded =
            (origin.generation < standing.generation).then_some((standing.since, SUPERSEDED_KEPT));
        let removed = standing.removed_at.map(|at| (at, REMOVED_KEPT));
        match superseded.or(removed) {
            None => Wanted::Present,
            Some((since, kept)) if now < since + kept => Wanted::Orphan { since, until: since + kept },
            Some(_) => Wanted::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(name: &str, generation: u64) -> Boot {
        Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(generation) }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an origin for manual time")]
    fn logs_come_with_the_roster_and_go_after_their_time() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut origins = Origins::new(start, boot("a", 5));
        assert_eq!(origins.wanted(start, &boot("b", 1)), Wanted::Unknown);
        origins.linked(start, &boot("b", 1));
        assert_eq!(origins.wanted(start, &boot("b", 1)), Wanted::Unknown, "a link alone says nothing");
        origins.roster(start, &[boot("b", 1)], &[boot("b", 1).node, boot("x", 1).node]);
        assert_eq!(origins.wanted(start, &boot("b", 1)), Wanted::Present);
        assert_eq!(origins.wanted(start, &boot("b", 2)), Wanted::Unknown, "nobody but the roster says so");
        assert_eq!(origins.live().len(), 2);
        origins.linked(at(1), &boot("b", 2));
        assert_eq!(origins.wanted(at(1), &boot("b", 1)), Wanted::Orphan { since: at(1), until: at(61) });
        assert_eq!(origins.wanted(at(61), &boot("b", 1)), Wanted::Gone);
        origins.roster(at(70), &[], &[]);
        assert_eq!(origins.wanted(at(669), &boot("b", 2)), Wanted::Orphan { since: at(70), until: at(670) });
        assert!(origins.is_alone() && !origins.is_member(&boot("b", 2).node));
        origins.forget(at(670));
        assert_eq!(origins.wanted(at(670), &boot("b", 2)), Wanted::Unknown);
        assert_eq!(origins.wanted(at(670), &boot("a", 5)), Wanted::Present);
        assert_eq!(origins.wanted(at(670), &boot("a", 4)), Wanted::Gone);
    }
}
