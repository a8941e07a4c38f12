//! The roster as the other layers see it: every control node that the cluster knows, in one sorted view.

use serde::{Deserialize, Serialize};

use crate::{AddressList, Generation, NodeId};

/// How far a control node is in its life in the cluster. Later states win a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RosterState {
    /// It has met the cluster, and owns nothing yet.
    Joining,
    /// It owns its share of the partitions.
    Active,
    /// It hands over what it owns and leaves.
    Draining,
    /// It has left, or was down for too long; it owns nothing.
    Gone,
}

/// What the cluster knows about one control node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterEntry {
    /// Which node.
    pub node: NodeId,
    /// The boot it was last seen in.
    pub generation: Generation,
    /// How far it is in its life.
    pub state: RosterState,
    /// How many shares of the partitions it takes: 1 to [`RosterEntry::WEIGHT_MAX`], usually 1.
    pub weight: u16,
    /// The failure zone, such as a rack or a data centre; empty when not given. Standbys avoid the owner's zone.
    pub zone: String,
    /// Where it is reached.
    pub addresses: AddressList,
    /// Grows with every change of this entry.
    pub version: u64,
}

impl RosterEntry {
    /// The greatest weight: a node this much larger than another wants another design.
    pub const WEIGHT_MAX: u16 = 64;
}

/// The sum of the versions of a roster's entries: grows with knowledge, so that of two views the one with the greater
/// number is never the older one of the same history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct RosterVersion(pub u64);

/// An immutable view of the roster, sorted by node id, without repeats.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RosterView {
    entries: Vec<RosterEntry>,
}

impl RosterView {
    /// A view of these entries, in any order; of two entries for one node the one with the greater version stays.
    #[must_use]
    pub fn new(mut entries: Vec<RosterEntry>) -> Self {
        entries.sort_by(|a, b| a.node.cmp(&b.node).then(b.version.cmp(&a.version)));
        entries.dedup_by(|later, first| later.node == first.node);
        Self { entries }
    }

    /// Every entry, sorted by node id.
    #[must_use]
    pub fn entries(&self) -> &[RosterEntry] {
        &self.entries
    }

    /// The entry of a node.
    #[must_use]
    pub fn entry(&self, node: &NodeId) -> Option<&RosterEntry> {
        self.entries.binary_search_by(|entry| entry.node.cmp(node)).ok().map(|at| &self.entries[at])
    }

    /// The entries that own partitions.
    pub fn active(&self) -> impl Iterator<Item = &RosterEntry> {
        self.entries.iter().filter(|entry| entry.state == RosterState::Active)
    }

    /// The sum of the versions.
    #[must_use]
    pub fn version(&self) -> RosterVersion {
        RosterVersion(self.entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.version)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, version: u64) -> RosterEntry {
        RosterEntry {
            node: NodeId::new(name).unwrap(),
            generation: Generation::from_u64(1),
            state: RosterState::Active,
            weight: 1,
            zone: String::new(),
            addresses: AddressList::default(),
            version,
        }
    }

    #[test]
    fn a_view_is_sorted_and_keeps_the_newest() {
        let view = RosterView::new(vec![entry("b", 1), entry("a", 2), entry("b", 5)]);
        assert_eq!(view, RosterView::new(vec![entry("b", 5), entry("b", 1), entry("a", 2)]));
        assert_eq!(view.version(), RosterVersion(7));
        assert_eq!(view.entry(&NodeId::new("b").unwrap()).map(|e| e.version), Some(5));
        assert_eq!(view.entry(&NodeId::new("c").unwrap()), None);
    }
}
