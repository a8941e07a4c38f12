//! Who owns whom, from placement and membership: the view that the job layer asks.

use std::collections::BTreeMap;

use phalanx_base::{AddressList, NodeId, RosterVersion};
use phalanx_jobs::wire::Standby;
use phalanx_jobs::{Acting, Owners};
use phalanx_membership::ClusterView;
use phalanx_placement::Placement;

/// One moment of the cluster, as this node sees it.
pub(crate) struct PlacedOwners {
    me: NodeId,
    placement: Placement,
    alive: Vec<NodeId>,
    addresses: BTreeMap<NodeId, AddressList>,
    roster: RosterVersion,
}

impl PlacedOwners {
    pub(crate) fn new(placement: Placement, view: &ClusterView) -> Self {
        let entries = view.roster.entries();
        Self {
            me: view.local.node.clone(),
            placement,
            alive: entries
                .iter()
                .map(|entry| entry.node.clone())
                .filter(|node| view.is_alive(node))
                .collect(),
            addresses: entries.iter().map(|entry| (entry.node.clone(), entry.addresses.clone())).collect(),
            roster: view.roster.version(),
        }
    }

    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    fn is_alive(&self, node: &NodeId) -> bool {
        self.alive.binary_search(node).is_ok()
    }

    fn named(&self, node: &NodeId) -> Standby {
        Standby { node: node.clone(), addresses: self.addresses.get(node).cloned().unwrap_or_default() }
    }
}

impl Owners for PlacedOwners {
    fn acting(&self, worker: &NodeId) -> Option<Acting> {
        let owner = self.placement.owner_of(worker)?;
        let acting = owner.acting(|node| self.is_alive(node))?.clone();
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
        self.alive.clone()
    }

    fn roster(&self) -> RosterVersion {
        self.roster
    }
}
