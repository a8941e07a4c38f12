//! Properties of the table and of the schedule, and the recorded form of packets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use phalanx_base::{AddressList, Boot, ClusterSeal, Entropy, Generation, SEAL_BYTES};
use proptest::prelude::*;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::hearing::{CHECKS_PER_SECOND_MAX, Hearing, NODES_MAX, Reaction};
use super::packet::{Beacon, NoBeacon, PACKET_BYTES_MAX, Packet, Question, Unreadable};
use super::speaking::{ANSWER_DIVISOR, ANSWER_PAUSE, ANSWER_SPREAD, Speaking};
use crate::{Announcement, ClusterScope, StrategyAddress};

/// Real signatures, and how many were checked.
struct Seal {
    pair: Option<Ed25519KeyPair>,
    public: Vec<u8>,
    checks: AtomicU32,
}

impl ClusterSeal for Seal {
    fn seal(&self, message: &[u8]) -> Option<[u8; SEAL_BYTES]> {
        self.pair.as_ref()?.sign(message).as_ref().try_into().ok()
    }

    fn is_sealed(&self, message: &[u8], seal: &[u8]) -> bool {
        self.checks.fetch_add(1, Ordering::Relaxed);
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, seal).is_ok()
    }
}

fn seal(seed: u8) -> Seal {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    Seal { public: pair.public_key().as_ref().to_vec(), pair: Some(pair), checks: AtomicU32::new(0) }
}

fn scope(id: &str, seed: u8) -> (ClusterScope, Arc<Seal>) {
    let seal = Arc::new(seal(seed));
    (ClusterScope { id: id.to_owned(), seal: seal.clone() }, seal)
}

fn who(node: u16, generation: u64, addresses: &str) -> Announcement {
    let boot =
        Boot { node: format!("c{node}").parse().unwrap(), generation: Generation::from_u64(generation) };
    Announcement { boot, addresses: addresses.parse().unwrap() }
}

fn beacon(scope: &ClusterScope, who: &Announcement, revision: u64) -> Vec<u8> {
    Beacon::new(scope, who, revision, 20_000).packet(scope).unwrap()
}

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[test]
fn packets_have_their_recorded_form() {
    let (scope, _) = scope("ours", 1);
    let packet = beacon(&scope, &who(1, 5, "10.0.0.1:7000"), 3);
    let hex: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
    let (body, seal) = hex.split_at(hex.len() - 2 * SEAL_BYTES);
    // phlx, version 1, kind 1; "ours", "c1", 5, 3, 20,000, the list as text.
    assert_eq!(
        body,
        "70686c780101046f757273026331050\
         3a09c01177068616c616e783a2f2f31302e302e302e313a37303030"
    );
    assert_eq!(seal, RECORDED_SEAL);
    assert_eq!(Question::packet("ours").unwrap(), b"phlx\x01\x02\x04ours");
    assert_eq!(Question::packet(&"c".repeat(129)), None);
}

/// Of the key whose seed is 32 ones; Ed25519 signs the same message the same way each time (RFC 8032).
const RECORDED_SEAL: &str = "6e41fe03f3639e8362a145a819be28210935a1c4c0e94bd46c61815325b246da\
    fb6f2b41c8f03ce8e073dbdc482e4853b012db9da66de9bc817d097df7270203";

#[test]
fn what_is_not_a_whole_packet_of_this_version_is_told_apart() {
    let (scope, _) = scope("ours", 1);
    let packet = beacon(&scope, &who(1, 5, "10.0.0.1:7000"), 3);
    for length in 0..packet.len() {
        assert!(Packet::decode(&packet[..length]).is_err(), "{length}");
    }
    assert_eq!(Packet::decode(&[&packet[..], &[0]].concat()), Err(Unreadable::Malformed));
    let mut later = packet.clone();
    later[4] = 2;
    assert_eq!(Packet::decode(&later), Err(Unreadable::Version));
    let long = [&packet[..], &[0; PACKET_BYTES_MAX]].concat();
    assert_eq!(Packet::decode(&long), Err(Unreadable::Malformed));
}

#[test]
fn addresses_that_do_not_fit_are_left_out_from_the_end() {
    let (scope, _) = scope("ours", 1);
    let addresses: Vec<_> = (0..16).map(|n| format!("{}{n}.example:7000", "a".repeat(55))).collect();
    let packet = beacon(&scope, &who(1, 5, &addresses.join(",")), 3);
    assert!(packet.len() <= PACKET_BYTES_MAX);
    let Ok(Packet::Beacon { beacon, .. }) = Packet::decode(&packet) else { panic!("it is a beacon") };
    let kept = beacon.addresses.len();
    assert!((8..16).contains(&kept));
    assert_eq!(beacon.addresses, addresses[..kept].join(",").parse::<AddressList>().unwrap());
    let scope = ClusterScope { id: "c".repeat(PACKET_BYTES_MAX), ..scope };
    assert_eq!(Beacon::new(&scope, &who(1, 5, "a"), 1, 1).packet(&scope), Err(NoBeacon::TooLong));
    let worker = Arc::new(Seal { pair: None, ..seal(1) });
    let scope = ClusterScope { id: "ours".to_owned(), seal: worker };
    assert_eq!(Beacon::new(&scope, &who(1, 5, "a"), 1, 1).packet(&scope), Err(NoBeacon::Unsealed));
}

#[test]
fn a_storm_costs_so_many_checks_a_second() {
    let ((scope, seal), (forger, _)) = (scope("ours", 1), scope("ours", 2));
    let (mut hearing, start) = (Hearing::new(scope.clone()), start());
    let checks = || seal.checks.load(Ordering::Relaxed);
    // The same beacon, genuine or forged, is checked once.
    let genuine = beacon(&scope, &who(1, 1, "10.0.0.1"), 1);
    assert_eq!(hearing.handle_packet(start, 1, &genuine), Reaction::Changed);
    let forged = beacon(&forger, &who(2, 1, "10.0.0.2"), 1);
    for _ in 0..10_000 {
        assert_eq!(hearing.handle_packet(start, 1, &genuine), Reaction::Nothing);
        assert_eq!(hearing.handle_packet(start, 1, &forged), Reaction::Nothing);
    }
    assert_eq!(checks(), 2);
    // Ever other ones are checked up to the cap, and then again in the next second.
    for revision in 2..1_000 {
        hearing.handle_packet(start, 1, &beacon(&forger, &who(2, 1, "10.0.0.2"), revision));
    }
    assert_eq!(checks(), CHECKS_PER_SECOND_MAX);
    assert!(hearing.ignored().unchecked > 0);
    let next = beacon(&scope, &who(1, 1, "10.0.0.9"), 2);
    assert_eq!(hearing.handle_packet(start, 1, &next), Reaction::Nothing);
    assert_eq!(hearing.handle_packet(start + Duration::from_secs(1), 1, &next), Reaction::Changed);
    // What is known is refreshed without a check all the while.
    assert_eq!(hearing.nodes().count(), 1);
}

#[test]
fn the_table_is_bounded_and_the_silent_make_room() {
    let (scope, _) = scope("ours", 1);
    let (mut hearing, start) = (Hearing::new(scope.clone()), start());
    for node in 0..u16::try_from(NODES_MAX + 3).unwrap() {
        let now = start + Duration::from_millis(10) * node.into();
        hearing.handle_packet(now, 1, &beacon(&scope, &who(node, 1, "10.0.0.1"), 1));
    }
    assert_eq!(hearing.nodes().count(), NODES_MAX);
    let has = |node: &str| hearing.nodes().any(|heard| heard.boot.node.as_str() == node);
    assert!(!has("c0") && !has("c2") && has("c3") && has("c258"));
}

#[test]
fn who_speaks_here_is_not_heard() {
    let (scope, seal) = scope("ours", 1);
    let (mut hearing, start) = (Hearing::new(scope.clone()), start());
    let own = who(1, 1, "10.0.0.1");
    let packet = beacon(&scope, &own, 1);
    hearing.handle_packet(start, 1, &packet);
    assert_eq!(hearing.nodes().count(), 1);
    hearing.set_own([own.boot].into());
    assert_eq!(hearing.nodes().count(), 0);
    assert_eq!(hearing.handle_packet(start, 1, &packet), Reaction::Nothing);
    assert_eq!((hearing.nodes().count(), seal.checks.load(Ordering::Relaxed)), (0, 1));
}

#[test]
fn texts_make_strategies_or_say_what_is_wrong() {
    let made = |text: &str| text.parse::<StrategyAddress>().unwrap().strategy();
    for text in [
        "phalanx://;discover=multicast",
        "phalanx:///;discover=multicast;refresh=infinity",
        "phalanx://239.1.2.3,[ff15::1]:9;discover=multicast;interface=eth0,10.0.0.1,fe80::1;ttl=255;loop=off",
        "phalanx://[ff02::1234];discover=multicast;interval=100ms;mode=listen;loop=on",
    ] {
        assert!(made(text).is_ok(), "{text}");
    }
    for (text, part) in [
        ("phalanx://10.0.0.1;discover=multicast", "not a multicast group"),
        ("phalanx://group.example;discover=multicast", "not the IP address"),
        ("phalanx://239.1.2.3,239.1.2.4;discover=multicast", "two groups"),
        ("phalanx:///path;discover=multicast", "no path"),
        ("phalanx://;discover=multicast;ttl=0", "ttl=0"),
        ("phalanx://;discover=multicast;loop=yes", "on or off"),
        ("phalanx://;discover=multicast;interval=61s", "100ms to 60s"),
        ("phalanx://;discover=multicast;interval=infinity", "100ms to 60s"),
        ("phalanx://;discover=multicast;mode=mute", "both, announce or listen"),
        ("phalanx://;discover=multicast;volume=11", "volume"),
    ] {
        let error = made(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

/// What may come to a listener.
#[derive(Debug, Clone)]
enum Action {
    Beacon { node: u16, generation: u64, revision: u64, address: u8, seed: u8, cluster: bool },
    Question { cluster: bool },
    Junk(Vec<u8>),
    Wait(Duration),
}

fn any_action() -> impl Strategy<Value = Action> {
    let beacon = (
        0..4_u16,
        1..3_u64,
        1..5_u64,
        0..3_u8,
        prop_oneof![4 => Just(1_u8), 1 => Just(2)],
        prop::bool::weighted(0.9),
    );
    prop_oneof![
        6 => beacon.prop_map(|(node, generation, revision, address, seed, cluster)| {
            Action::Beacon { node, generation, revision, address, seed, cluster }
        }),
        1 => any::<bool>().prop_map(|cluster| Action::Question { cluster }),
        1 => prop::collection::vec(any::<u8>(), 0..80).prop_map(Action::Junk),
        2 => (0..25_000_u64).prop_map(|pause_ms| Action::Wait(Duration::from_millis(pause_ms))),
    ]
}

/// What is known of a node: boot, revision, address, and when it was last heard.
type Known = (u64, u64, String, Instant);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_table_is_what_genuine_beacons_say(actions in prop::collection::vec(any_action(), 0..60)) {
        let names = ["ours", "theirs"];
        let scopes: Vec<_> = [1, 2].map(|seed| names.map(|name| scope(name, seed).0)).into();
        let (mut hearing, mut now) = (Hearing::new(scopes[0][0].clone()), start());
        let mut model: BTreeMap<u16, Known> = BTreeMap::new();
        for action in actions {
            match action {
                Action::Wait(pause) => {
                    now += pause;
                    model.retain(|_, known| now < known.3 + Duration::from_secs(20));
                    hearing.handle_timeout(now);
                }
                Action::Junk(bytes) => prop_assert_eq!(hearing.handle_packet(now, 1, &bytes), Reaction::Nothing),
                Action::Question { cluster } => {
                    let packet = Question::packet(names[usize::from(!cluster)]).unwrap();
                    let expected = if cluster { Reaction::Asked } else { Reaction::Nothing };
                    prop_assert_eq!(hearing.handle_packet(now, 1, &packet), expected);
                }
                Action::Beacon { node, generation, revision, address, seed, cluster } => {
                    let address = if address == 0 { String::new() } else { format!("10.0.0.{address}") };
                    let scope = &scopes[usize::from(seed - 1)][usize::from(!cluster)];
                    let packet = beacon(scope, &who(node, generation, &address), revision);
                    let said = (generation, revision, address, now);
                    let is_genuine = cluster && seed == 1;
                    let is_newer = |known: &Known| (known.0, known.1) < (said.0, said.1);
                    let is_repeat = |known: &Known| (known.0, known.1, &known.2) == (said.0, said.1, &said.2);
                    let believes = is_genuine && model.get(&node).is_none_or(is_newer);
                    let expected = if believes { Reaction::Changed } else { Reaction::Nothing };
                    prop_assert_eq!(hearing.handle_packet(now, 1, &packet), expected);
                    if believes || is_genuine && model.get(&node).is_some_and(is_repeat) {
                        model.insert(node, said);
                    }
                }
            }
            let heard: Vec<_> = hearing.nodes().map(|node| (node.boot.node.to_string(), node.addresses.to_string())).collect();
            let expected = model.iter().filter(|(_, known)| !known.2.is_empty());
            let expected: Vec<_> = expected.map(|(node, known)| (format!("c{node}"), format!("phalanx://{}", known.2))).collect();
            prop_assert_eq!(heard, expected);
            let next = model.values().map(|known| known.3 + Duration::from_secs(20)).min();
            prop_assert_eq!(hearing.poll_timeout(), next);
        }
    }

    #[test]
    fn any_bytes_are_a_packet_or_none(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in 0..4_u8,
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let _ = Packet::decode(&bytes);
        let _ = Packet::decode(&[b"phlx\x01".as_slice(), &[kind], &bytes].concat());
        // One wrong bit in a genuine beacon, and it is not believed.
        let (scope, _) = scope("ours", 1);
        let mut packet = beacon(&scope, &who(1, 5, "10.0.0.1:7000,[::1]:9"), 3);
        let at = at.index(packet.len());
        packet[at] ^= 1 << bit;
        let mut hearing = Hearing::new(scope);
        prop_assert_eq!(hearing.handle_packet(start(), 1, &packet), Reaction::Nothing);
        prop_assert_eq!(hearing.nodes().count(), 0);
    }

    #[test]
    fn beacons_keep_their_distance_whoever_asks(
        interval_ms in 100..60_000_u64,
        questions in prop::collection::vec(0..2_000_u64, 0..200),
        seed: u64,
    ) {
        let (interval, entropy) = (Duration::from_millis(interval_ms), Counting(AtomicU32::new(seed as u32)));
        let (mut speaking, mut now) = (Speaking::new(interval), start());
        speaking.handle_question(now, &entropy);
        prop_assert_eq!(speaking.poll_timeout(), None);
        speaking.begin(now);
        let mut last = None;
        let pause_min = ANSWER_PAUSE.min(interval / ANSWER_DIVISOR);
        for pause_ms in questions {
            let asked = now + Duration::from_millis(pause_ms);
            while let Some(next) = speaking.poll_timeout().filter(|next| *next <= asked) {
                prop_assert!(speaking.handle_timeout(next, &entropy));
                if let Some(last) = last.replace(next) {
                    prop_assert!((pause_min..=interval).contains(&(next - last)), "{:?}", next - last);
                }
            }
            now = asked;
            speaking.handle_question(now, &entropy);
            // Soon, unless it has just spoken.
            let soon = (now + ANSWER_SPREAD).max(last.map_or(now, |last| last + pause_min));
            prop_assert!(speaking.poll_timeout().is_some_and(|next| next <= soon));
        }
    }
}

/// Draws that differ, from a seed.
struct Counting(AtomicU32);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let draw = self.0.fetch_add(0x9e37_79b9, Ordering::Relaxed);
            *byte = (draw >> 24) as u8;
        }
    }
}
