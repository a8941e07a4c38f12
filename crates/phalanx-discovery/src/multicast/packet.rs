//! What goes over the wire: beacons, and the question who is there.
//!
//! `phlx`, the version, the kind, then a body in postcard; a beacon ends with the seal over everything before it. A packet
//! of another version is passed over, so that later versions can share the group.

use phalanx_base::{AddressList, Boot, SEAL_BYTES};
use serde::{Deserialize, Serialize};

use crate::{Announcement, ClusterScope};

/// The longest packet: what passes every network without being cut into pieces (RFC 8200: 1,280 bytes), headers taken off.
pub(super) const PACKET_BYTES_MAX: usize = 1_200;

/// The longest text of a cluster's id that fits beside one address of the greatest length.
const CLUSTER_BYTES_MAX: usize = 128;

const MAGIC: &[u8; 4] = b"phlx";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = MAGIC.len() + 2;
const BEACON: u8 = 1;
const QUESTION: u8 = 2;

/// What a control node says of itself, again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beacon {
    /// The id of the cluster as text.
    pub(super) cluster: String,
    pub(super) boot: Boot,
    /// Grows within a boot with each change of what is said, so that an older beacon that somebody repeats changes nothing.
    pub(super) revision: u64,
    /// How long to believe it after it was heard, in milliseconds.
    pub(super) lifetime_ms: u32,
    /// Where the node is reached; nowhere any more when it is empty.
    pub(super) addresses: AddressList,
}

/// Asks the control nodes of a cluster for beacons. Anybody may ask, so that the answer goes to the group only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) cluster: String,
}

/// A packet that was taken apart. Nothing is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Beacon { beacon: Beacon, sealed: &'a [u8], seal: &'a [u8] },
    Question(Question),
}

/// Why bytes are no packet for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// None of ours, cut off, or too long.
    Malformed,
    /// Of another version.
    Version,
}

/// Why there is no beacon to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoBeacon {
    #[error("the credential is a worker's, which cannot seal beacons")]
    Unsealed,
    #[error(
        "not one of the node's addresses fits into a beacon of {PACKET_BYTES_MAX} bytes: give a short one first"
    )]
    TooLong,
}

impl Packet<'_> {
    pub(super) fn decode(bytes: &[u8]) -> Result<Packet<'_>, Unreadable> {
        let malformed = || Unreadable::Malformed;
        if bytes.len() > PACKET_BYTES_MAX {
            return Err(Unreadable::Malformed);
        }
        let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(malformed)?;
        let [magic @ .., version, kind] = header else { return Err(Unreadable::Malformed) };
        match (magic == MAGIC, *version == VERSION, *kind) {
            (false, ..) => Err(Unreadable::Malformed),
            (true, false, _) => Err(Unreadable::Version),
            (true, true, BEACON) => {
                let sealed_bytes = bytes.len().checked_sub(SEAL_BYTES).filter(|at| *at >= HEADER_BYTES);
                let (sealed, seal) = bytes.split_at(sealed_bytes.ok_or_else(malformed)?);
                Ok(Packet::Beacon { beacon: whole(&sealed[HEADER_BYTES..])?, sealed, seal })
            }
            (true, true, QUESTION) => Ok(Packet::Question(whole(body)?)),
            (true, true, _) => Err(Unreadable::Malformed),
        }
    }
}

/// Decodes a body of which nothing is left over.
fn whole<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Unreadable> {
    match postcard::take_from_bytes(body) {
        Ok((body, [])) => Ok(body),
        _ => Err(Unreadable::Malformed),
    }
}

fn encode(kind: u8, body: &impl Serialize) -> Vec<u8> {
    let mut packet = MAGIC.to_vec();
    packet.extend([VERSION, kind]);
    postcard::to_extend(body, packet).expect("texts and numbers can be encoded, and a vector has room")
}

impl Question {
    /// The packet that asks; `None` where the id of the cluster is no id.
    pub(super) fn packet(cluster: &str) -> Option<Vec<u8>> {
        let fits = cluster.len() <= CLUSTER_BYTES_MAX;
        fits.then(|| encode(QUESTION, &Self { cluster: cluster.to_owned() }))
    }
}

impl Beacon {
    /// The beacon of a node that cannot be reached any more.
    pub(super) fn farewell(self) -> Self {
        Self { addresses: AddressList::default(), revision: self.revision.saturating_add(1), ..self }
    }

    pub(super) fn new(scope: &ClusterScope, who: &Announcement, revision: u64, lifetime_ms: u32) -> Self {
        let (boot, addresses) = (who.boot.clone(), who.addresses.clone());
        Self { cluster: scope.id.clone(), boot, revision, lifetime_ms, addresses }
    }

    /// The sealed packet. Addresses that do not fit are left out, the last first.
    pub(super) fn packet(&self, scope: &ClusterScope) -> Result<Vec<u8>, NoBeacon> {
        let mut kept = self.addresses.as_slice();
        loop {
            let addresses = AddressList::new(kept.iter().cloned()).unwrap_or_default();
            let mut packet = encode(BEACON, &Self { addresses, ..self.clone() });
            if packet.len() + SEAL_BYTES <= PACKET_BYTES_MAX {
                let seal = scope.seal.seal(&packet).ok_or(NoBeacon::Unsealed)?;
                packet.extend(seal);
                return Ok(packet);
            }
            kept = match kept {
                [first @ .., _] if !first.is_empty() => first,
                _ => return Err(NoBeacon::TooLong),
            };
        }
    }
}
