//! Any bytes are a message that encodes to itself, or are refused.

use proptest::prelude::*;

use super::*;
use crate::Table;
use phalanx_base::Generation;

fn boot() -> impl Strategy<Value = Boot> {
    ("[a-z]{1,8}", any::<u64>()).prop_map(|(name, generation)| Boot {
        node: NodeId::new(&name).unwrap(),
        generation: Generation::from_u64(generation),
    })
}

fn record() -> impl Strategy<Value = Record> {
    let content = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..50).prop_map(|value| Content::Value(value.into())),
        Just(Content::Removed),
        Just(Content::Vacant),
    ];
    (any::<u64>(), any::<u32>(), boot(), any::<(u64, u64)>(), content).prop_map(
        |(unix_ms, counter, writer, (first, second), content)| Record {
            stamp: Stamp { unix_ms, counter, writer: writer.node },
            order: Order(first, second),
            content,
        },
    )
}

prop_compose! {
    fn part()(
        origin in boot(),
        records in prop::collection::vec((1..9_u64, "[a-z]{1,9}", record()), 0..6),
        (from, more, beyond) in (0..1_u64 << 40, 1..9_u64, 0..99_u64),
    ) -> Part {
        let mut version = from;
        let mut lines = Vec::new();
        for (step, name, record) in records {
            version += step;
            let key = Key::new(Table::new("jobs").unwrap(), &name).unwrap();
            lines.push(Line::new(version, &key, &record, &origin));
        }
        let to = version + more;
        Part { origin, from, to, head: to + beyond, watermark: to, lines }
    }
}

fn message() -> impl Strategy<Value = Message> {
    let position = (boot(), 0..VERSION_MAX, 0..9_u64).prop_map(|(origin, known, ahead)| Position {
        origin,
        known,
        ahead,
    });
    let coverage = any::<(u64, u64)>()
        .prop_map(|(since_unix_ms, until_unix_ms)| Coverage { since_unix_ms, until_unix_ms });
    let digest =
        (prop::collection::vec(position, 0..5), prop::collection::vec(boot(), 0..3), coverage, any());
    prop_oneof![
        digest.prop_map(|(mut positions, declined, coverage, both)| {
            positions.sort_by(|a, b| a.origin.cmp(&b.origin));
            positions.dedup_by(|a, b| a.origin == b.origin);
            Body::Digest(Digest { positions, declined, coverage, both })
        }),
        (prop::collection::vec(part(), 0..3), any()).prop_map(|(parts, more)| Body::Answer { parts, more }),
        part().prop_map(Body::Push),
    ]
    .prop_map(Message)
}

fn any<T: Arbitrary>() -> impl Strategy<Value = T> {
    proptest::prelude::any::<T>()
}

proptest! {
    #[test]
    fn a_message_encodes_to_itself(message in message()) {
        let bytes = message.encode();
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
        for end in 0..bytes.len() {
            prop_assert!(Message::decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn damaged_messages_are_refused_or_sound(message in message(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let mut bytes = message.encode().to_vec();
        for (at, with) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::decode(&bytes);
        let _ = Message::decode(&[&[WIRE_VERSION][..], &bytes].concat());
    }

    #[test]
    fn a_line_takes_no_more_than_is_reckoned(record in record(), version in 0..VERSION_MAX, origin in boot()) {
        let key = Key::new(Table::new("jobs").unwrap(), "a").unwrap();
        let bytes = postcard::to_stdvec(&Line::new(version, &key, &record, &origin)).unwrap();
        prop_assert!(bytes.len() <= Line::bytes_max(&key, &record));
        let empty = Part { origin, from: version, to: u64::MAX, head: u64::MAX, watermark: u64::MAX, lines: vec![] };
        prop_assert!(postcard::to_stdvec(&empty).unwrap().len() + 4 <= Part::bytes_empty());
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let origin = Boot { node: NodeId::new("a").unwrap(), generation: Generation::from_u64(1) };
    let key = Key::new(Table::new("jobs").unwrap(), "a").unwrap();
    let stamp = Stamp { unix_ms: 1, counter: 0, writer: origin.node.clone() };
    let of = |bytes: usize| Record {
        stamp: stamp.clone(),
        order: Order::default(),
        content: Content::Value(vec![0; bytes].into()),
    };
    let line = |version, bytes| Line::new(version, &key, &of(bytes), &origin);
    let part =
        |from, to, head, watermark, lines| Part { origin: origin.clone(), from, to, head, watermark, lines };
    let decode = |part: Part| Message::decode(&Message(Body::Push(part)).encode());
    assert!(decode(part(0, 2, 2, 2, vec![line(1, 9), line(2, VALUE_BYTES_MAX)])).is_ok());
    for part in [
        part(2, 2, 2, 0, vec![]),
        part(0, 3, 2, 0, vec![]),
        part(0, 2, 2, 3, vec![]),
        part(0, 2, VERSION_MAX + 1, 0, vec![]),
        part(0, 2, 2, 0, vec![line(0, 1)]),
        part(0, 2, 2, 0, vec![line(3, 1)]),
        part(0, 2, 2, 0, vec![line(2, 1), line(1, 1)]),
        part(0, 2, 2, 0, vec![line(1, VALUE_BYTES_MAX + 1)]),
    ] {
        assert_eq!(decode(part), Err(DecodeError::Malformed));
    }
    let bytes = MESSAGE_BYTES_MAX + 1;
    assert_eq!(Message::decode(&vec![WIRE_VERSION; bytes]), Err(DecodeError::TooLarge { bytes }));
    assert_eq!(Message::decode(&[]), Err(DecodeError::Version));
    assert_eq!(Message::decode(&[WIRE_VERSION + 1, 0]), Err(DecodeError::Version));
}
