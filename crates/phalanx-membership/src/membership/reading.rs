//! What a [`Membership`] knows, for whoever asks.

use phalanx_base::{Boot, NodeId, Role, RosterView};

use super::{Membership, Phase};
use crate::event::Liveness;
use crate::observations::first_address;
use crate::record::{Record, Standing};
use crate::snapshot::RosterSnapshot;
use crate::view::{ClusterView, MemberView};

/// What a [`Membership`] has counted since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// How often the cluster held this node for down and it came back under a new gossip epoch.
    pub renewals: u64,
    /// How often somebody claimed something about this node that it did not say, and was corrected.
    pub refutations: u64,
    /// How often it began anew because it met a larger side of a partition, or was isolated. Each costs a renewal.
    pub resets: u64,
    /// How often its timers fired far too late, because the process or the machine slept or was overloaded.
    pub pauses: u64,
    /// How often a lost link was evidence that the process of a member is gone.
    pub links_gone: u64,
    /// Messages dropped because nobody polled them.
    pub transmits_dropped: u64,
    /// Records refused because the roster is full.
    pub records_refused: u64,
    /// Complaints of the failure detector about itself. Anything but 0 is a defect of this library.
    pub complaints: u64,
}

/// # Getters
impl Membership {
    /// The local boot.
    #[must_use]
    pub fn local(&self) -> &Boot {
        &self.boot
    }

    /// What the control nodes agree on.
    #[must_use]
    pub fn roster(&self) -> RosterView {
        self.roster.view()
    }

    /// How a control node is. One that nobody has heard of is down.
    #[must_use]
    pub fn liveness(&self, node: &NodeId) -> Liveness {
        if *node == self.boot.node {
            return self.own_liveness();
        }
        let left = |record: &Record| record.standing == Standing::Left;
        let unseen = || match self.roster.record(node).is_some_and(left) {
            true => Liveness::Left,
            false => Liveness::Down,
        };
        self.observations.liveness(node).unwrap_or_else(unseen)
    }

    /// Every control node that the roster or the detector knows, the local one included, sorted by node id.
    #[must_use]
    pub fn members(&self) -> Vec<MemberView> {
        let mut members = self.observations.members(&self.roster);
        let own = MemberView {
            boot: self.boot.clone(),
            address: first_address(self.roster.own()),
            role: Role::Control,
            liveness: self.own_liveness(),
        };
        members.insert(self.boot.node.clone(), own);
        members.into_values().collect()
    }

    /// Whether this node sees more than half of the roster alive; of two, either is enough. One whose last five probes
    /// all failed is cut off and has no majority, although it has not declared everybody down yet.
    #[must_use]
    pub fn has_majority(&self) -> bool {
        !self.is_isolated() && self.roster.has_majority(|node| self.observations.is_alive(node))
    }

    /// Everything above as one value that can be handed out.
    #[must_use]
    pub fn view(&self) -> ClusterView {
        ClusterView {
            local: self.boot.clone(),
            roster: self.roster.view(),
            members: self.members(),
            majority: self.has_majority(),
            snapshot: self.snapshot(),
        }
    }

    /// The roster as it should be stored, so that a restart finds its peers.
    #[must_use]
    pub fn snapshot(&self) -> RosterSnapshot {
        let mut records: Vec<Record> = self.roster.records().cloned().collect();
        records.sort_unstable_by(|a, b| a.boot.node.cmp(&b.boot.node));
        RosterSnapshot::new(records)
    }

    /// Grows whenever [`view`](Self::view) changes.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether the node has left: nothing more will come of it.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.phase == Phase::Left
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            renewals: u64::from(self.detector.identity().gossip_epoch()),
            transmits_dropped: self.outbox.dropped(),
            complaints: self.detector.complaints(),
            ..self.counters
        }
    }

    pub(super) fn own_liveness(&self) -> Liveness {
        match self.phase {
            Phase::Present => Liveness::Alive,
            Phase::Leaving { .. } | Phase::Left => Liveness::Left,
        }
    }
}
