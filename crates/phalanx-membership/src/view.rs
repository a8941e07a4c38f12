//! The cluster as one node sees it, as a value that can be handed out and kept.

use phalanx_base::{Address, Boot, NodeId, Role, RosterView};

use crate::{Liveness, RosterSnapshot};

/// One control node, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Which node, and the newest boot of it that is known.
    pub boot: Boot,
    /// Where to call it, where one is known.
    pub address: Option<Address>,
    /// What it is for.
    pub role: Role,
    /// How it is.
    pub liveness: Liveness,
}

/// The cluster as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// Whose view it is.
    pub local: Boot,
    /// What the control nodes agree on.
    pub roster: RosterView,
    /// Every control node that the roster or the detector knows, the local one included, sorted by node id.
    pub members: Vec<MemberView>,
    /// Whether the local node sees more than half of the roster alive (of two: either is enough). Counted are all
    /// that did not leave.
    pub majority: bool,
    /// The roster with all that has to be stored.
    pub snapshot: RosterSnapshot,
}

impl ClusterView {
    /// The control node of this name, if it is known.
    #[must_use]
    pub fn member(&self, node: &NodeId) -> Option<&MemberView> {
        let at = self.members.binary_search_by(|member| member.boot.node.cmp(node)).ok()?;
        self.members.get(at)
    }

    /// Whether this control node counts as alive: a suspect does, and so does the local one.
    #[must_use]
    pub fn is_alive(&self, node: &NodeId) -> bool {
        self.member(node).is_some_and(|member| member.liveness.is_alive())
    }
}
