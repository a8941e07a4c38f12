//! Who owns whom, from placement and membership: the view that the job layer asks.

use std::collections::BTreeMap;

use phalanx_base::{AddressList, NodeId, RosterEntry, RosterState, RosterVersion};
use phalanx_jobs::wire::Standby;
use phalanx_jobs::{Acting, Owners};
use phalanx_membership::ClusterView;
use phalanx_placement::Placement;

/// One moment of the cluster, as this node sees it.
pub(crate) struct PlacedOwners {
    me: NodeId,
    placement: Placement,
    alive: Vec<NodeId>,
    /// The control nodes that own partitions and are alive.
    active: Vec<NodeId>,
    majority: bool,
    leaving: bool,
    addresses: BTreeMap<NodeId, AddressList>,
    roster: RosterVersion,
}

impl PlacedOwners {
    pub(crate) fn new(placement: Placement, view: &ClusterView) -> Self {
        let entries = view.roster.entries();
        let me = view.local.node.clone();
        let alive = || entries.iter().filter(|entry| view.is_alive(&entry.node));
        let is_active = |entry: &&RosterEntry| entry.state == RosterState::Active;
        Self {
            placement,
            alive: alive().map(|entry| entry.node.clone()).collect(),
            active: alive().filter(is_active).map(|entry| entry.node.clone()).collect(),
            majority: view.majority,
            leaving: entries.iter().any(|entry| {
                entry.node == me && matches!(entry.state, RosterState::Draining | RosterState::Gone)
            }),
            me,
            addresses: entries
                .iter()
                .filter(|entry| entry.state != RosterState::Gone || view.is_alive(&entry.node))
                .map(|entry| (entry.node.clone(), entry.addresses.clone()))
                .collect(),
            roster: view.roster.version(),
        }
    }

    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    fn is_alive(&self, node: &NodeId) -> bool {
        self.alive.binary_search(node).is_ok()
    }

    /// Who hosts a worker whose owner and standbys are all down, as on the smaller side of a partition: the same one for
    /// everybody who sees the same nodes.
    fn stand_in(&self, worker: &NodeId) -> Option<&NodeId> {
        let count = self.active.len().max(1);
        self.active.get(usize::from(phalanx_placement::partition(worker).0) % count)
    }

    fn named(&self, node: &NodeId) -> Standby {
        Standby { node: node.clone(), addresses: self.addresses.get(node).cloned().unwrap_or_default() }
    }
}

impl Owners for PlacedOwners {
    fn acting(&self, worker: &NodeId) -> Option<Acting> {
        let owner = self.placement.owner_of(worker)?;
        let acting = owner.acting(|node| self.is_alive(node)).or_else(|| self.stand_in(worker))?.clone();
        let standbys = std::iter::once(&owner.node)
            .chain(&owner.standbys)
            .filter(|node| **node != acting)
            .map(|node| self.named(node))
            .collect();
        let Standby { node, addresses } = self.named(&acting);
        Some(Acting { node, addresses, standbys })
    }

    fn is_me(&self, control: &NodeId) -> bool {
        *control == self.me
    }

    fn is_down(&self, control: &NodeId) -> bool {
        !self.is_alive(control)
    }

    fn controls(&self) -> Vec<NodeId> {
        self.addresses.keys().cloned().collect()
    }

    fn roster(&self) -> RosterVersion {
        self.roster
    }

    fn may_give(&self) -> bool {
        self.majority || self.leaving
    }

    fn is_leaving(&self) -> bool {
        self.leaving
    }
}
