//! Sync messages: everything that a node knows, in one piece, on a channel that keeps order and loses nothing.
//!
//! Gossip is quick, but a node that was cut off misses what was said meanwhile. So two nodes that meet tell each other
//! all they know, and one random pair after another compares a digest of it and tells it where that differs, which
//! mends any gap however it came about.

use bytes::Bytes;
use phalanx_base::NodeId;
use serde::{Deserialize, Serialize};

use crate::MEMBERS_MAX;
use crate::digest::Digest;
use crate::identity::Identity;
use crate::record::{RECORD_BYTES_MAX, Record, RecordError};
use crate::roster::ROSTER_NODES_MAX;
use crate::wire::{Member, WIRE_VERSION};

/// The largest sync message in bytes: 128 nodes with the largest records. Who knows more sends several messages.
pub const SYNC_BYTES_MAX: usize = 128 * RECORD_BYTES_MAX;
/// What a message takes besides its items: version, sender, flag and lengths.
const SYNC_ENVELOPE_BYTES: usize = 1_024;

/// Why a sync message was dropped. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// It is larger than [`SYNC_BYTES_MAX`].
    #[error("a sync message of {bytes} bytes is larger than {SYNC_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is empty or of another wire version.
    #[error("a sync message of a wire version that is not known: upgrade the older of the two nodes")]
    Version,
    /// It does not decode.
    #[error("a malformed sync message")]
    Malformed,
    /// Its sender claims to be another node than the one that the link authenticated.
    #[error("a sync message of {from} claims to come from {claimed}: {from} is faulty or hostile")]
    Spoofed {
        /// Who sent it.
        from: NodeId,
        /// Who it says it is.
        claimed: NodeId,
    },
    /// It has more items than any node may know.
    #[error("a sync message names more than {MEMBERS_MAX} members or {ROSTER_NODES_MAX} records")]
    TooMany,
    /// A record in it is refused.
    #[error("a sync message with a record that is refused")]
    Record(#[from] RecordError),
    /// It names more members than fit beside those that are known and not down.
    #[error("a sync message names more members than fit: more than {MEMBERS_MAX} are alive")]
    Crowded,
    /// The failure detector refused it after it may have taken a part of it.
    #[error("the failure detector refused a sync message: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
}

/// What travels on the sync channel.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SyncMessage {
    /// What one node knows, or a part of it.
    Exchange(Exchange),
    /// The sum of what a node knows. Who knows something else answers with an exchange.
    Digest {
        /// Without its address, which nobody learns from here.
        sender: Identity,
        digest: Digest,
    },
}

/// What one node tells another, or a part of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) sender: Identity,
    /// Of the sender. Who is told that it is suspected answers with a higher one.
    pub(crate) incarnation: u16,
    /// Whether the receiver shall answer with all that it knows.
    pub(crate) reply_wanted: bool,
    /// The detector's members, down ones included, without the sender.
    pub(crate) members: Vec<Member>,
    pub(crate) records: Vec<Record>,
}

impl SyncMessage {
    pub(crate) fn sender(&self) -> &Identity {
        match self {
            Self::Exchange(exchange) => &exchange.sender,
            Self::Digest { sender, .. } => sender,
        }
    }

    pub(crate) fn decode(message: &[u8]) -> Result<Self, SyncError> {
        if message.len() > SYNC_BYTES_MAX {
            return Err(SyncError::TooLarge { bytes: message.len() });
        }
        let Some((&WIRE_VERSION, body)) = message.split_first() else {
            return Err(SyncError::Version);
        };
        let (message, rest) = postcard::take_from_bytes::<Self>(body).map_err(|_| SyncError::Malformed)?;
        if !rest.is_empty() {
            return Err(SyncError::Malformed);
        }
        if let Self::Exchange(exchange) = &message {
            exchange.check()?;
        }
        Ok(message)
    }

    pub(crate) fn encode(&self) -> Bytes {
        let bytes = postcard::to_extend(self, vec![WIRE_VERSION]);
        bytes.expect("a sync message has no map, no float and no length unknown before").into()
    }
}

impl Exchange {
    fn check(&self) -> Result<(), SyncError> {
        if self.members.len() > MEMBERS_MAX || self.records.len() > ROSTER_NODES_MAX {
            return Err(SyncError::TooMany);
        }
        Ok(self.records.iter().try_for_each(Record::check)?)
    }

    fn new(sender: &Identity, incarnation: u16, members: Vec<Member>) -> Self {
        Self { sender: sender.clone(), incarnation, reply_wanted: false, members, records: Vec::new() }
    }

    fn encode(self) -> Bytes {
        SyncMessage::Exchange(self).encode()
    }

    /// As few messages as it takes, each within [`SYNC_BYTES_MAX`]. Only the last one asks for a reply, so that the
    /// answer already knows it all.
    pub(crate) fn encode_all(
        sender: &Identity,
        incarnation: u16,
        reply_wanted: bool,
        members: Vec<Member>,
        records: impl IntoIterator<Item = Record>,
    ) -> Vec<Bytes> {
        // All members fit in the first message: MEMBERS_MAX identities are far below the cap.
        let mut room = SYNC_BYTES_MAX - SYNC_ENVELOPE_BYTES - MEMBERS_MAX * MEMBER_BYTES_MAX;
        let mut part = Self::new(sender, incarnation, members);
        let mut messages = Vec::new();
        for record in records {
            let bytes = record.encode().len();
            if bytes > room {
                let full = std::mem::replace(&mut part, Self::new(sender, incarnation, Vec::new()));
                messages.push(full.encode());
                room = SYNC_BYTES_MAX - SYNC_ENVELOPE_BYTES;
            }
            room = room.saturating_sub(bytes);
            part.records.push(record);
        }
        part.reply_wanted = reply_wanted;
        messages.push(part.encode());
        messages
    }
}

/// The largest member in bytes: its node id, an address of the greatest length and a few numbers.
const MEMBER_BYTES_MAX: usize = NodeId::LENGTH_MAX + phalanx_base::Address::LENGTH_MAX + 32;

const _: () =
    assert!(SYNC_BYTES_MAX > SYNC_ENVELOPE_BYTES + MEMBERS_MAX * MEMBER_BYTES_MAX + RECORD_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Standing;
    use foca::State;
    use phalanx_base::{AddressList, Boot, Generation};
    use proptest::prelude::*;

    fn boot(name: &str) -> Boot {
        Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(u64::MAX) }
    }

    fn record(name: &str, addresses: usize) -> Record {
        let long =
            |n: usize| format!("{}.{}.{n}.example:7000", "h".repeat(50), "h".repeat(30)).parse().unwrap();
        let addresses = AddressList::new((0..addresses).map(long)).unwrap();
        Record {
            boot: boot(name),
            standing: Standing::Active,
            weight: 1,
            zone: String::new(),
            addresses,
            version: 1,
        }
    }

    fn exchange(message: Result<SyncMessage, SyncError>) -> Exchange {
        match message {
            Ok(SyncMessage::Exchange(exchange)) => exchange,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_fullest_roster_is_split_and_only_the_last_part_asks() {
        let longest = format!("{}.{}.{}.{}", "a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(60));
        let address = format!("{longest}:65535;transport=quic").parse().unwrap();
        let name = |n: usize| format!("{n:064}");
        let member = |n| {
            let identity = Identity::new(boot(&name(n)), Some(&address).cloned());
            Member::new(identity, u16::MAX, State::Down)
        };
        let sender = Identity::new(boot("me"), None);
        let records: Vec<Record> = (0..ROSTER_NODES_MAX).map(|n| record(&name(n), 16)).collect();
        assert!(records.iter().all(|record| record.check().is_ok()));
        let messages =
            Exchange::encode_all(&sender, 0, true, (0..MEMBERS_MAX).map(member).collect(), records.clone());
        assert!(messages.len() > 1);
        let parts: Vec<Exchange> =
            messages.iter().map(|message| exchange(SyncMessage::decode(message))).collect();
        let asks: Vec<bool> = parts.iter().map(|part| part.reply_wanted).collect();
        assert_eq!(asks.iter().filter(|asks| **asks).count(), 1);
        assert_eq!(asks.last(), Some(&true));
        assert_eq!(parts.iter().map(|part| part.members.len()).sum::<usize>(), MEMBERS_MAX);
        assert_eq!(parts.into_iter().flat_map(|part| part.records).collect::<Vec<_>>(), records);
    }

    #[test]
    fn refusals_are_typed() {
        let sender = Identity::new(boot("me"), None);
        let with = |members: usize, records: Vec<Record>| {
            let member = Member::alive(sender.clone());
            Exchange { records, ..Exchange::new(&sender, 0, vec![member; members]) }.encode()
        };
        assert_eq!(SyncMessage::decode(&with(MEMBERS_MAX + 1, vec![])), Err(SyncError::TooMany));
        let heavy = Record { weight: 65, ..record("r", 0) };
        assert!(matches!(SyncMessage::decode(&with(0, vec![heavy])), Err(SyncError::Record(_))));
        assert_eq!(SyncMessage::decode(&[]), Err(SyncError::Version));
        assert_eq!(
            SyncMessage::decode(&[&with(0, vec![]), [0].as_slice()].concat()),
            Err(SyncError::Malformed)
        );
        let large = vec![WIRE_VERSION; SYNC_BYTES_MAX + 1];
        assert_eq!(SyncMessage::decode(&large), Err(SyncError::TooLarge { bytes: large.len() }));
    }

    proptest! {
        #[test]
        fn junk_and_damaged_messages_never_panic(
            junk: Vec<u8>,
            at in any::<proptest::sample::Index>(),
            flip in 1..=u8::MAX,
        ) {
            let sender = Identity::new(boot("me"), None);
            let members = vec![Member::alive(sender.clone())];
            let mut bytes = Exchange::encode_all(&sender, 0, true, members, [record("r", 2)])[0].to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let _ = SyncMessage::decode(&bytes);
            let _ = SyncMessage::decode(&[&[WIRE_VERSION], junk.as_slice()].concat());
        }
    }
}
