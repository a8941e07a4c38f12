//! What the cluster knows about one control node, in the form in which it is merged and stored.
//!
//! A record wraps the [`RosterEntry`] that the other layers see, and says one thing more: whether a node that is gone
//! *left*, was *given up* or was *removed*. Majorities count who was given up, because such a node may be alive on the
//! other side of a partition, and count nobody who left or was removed. For each node the records form one total order
//! (version, then standing, then bytes), and merging takes the greatest, so that any order of arrival ends in the same
//! roster.

use std::cmp::Ordering;

use phalanx_base::{AddressList, Boot, Generation, NodeId, RosterEntry, RosterState};
use serde::{Deserialize, Serialize};

use crate::StartError;

/// The longest zone name in bytes: it is a short name, and travels in every record.
pub const ZONE_BYTES_MAX: usize = 64;
/// The largest record in bytes, encoded: room for sixteen addresses of the usual length.
pub const RECORD_BYTES_MAX: usize = 2_048;
/// The greatest version: so far away that no honest node reaches it, and 256 of them still sum up without overflow.
pub(crate) const RECORD_VERSION_MAX: u64 = 1 << 53;

/// How far a node is in its life. [`RosterState`] with its end told apart; the order is that of the merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Standing {
    Joining,
    Active,
    Draining,
    /// Gone, because a majority saw it down for too long.
    GivenUp,
    /// Removed, because a majority saw it down for very much longer. It comes back by saying that it lives.
    Cleaned,
    /// Gone, because it said so.
    Left,
    /// Removed, because somebody wished it. This boot never comes back; a later one does.
    Removed,
}

impl Standing {
    pub(crate) fn state(self) -> RosterState {
        match self {
            Self::Joining => RosterState::Joining,
            Self::Active => RosterState::Active,
            Self::Draining => RosterState::Draining,
            Self::GivenUp | Self::Cleaned | Self::Left | Self::Removed => RosterState::Gone,
        }
    }

    pub(crate) fn is_gone(self) -> bool {
        self.state() == RosterState::Gone
    }

    /// Whether majorities count such a node no more. One that was given up may be alive beyond a partition and counts.
    pub(crate) fn is_out(self) -> bool {
        matches!(self, Self::Cleaned | Self::Left | Self::Removed)
    }

    /// Whether all that is left of such a node is the record that keeps it out.
    pub(crate) fn is_tombstone(self) -> bool {
        matches!(self, Self::Cleaned | Self::Removed)
    }
}

/// What the cluster knows about one control node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) boot: Boot,
    pub(crate) standing: Standing,
    pub(crate) weight: u16,
    pub(crate) zone: String,
    pub(crate) addresses: AddressList,
    pub(crate) version: u64,
}

/// Why a record is refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes are not a record.
    #[error("the bytes are not a roster record of this wire version")]
    Malformed,
    /// It is larger than [`RECORD_BYTES_MAX`].
    #[error(
        "the roster record of {node} takes {bytes} bytes, more than {RECORD_BYTES_MAX}: give it fewer addresses"
    )]
    TooLarge {
        /// Whose record.
        node: NodeId,
        /// Its size.
        bytes: usize,
    },
    /// The weight is out of range.
    #[error("the weight of {node} is {weight}, not between 1 and {}", RosterEntry::WEIGHT_MAX)]
    Weight {
        /// Whose record.
        node: NodeId,
        /// Its weight.
        weight: u16,
    },
    /// The zone is longer than [`ZONE_BYTES_MAX`].
    #[error("the zone of {node} takes {bytes} bytes, more than {ZONE_BYTES_MAX}: shorten it")]
    Zone {
        /// Whose record.
        node: NodeId,
        /// Its length.
        bytes: usize,
    },
    /// The version is beyond what any number of honest changes reaches.
    #[error("version {version} of the record of {node} is out of range")]
    Version {
        /// Whose record.
        node: NodeId,
        /// Its version.
        version: u64,
    },
}

impl Record {
    pub(crate) fn node(&self) -> &NodeId {
        &self.boot.node
    }

    pub(crate) fn generation(&self) -> Generation {
        self.boot.generation
    }

    /// Whether merging this one into `known` changes anything. A total order on the records of one node.
    pub(crate) fn supersedes(&self, known: &Record) -> bool {
        let order = (self.version, self.standing).cmp(&(known.version, known.standing));
        let order = order
            .then_with(|| if self == known { Ordering::Equal } else { self.encode().cmp(&known.encode()) });
        order == Ordering::Greater
    }

    /// The canonical bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self)
            .expect("a record has no map, no float and no length that is not known before")
    }

    /// The record in these bytes, all of which it must take.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (record, rest) = postcard::take_from_bytes::<Self>(bytes).map_err(|_| RecordError::Malformed)?;
        if !rest.is_empty() {
            return Err(RecordError::Malformed);
        }
        record.check()?;
        Ok(record)
    }

    /// Checks what the types do not say. A record that passes can be merged, stored and sent on.
    pub(crate) fn check(&self) -> Result<(), RecordError> {
        let node = || self.node().clone();
        if !(1..=RosterEntry::WEIGHT_MAX).contains(&self.weight) {
            return Err(RecordError::Weight { node: node(), weight: self.weight });
        }
        if self.zone.len() > ZONE_BYTES_MAX {
            return Err(RecordError::Zone { node: node(), bytes: self.zone.len() });
        }
        if self.version > RECORD_VERSION_MAX {
            return Err(RecordError::Version { node: node(), version: self.version });
        }
        let bytes = self.encode().len();
        if bytes > RECORD_BYTES_MAX {
            return Err(RecordError::TooLarge { node: node(), bytes });
        }
        Ok(())
    }

    /// As the other layers see it.
    pub(crate) fn entry(&self) -> RosterEntry {
        RosterEntry {
            node: self.boot.node.clone(),
            generation: self.boot.generation,
            state: self.standing.state(),
            weight: self.weight,
            zone: self.zone.clone(),
            addresses: self.addresses.clone(),
            version: self.version,
        }
    }
}

/// What the local node says about itself when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMember {
    /// Which node, and which start of it.
    pub boot: Boot,
    /// Where it is reached, best first; the first also travels in gossip.
    pub addresses: AddressList,
    /// How many shares of the partitions it takes: 1 to [`RosterEntry::WEIGHT_MAX`].
    pub weight: u16,
    /// The failure zone; empty when not given. At most [`ZONE_BYTES_MAX`] bytes.
    pub zone: String,
    /// What was known before the restart; empty at the first start.
    pub stored: crate::RosterSnapshot,
}

impl LocalMember {
    /// A member with weight 1, no zone and nothing stored.
    #[must_use]
    pub fn new(boot: Boot, addresses: AddressList) -> Self {
        Self { boot, addresses, weight: 1, zone: String::new(), stored: crate::RosterSnapshot::default() }
    }

    /// The first record of this boot, before it is lifted above what was stored.
    pub(crate) fn record(&self) -> Result<Record, StartError> {
        let record = Record {
            boot: self.boot.clone(),
            standing: Standing::Joining,
            weight: self.weight,
            zone: self.zone.clone(),
            addresses: self.addresses.clone(),
            version: 1,
        };
        record.check()?;
        Ok(record)
    }
}
