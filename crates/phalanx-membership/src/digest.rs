//! A short sum of everything that a node would tell another, so that two that know the same need not tell it.
//!
//! Two numbers: one over who is alive and who is down, one over the roster. Incarnations and doubts are left out: they
//! come and go with the gossip, and would make nodes exchange everything that agree on all that lasts.

use std::hash::Hasher as _;

use foca::State;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::identity::Identity;
use crate::record::Record;
use crate::wire::Member;

/// The key of the hash. It is no secret: a peer that wants two views to look the same can just as well lie about them.
const KEY: &[u8; 16] = b"phalanx-digest-1";

/// A short sum of everything that a node would tell another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    members: u64,
    roster: u64,
}

impl Digest {
    /// The sum over the own identity, the other members and all records, whatever their order.
    pub(crate) fn of<'a>(
        own: &'a Identity,
        members: impl Iterator<Item = &'a Member>,
        records: impl Iterator<Item = &'a Record>,
    ) -> Self {
        let members = members.map(|member| (member.id(), member.state() == State::Down));
        let mut members: Vec<(&Identity, bool)> = members.chain([(own, false)]).collect();
        members.sort_unstable_by_key(|(identity, _)| identity.node());
        let mut bytes = Vec::new();
        for (identity, down) in members {
            bytes.extend(identity.node().as_str().bytes());
            // No byte of a node id is zero, so this ends it.
            bytes.push(0);
            bytes.extend(identity.boot().generation.as_u64().to_be_bytes());
            bytes.extend(identity.gossip_epoch().to_be_bytes());
            bytes.push(u8::from(down));
        }
        let mut records: Vec<&Record> = records.collect();
        records.sort_unstable_by_key(|record| record.node());
        let records: Vec<u8> = records.into_iter().flat_map(Record::encode).collect();
        Self { members: hash(&bytes), roster: hash(&records) }
    }
}

/// SipHash-1-3 (Aumasson, Bernstein: SipHash, INDOCRYPT 2012) in a single write, the same on every machine.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_key(KEY);
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Standing;
    use phalanx_base::{AddressList, Boot, Generation, NodeId};

    fn identity(name: &str, generation: u64) -> Identity {
        let node = NodeId::new(name).unwrap();
        Identity::new(Boot { node, generation: Generation::from_u64(generation) }, None)
    }

    fn record(name: &str, version: u64) -> Record {
        Record {
            boot: identity(name, 1).boot().clone(),
            standing: Standing::Active,
            weight: 1,
            zone: String::new(),
            addresses: AddressList::default(),
            version,
        }
    }

    #[test]
    fn both_ends_of_a_pair_that_agrees_have_the_same_digest() {
        let (a, b) = (identity("a", 1), identity("b", 1));
        let records = [record("a", 3), record("b", 4)];
        let of_a = Digest::of(&a, [&Member::new(b.clone(), 7, State::Suspect)].into_iter(), records.iter());
        let of_b = Digest::of(&b, [&Member::alive(a.clone())].into_iter(), records.iter().rev());
        assert_eq!(of_a, of_b, "neither order, incarnation nor doubt counts");
        let down = Digest::of(&b, [&Member::down(a)].into_iter(), records.iter());
        assert_ne!(of_b.members, down.members);
        assert_eq!(of_b.roster, down.roster);
    }

    #[test]
    fn a_restart_and_a_new_version_show() {
        let digest = |generation, version| {
            Digest::of(&identity("a", generation), std::iter::empty(), [record("a", version)].iter())
        };
        assert_ne!(digest(1, 1).members, digest(2, 1).members);
        assert_ne!(digest(1, 1).roster, digest(1, 2).roster);
    }
}
