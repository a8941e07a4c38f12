//! Whose beacons were heard: a table without I/O and clock.
//!
//! Anybody in the network can send anything, as often as the network carries it. So a packet is looked at in the order of
//! what it costs: length, shape, cluster, whether it repeats what is known or refused already. Only what is left has its seal
//! checked, so many times a second.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use phalanx_base::{AddressList, Boot, NodeId};

use crate::ClusterScope;

use super::packet::{Beacon, Packet, Unreadable};

/// How many nodes are remembered: twice as many as a cluster has control nodes, since some may have been renamed.
pub(super) const NODES_MAX: usize = 2 * 128;

/// How many seals are checked in a second: at 50 µs each a hundredth of one core. Each node costs one check for each change
/// of what it says, not one for each beacon.
pub(super) const CHECKS_PER_SECOND_MAX: u32 = 200;

/// How many refused packets are remembered, so that a storm of the same one costs one check: 64 of 1,200 bytes.
const REFUSED_MAX: usize = 64;

/// How long a beacon is believed at least and at most, whatever it says.
const LIFETIME_MIN: Duration = Duration::from_secs(1);
const LIFETIME_MAX: Duration = Duration::from_secs(600);

const SECOND: Duration = Duration::from_secs(1);

/// What a packet asks of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reaction {
    Nothing,
    /// The table is another than it was.
    Changed,
    /// Somebody wants beacons.
    Asked,
}

/// Packets that changed nothing, by the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ignored {
    pub(super) malformed: u64,
    pub(super) other_versions: u64,
    pub(super) strangers: u64,
    /// Beacons whose seal is wrong: somebody uses the id of our cluster.
    pub(super) forged: u64,
    /// Beacons that are older than what is known.
    pub(super) outdated: u64,
    /// Beacons beyond the seals that are checked in a second.
    pub(super) unchecked: u64,
}

/// A node that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeardNode {
    pub(super) boot: Boot,
    pub(super) addresses: AddressList,
    /// The index of the interface where it was heard first; 0 where that is not known.
    pub(super) interface: u32,
}

struct Heard {
    node: HeardNode,
    revision: u64,
    /// The packet itself: the same one again is known without a look at its seal.
    packet: Box<[u8]>,
    lifetime: Duration,
    last: Instant,
}

/// The table of what was heard.
pub(super) struct Hearing {
    scope: ClusterScope,
    /// The boots that speak here: their own beacons come back to them.
    own: BTreeSet<Boot>,
    heard: BTreeMap<NodeId, Heard>,
    refused: VecDeque<Box<[u8]>>,
    /// When the present second began, and how many seals were checked in it.
    second: Option<(Instant, u32)>,
    ignored: Ignored,
    news: u64,
}

impl Hearing {
    pub(super) fn new(scope: ClusterScope) -> Self {
        Self {
            scope,
            own: BTreeSet::new(),
            heard: BTreeMap::new(),
            refused: VecDeque::new(),
            second: None,
            ignored: Ignored::default(),
            news: 0,
        }
    }

    /// Who speaks here and need not be heard.
    pub(super) fn set_own(&mut self, own: BTreeSet<Boot>) {
        self.heard.retain(|_, heard| !own.contains(&heard.node.boot));
        self.own = own;
    }

    /// The nodes that can be reached, by name.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &HeardNode> {
        self.heard.values().map(|heard| &heard.node).filter(|node| !node.addresses.is_empty())
    }

    /// Grows with each node that is new, or says something new.
    pub(super) fn news(&self) -> u64 {
        self.news
    }

    pub(super) fn ignored(&self) -> Ignored {
        self.ignored
    }

    /// When the next node has not been heard for too long.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.heard.values().map(|heard| heard.last + heard.lifetime).min()
    }

    /// Forgets who has not been heard for too long, and says whether there was anybody.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let before = self.heard.len();
        self.heard.retain(|_, heard| now < heard.last + heard.lifetime);
        self.heard.len() != before
    }

    /// Takes a packet that came over an interface.
    pub(super) fn handle_packet(&mut self, now: Instant, interface: u32, bytes: &[u8]) -> Reaction {
        let (beacon, sealed, seal) = match Packet::decode(bytes) {
            Err(Unreadable::Malformed) => return ignore(&mut self.ignored.malformed),
            Err(Unreadable::Version) => return ignore(&mut self.ignored.other_versions),
            Ok(Packet::Question(question)) if question.cluster == self.scope.id => return Reaction::Asked,
            Ok(Packet::Question(_)) => return ignore(&mut self.ignored.strangers),
            Ok(Packet::Beacon { beacon, sealed, seal }) => (beacon, sealed, seal),
        };
        if beacon.cluster != self.scope.id {
            return ignore(&mut self.ignored.strangers);
        }
        if self.own.contains(&beacon.boot) {
            return Reaction::Nothing;
        }
        if let Some(known) = self.heard.get_mut(&beacon.boot.node) {
            if *known.packet == *bytes {
                known.last = now;
                return Reaction::Nothing;
            }
            if (beacon.boot.generation, beacon.revision) <= (known.node.boot.generation, known.revision) {
                return ignore(&mut self.ignored.outdated);
            }
        }
        if self.refused.iter().any(|refused| **refused == *bytes) {
            return ignore(&mut self.ignored.forged);
        }
        if !self.may_check(now) {
            return ignore(&mut self.ignored.unchecked);
        }
        if !self.scope.seal.is_sealed(sealed, seal) {
            self.refuse(bytes);
            return ignore(&mut self.ignored.forged);
        }
        self.believe(now, interface, beacon, bytes);
        Reaction::Changed
    }

    /// Counts a check of a seal, if there may be one more in this second.
    fn may_check(&mut self, now: Instant) -> bool {
        let (_, checks) = match &mut self.second {
            Some(second) if now.saturating_duration_since(second.0) < SECOND => second,
            second => second.insert((now, 0)),
        };
        let may = *checks < CHECKS_PER_SECOND_MAX;
        *checks += u32::from(may);
        may
    }

    fn refuse(&mut self, bytes: &[u8]) {
        if self.refused.len() == REFUSED_MAX {
            self.refused.pop_front();
        }
        self.refused.push_back(bytes.into());
    }

    /// Takes a beacon into the table that one of our control nodes has sealed, and that is newer than what is known.
    fn believe(&mut self, now: Instant, interface: u32, beacon: Beacon, bytes: &[u8]) {
        let id = beacon.boot.node.clone();
        let known = self.heard.get(&id);
        let says =
            |heard: &Heard| (&heard.node.boot, &heard.node.addresses) == (&beacon.boot, &beacon.addresses);
        if !beacon.addresses.is_empty() && !known.is_some_and(says) {
            self.news += 1;
        }
        let interface = known.map_or(interface, |known| known.node.interface);
        if known.is_none() && self.heard.len() >= NODES_MAX {
            // Among so many the one that is silent for longest is the least likely to be there.
            let silent = self.heard.iter().min_by_key(|(_, heard)| heard.last).map(|(id, _)| id.clone());
            silent.and_then(|id| self.heard.remove(&id));
        }
        let lifetime = Duration::from_millis(beacon.lifetime_ms.into()).clamp(LIFETIME_MIN, LIFETIME_MAX);
        let node = HeardNode { boot: beacon.boot, addresses: beacon.addresses, interface };
        let heard = Heard { node, revision: beacon.revision, packet: bytes.into(), lifetime, last: now };
        self.heard.insert(id, heard);
    }
}

fn ignore(count: &mut u64) -> Reaction {
    *count += 1;
    Reaction::Nothing
}

impl Ignored {
    /// For people: what was passed over; nothing where there was nothing.
    pub(super) fn summary(&self) -> String {
        let counts = [
            (self.malformed, "malformed"),
            (self.other_versions, "of another version"),
            (self.strangers, "of other clusters"),
            (self.forged, "with a wrong seal"),
            (self.outdated, "outdated"),
            (self.unchecked, "too many to check"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        counts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    }
}
