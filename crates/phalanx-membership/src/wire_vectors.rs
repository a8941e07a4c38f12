//! Recorded messages of wire version 1. They are what a node of another version of this library sends and expects: a
//! change that breaks one of them needs a new wire version, and the old one must go on being understood.

use bytes::BufMut;
use foca::{Codec as _, Header, Message, PostcardCodec, State};
use phalanx_base::{Boot, Generation};

use crate::common::id;
use crate::digest::Digest;
use crate::identity::Identity;
use crate::record::{Record, Standing};
use crate::snapshot::RosterSnapshot;
use crate::sync::{Exchange, SyncMessage};
use crate::wire::{Member, Packet, WIRE_VERSION};

const RECORD: &str = concat!(
    "04616e6e61effd8280a0ebd3c9010202067261636b2d31347068616c616e783a2f2f31302e302e302e353a373030302c",
    "7068616c616e783a2f2f5b323030313a6462383a3a355d3a37303030ac02",
);
const GOSSIP: &str = concat!(
    "0104616e6e61effd8280a0ebd3c9010001177068616c616e783a2f2f31302e302e302e353a3730303000010462656c61",
    "effd8280a0ebd3c90100000008000104636c656feffd8280a0ebd3c90100011b7068616c616e783a2f2f636c656f2e65",
    "78616d706c653a37303030000701004e04616e6e61effd8280a0ebd3c9010202067261636b2d31347068616c616e783a",
    "2f2f31302e302e302e353a373030302c7068616c616e783a2f2f5b323030313a6462383a3a355d3a37303030ac02",
);
const EXCHANGE: &str = concat!(
    "010004616e6e61effd8280a0ebd3c90100000005010104636c656feffd8280a0ebd3c90100011b7068616c616e783a2f",
    "2f636c656f2e6578616d706c653a373030300007010104616e6e61effd8280a0ebd3c9010202067261636b2d31347068",
    "616c616e783a2f2f31302e302e302e353a373030302c7068616c616e783a2f2f5b323030313a6462383a3a355d3a3730",
    "3030ac02",
);
const DIGEST: &str = "010104616e6e61effd8280a0ebd3c901000000b59efff7c395c98d9f01e6e48fe1d089fedc5d";
const SNAPSHOT: &str = concat!(
    "010104616e6e61effd8280a0ebd3c9010202067261636b2d31347068616c616e783a2f2f31302e302e302e353a373030",
    "302c7068616c616e783a2f2f5b323030313a6462383a3a355d3a37303030ac02",
);

fn identity(name: &str, address: Option<&str>) -> Identity {
    let boot = Boot { node: id(name), generation: Generation::from_u64(0x0193_4f5a_0000_beef) };
    Identity::new(boot, address.map(|text| text.parse().unwrap()))
}

fn record() -> Record {
    Record {
        boot: identity("anna", None).boot().clone(),
        standing: Standing::Draining,
        weight: 2,
        zone: "rack-1".into(),
        addresses: "10.0.0.5:7000,[2001:db8::5]:7000".parse().unwrap(),
        version: 300,
    }
}

fn member() -> Member {
    Member::new(identity("cleo", Some("cleo.example:7000")), 7, State::Suspect)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

#[test]
fn a_record() {
    assert_eq!(hex(&record().encode()), RECORD);
    assert_eq!(Record::decode(&bytes(RECORD)), Ok(record()));
}

#[test]
fn a_gossip_datagram() {
    let (src, dst) = (identity("anna", Some("10.0.0.5:7000")), identity("bela", None));
    let header = Header { src, src_incarnation: 1, dst, message: Message::Gossip };
    let mut datagram = vec![WIRE_VERSION];
    PostcardCodec.encode_header(&header, &mut datagram).unwrap();
    datagram.put_u16(1);
    PostcardCodec.encode_member(&member(), &mut datagram).unwrap();
    datagram.put_u16(record().encode().len() as u16);
    datagram.put_slice(&record().encode());
    assert_eq!(hex(&datagram), GOSSIP);
    let recorded = bytes(GOSSIP);
    let packet = Packet::decode(&recorded).unwrap();
    assert_eq!(packet.header, header);
    assert_eq!((packet.updates, packet.records), (vec![member()], vec![record()]));
}

#[test]
fn an_exchange() {
    let sender = identity("anna", None);
    let encoded = Exchange::encode_all(&sender, 5, true, vec![member()], [record()]);
    assert_eq!(encoded.iter().map(|message| hex(message)).collect::<Vec<_>>(), [EXCHANGE]);
    let (members, records) = (vec![member()], vec![record()]);
    let exchange = Exchange { sender, incarnation: 5, reply_wanted: true, members, records };
    assert_eq!(SyncMessage::decode(&bytes(EXCHANGE)), Ok(SyncMessage::Exchange(exchange)));
}

#[test]
fn a_digest() {
    let sender = identity("anna", None);
    let digest = Digest::of(&sender, [member()].iter(), [record()].iter());
    let message = SyncMessage::Digest { sender, digest };
    assert_eq!(hex(&message.encode()), DIGEST);
    assert_eq!(SyncMessage::decode(&bytes(DIGEST)), Ok(message));
}

#[test]
fn a_stored_roster() {
    let snapshot = RosterSnapshot::new(vec![record()]);
    assert_eq!(hex(&snapshot.encode()), SNAPSHOT);
    assert_eq!(RosterSnapshot::decode(&bytes(SNAPSHOT)), Ok(snapshot));
}
