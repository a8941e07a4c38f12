//! Datagrams: the form of the packets that the failure detector exchanges, checked before the detector sees them.
//!
//! A datagram is one byte of wire version, then the detector's packet: a header, the news of members behind their
//! count, and roster records behind their lengths. foca would take each of these at its word, so it gets only the
//! header and the news, after all of it was decoded once, and the records are merged by ourselves.

use foca::{Codec as _, Header, Message, PostcardCodec};
use phalanx_base::NodeId;

use crate::identity::Identity;
use crate::record::{Record, RecordError};

/// The largest datagram in bytes. QUIC carries 1,162 until it has discovered what the path takes.
pub const DATAGRAM_BYTES_MAX: usize = 1_100;
/// What stands before the detector's packet: the wire version.
pub(crate) const DATAGRAM_ENVELOPE_BYTES: usize = 1;
/// The first byte of every message of this crate.
pub(crate) const WIRE_VERSION: u8 = 1;
/// The largest record that travels in datagrams: what surely remains of one behind the longest header. A larger one is
/// sent on the sync channel, because the detector would keep it in its queue and never send it.
pub(crate) const RECORD_BROADCAST_BYTES_MAX: usize = 600;

/// A member as the detector knows it.
pub(crate) type Member = foca::Member<Identity>;

/// Why a datagram was dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// It is larger than [`DATAGRAM_BYTES_MAX`]. Nothing was changed.
    #[error("a datagram of {bytes} bytes is larger than {DATAGRAM_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is empty or of another wire version. Nothing was changed.
    #[error("a datagram of a wire version that is not known: upgrade the older of the two nodes")]
    Version,
    /// It ends too early, too late or says what no packet can say. Nothing was changed.
    #[error("a malformed datagram: {reason}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// Its sender claims to be another node than the one that the link authenticated. Nothing was changed.
    #[error("a datagram of {from} claims to come from {claimed}: {from} is faulty or hostile")]
    Spoofed {
        /// Who sent it.
        from: NodeId,
        /// Who it says it is.
        claimed: NodeId,
    },
    /// A record in it is refused. Nothing was changed.
    #[error("a datagram with a record that is refused")]
    Record(#[from] RecordError),
    /// It names more members than fit beside those that are known and not down. Nothing was changed.
    #[error("a datagram names more members than fit: more than {} are alive", crate::MEMBERS_MAX)]
    Crowded,
    /// The detector refused it after it may have taken a part of it.
    #[error("the failure detector refused a datagram: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
}

/// A datagram, decoded and checked.
#[derive(Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) header: Header<Identity>,
    pub(crate) updates: Vec<Member>,
    pub(crate) records: Vec<Record>,
    /// Header and updates, as the detector wants them.
    pub(crate) body: &'a [u8],
}

impl<'a> Packet<'a> {
    pub(crate) fn decode(datagram: &'a [u8]) -> Result<Self, DatagramError> {
        if datagram.len() > DATAGRAM_BYTES_MAX {
            return Err(DatagramError::TooLarge { bytes: datagram.len() });
        }
        let Some((&WIRE_VERSION, packet)) = datagram.split_first() else {
            return Err(DatagramError::Version);
        };
        let mut rest = packet;
        let header =
            PostcardCodec.decode_header(&mut rest).map_err(|_| malformed("the header does not decode"))?;
        if !rest.is_empty() && matches!(header.message, Message::Announce | Message::TurnUndead) {
            return Err(malformed("data behind a message that has none"));
        }
        let updates = match header.message {
            // A kind that this crate never sends: it has records only, and would slip past the detector's accounting.
            Message::Broadcast => return Err(malformed("a kind that is not used")),
            _ if rest.is_empty() => Vec::new(),
            _ => decode_updates(&mut rest)?,
        };
        let body = &packet[..packet.len() - rest.len()];
        let records = decode_records(rest)?;
        Ok(Self { header, updates, records, body })
    }

    /// Whether this answers something that the receiver sent, and so proves that it was heard.
    pub(crate) fn is_reply(&self) -> bool {
        matches!(
            self.header.message,
            Message::Ack(_) | Message::ForwardedAck { .. } | Message::Feed | Message::TurnUndead
        )
    }

    /// Whether this is the answer to an announcement.
    pub(crate) fn is_feed(&self) -> bool {
        self.header.message == Message::Feed
    }
}

fn malformed(reason: &'static str) -> DatagramError {
    DatagramError::Malformed { reason }
}

fn take_u16(rest: &mut &[u8]) -> Option<u16> {
    let (bytes, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u16::from_be_bytes(*bytes))
}

fn decode_updates(rest: &mut &[u8]) -> Result<Vec<Member>, DatagramError> {
    let count = take_u16(rest).ok_or_else(|| malformed("a single byte behind the header"))?;
    // No capacity from the claimed count: each update takes bytes of the datagram, which is small.
    (0..count)
        .map(|_| PostcardCodec.decode_member(&mut *rest).map_err(|_| malformed("a member does not decode")))
        .collect()
}

fn decode_records(mut rest: &[u8]) -> Result<Vec<Record>, DatagramError> {
    let mut records = Vec::new();
    while !rest.is_empty() {
        let length = take_u16(&mut rest).ok_or_else(|| malformed("a single byte before a record"))?;
        let (record, tail) = rest
            .split_at_checked(usize::from(length))
            .ok_or_else(|| malformed("a record ends behind the datagram"))?;
        records.push(Record::decode(record)?);
        rest = tail;
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Standing;
    use bytes::BufMut;
    use foca::State;
    use phalanx_base::{AddressList, Boot, Generation};
    use proptest::prelude::*;

    fn boot(name: &str) -> Boot {
        Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(1) }
    }

    fn record() -> Record {
        let addresses = AddressList::default();
        Record {
            boot: boot("r"),
            standing: Standing::Active,
            weight: 1,
            zone: String::new(),
            addresses,
            version: 1,
        }
    }

    fn datagram(message: Message<Identity>, tail: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let (src, dst) = (Identity::new(boot("a"), None), Identity::new(boot("b"), None));
        let mut bytes = vec![WIRE_VERSION];
        PostcardCodec.encode_header(&Header { src, src_incarnation: 0, dst, message }, &mut bytes).unwrap();
        tail(&mut bytes);
        bytes
    }

    fn put_record(bytes: &mut Vec<u8>) {
        bytes.put_u16(record().encode().len() as u16);
        bytes.extend(record().encode());
    }

    #[test]
    fn a_packet_is_split_into_its_parts() {
        let member = Member::new(Identity::new(boot("c"), None), 3, State::Suspect);
        let bytes = datagram(Message::Gossip, |bytes| {
            bytes.put_u16(1);
            PostcardCodec.encode_member(&member, &mut *bytes).unwrap();
            put_record(bytes);
            put_record(bytes);
        });
        let packet = Packet::decode(&bytes).unwrap();
        assert_eq!((packet.updates, packet.records), (vec![member], vec![record(), record()]));
        assert_eq!(packet.body.len() + 1 + 2 * (2 + record().encode().len()), bytes.len());
    }

    #[test]
    fn what_the_detector_must_not_see_is_refused() {
        let reason = |bytes: &[u8]| match Packet::decode(bytes) {
            Err(DatagramError::Malformed { reason }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            reason(&datagram(Message::Announce, |b| b.put_u16(0))),
            "data behind a message that has none"
        );
        assert_eq!(reason(&datagram(Message::Broadcast, put_record)), "a kind that is not used");
        assert_eq!(reason(&datagram(Message::Gossip, |b| b.put_u8(0))), "a single byte behind the header");
        assert_eq!(reason(&datagram(Message::Gossip, |b| b.put_u16(1))), "a member does not decode");
        assert_eq!(
            reason(&datagram(Message::Gossip, |b| b.put_slice(&[0, 0, 0, 9, 1]))),
            "a record ends behind the datagram"
        );
        assert_eq!(
            reason(&datagram(Message::Gossip, |b| b.put_slice(&[0, 0, 7]))),
            "a single byte before a record"
        );
        let empty_record = datagram(Message::Gossip, |b| b.put_slice(&[0, 0, 0, 0]));
        assert_eq!(Packet::decode(&empty_record).unwrap_err(), RecordError::Malformed.into());
        assert_eq!(Packet::decode(&[]).unwrap_err(), DatagramError::Version);
        assert_eq!(Packet::decode(&[2, 0]).unwrap_err(), DatagramError::Version);
        let large = vec![WIRE_VERSION; DATAGRAM_BYTES_MAX + 1];
        assert_eq!(Packet::decode(&large).unwrap_err(), DatagramError::TooLarge { bytes: large.len() });
    }

    proptest! {
        #[test]
        fn junk_and_damaged_packets_never_panic(
            junk: Vec<u8>,
            at in any::<proptest::sample::Index>(),
            flip in 1..=u8::MAX,
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut bytes = datagram(Message::Gossip, |bytes| {
                bytes.put_u16(0);
                put_record(bytes);
            });
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            bytes.truncate(cut.index(bytes.len() + 1));
            let _ = Packet::decode(&bytes);
            let _ = Packet::decode(&[&[WIRE_VERSION], junk.as_slice()].concat());
        }
    }
}
