//! What a peer that talks too much can do to a node: nothing that outgrows a cap, and nothing that cannot be mended.

use std::time::{Duration, Instant};

use foca::State;
use phalanx_base::{AddressList, Boot, Generation, NodeId};

use crate::common::{Cluster, id};
use crate::identity::Identity;
use crate::record::{RECORD_VERSION_MAX, Record, RecordError, Standing};
use crate::sync::Exchange;
use crate::wire::{Member, Packet};
use crate::{
    Config, Event, Liveness, LocalMember, MEMBERS_MAX, Membership, ROSTER_NODES_MAX, SYNC_BYTES_QUEUED_MAX,
    SyncError,
};

fn boot(name: &str) -> Boot {
    Boot { node: id(name), generation: Generation::from_u64(1) }
}

fn member(name: &str, state: State) -> Member {
    Member::new(Identity::new(boot(name), None), 0, state)
}

fn record(name: &str, version: u64) -> Record {
    let addresses = AddressList::default();
    let boot = boot(name);
    Record { boot, standing: Standing::Active, weight: 1, zone: String::new(), addresses, version }
}

fn started() -> (Membership, Instant) {
    let now = Cluster::new(Config::lan(), 1).now();
    let mut core =
        Membership::new(Config::lan(), LocalMember::new(boot("me"), AddressList::default()), 1, now)
            .expect("nothing is out of range");
    core.handle_peer_reachable(now, boot("x"), None);
    while core.poll_transmit().is_some() {}
    (core, now)
}

/// What the peer `x` says, or asks.
fn hear(
    core: &mut Membership,
    now: Instant,
    reply_wanted: bool,
    members: Vec<Member>,
    records: Vec<Record>,
) -> Result<(), SyncError> {
    let sender = Identity::new(boot("x"), None);
    let mut messages = Exchange::encode_all(&sender, 0, reply_wanted, members, records).into_iter();
    messages.try_for_each(|message| core.handle_sync(now, &id("x"), &message))
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n:03}")).collect()
}

#[test]
fn who_is_down_makes_room_and_who_is_alive_does_not() {
    let (mut core, now) = started();
    let dead = names("dead", 100).iter().map(|name| member(name, State::Down)).collect();
    hear(&mut core, now, false, dead, vec![]).unwrap();
    let later = now + Duration::from_secs(1);
    let alive: Vec<Member> =
        names("live", MEMBERS_MAX - 1).iter().map(|name| member(name, State::Alive)).collect();
    hear(&mut core, later, false, alive, vec![]).unwrap();
    assert_eq!(core.members().len(), MEMBERS_MAX + 1, "and the local one");
    assert!(core.members().iter().all(|member| member.liveness == Liveness::Alive));
    let removed = std::iter::from_fn(|| core.poll_event()).filter(|e| matches!(e, Event::Removed(_))).count();
    assert_eq!(removed, 100);
    let one_more = vec![member("late", State::Alive)];
    assert_eq!(hear(&mut core, later, false, one_more, vec![]), Err(SyncError::Crowded));
    assert_eq!(core.members().len(), MEMBERS_MAX + 1);
    assert_eq!(core.counters().complaints, 0);
}

#[test]
fn the_oldest_dead_is_forgotten_first() {
    let (mut core, mut now) = started();
    for name in names("dead", MEMBERS_MAX - 1) {
        hear(&mut core, now, false, vec![member(&name, State::Down)], vec![]).unwrap();
        now += Duration::from_millis(1);
    }
    hear(&mut core, now, false, vec![member("new", State::Alive)], vec![]).unwrap();
    let known = |name: &str| core.members().iter().any(|member| member.boot.node == id(name));
    assert!(!known("dead000") && known("dead001") && known("new"));
}

#[test]
fn who_is_down_is_believed_nothing_ill_of_others() {
    let (mut core, now) = started();
    let others = || vec![member("y", State::Alive), member("z", State::Alive)];
    hear(&mut core, now, false, others(), vec![]).unwrap();
    let of_y = Identity::new(boot("y"), None);
    for message in Exchange::encode_all(&of_y, 0, false, vec![member("x", State::Down)], []) {
        core.handle_sync(now, &id("y"), &message).unwrap();
    }
    assert_eq!(core.liveness(&id("x")), Liveness::Down);
    let verdicts = vec![member("y", State::Down), member("z", State::Suspect)];
    hear(&mut core, now, false, verdicts, vec![]).unwrap();
    assert_eq!(["y", "z"].map(|name| core.liveness(&id(name))), [Liveness::Alive; 2]);
}

#[test]
fn a_full_roster_refuses_and_counts() {
    let (mut core, now) = started();
    let records: Vec<Record> = names("n", ROSTER_NODES_MAX - 1).iter().map(|name| record(name, 1)).collect();
    hear(&mut core, now, false, vec![], records).unwrap();
    hear(&mut core, now, false, vec![], vec![record("late", 1)]).unwrap();
    assert_eq!(core.roster().entries().len(), ROSTER_NODES_MAX);
    assert_eq!(core.counters().records_refused, 1);
}

#[test]
fn an_absurd_version_is_refused_and_the_greatest_is_survived() {
    let (mut core, now) = started();
    let absurd = RECORD_VERSION_MAX + 1;
    let refusal = RecordError::Version { node: id("me"), version: absurd };
    assert_eq!(
        hear(&mut core, now, false, vec![], vec![record("me", absurd)]),
        Err(SyncError::Record(refusal))
    );
    hear(&mut core, now, false, vec![], vec![record("me", RECORD_VERSION_MAX)]).unwrap();
    let full = names("n", ROSTER_NODES_MAX - 1).iter().map(|name| record(name, RECORD_VERSION_MAX)).collect();
    hear(&mut core, now, false, vec![], full).unwrap();
    assert_eq!(core.roster().version().0, RECORD_VERSION_MAX * ROSTER_NODES_MAX as u64);
}

#[test]
fn questions_are_answered_once_in_a_second() {
    let (mut core, now) = started();
    let syncs = |core: &mut Membership| {
        let transmits = std::iter::from_fn(|| core.poll_transmit());
        transmits.filter(|transmit| transmit.channel == crate::Channel::Sync).count()
    };
    let later = now + Duration::from_secs(2);
    for _ in 0..100 {
        hear(&mut core, later, true, vec![], vec![]).unwrap();
    }
    assert_eq!(syncs(&mut core), 1);
    let sender = Identity::new(boot("stranger"), None);
    for message in Exchange::encode_all(&sender, 0, true, vec![], []) {
        core.handle_sync(later, &id("stranger"), &message).unwrap();
    }
    assert_eq!(syncs(&mut core), 0, "who has no link gets no answer");
}

#[test]
fn what_nobody_sends_stays_within_the_caps() {
    let (mut core, mut now) = started();
    let addresses: AddressList = ["a-host-with-a-long-name.example:7000"; 12].join(",").parse().unwrap();
    let large = |name: &String| Record { addresses: addresses.clone(), ..record(name, 1) };
    hear(&mut core, now, false, vec![], names("n", 200).iter().map(large).collect()).unwrap();
    for generation in 2..42 {
        now += Duration::from_millis(1_001);
        let restarted = |name: String| {
            let boot = Boot { node: id(&name), generation: Generation::from_u64(generation) };
            Member::alive(Identity::new(boot, None))
        };
        hear(&mut core, now, true, names("m", 50).into_iter().map(restarted).collect(), vec![]).unwrap();
        core.handle_timeout(now);
    }
    let waiting: usize =
        std::iter::from_fn(|| core.poll_transmit()).map(|transmit| transmit.payload.len()).sum();
    assert!(waiting <= SYNC_BYTES_QUEUED_MAX + crate::DATAGRAMS_QUEUED_MAX * crate::DATAGRAM_BYTES_MAX);
    assert!(core.counters().transmits_dropped > 0);
    assert!(matches!(core.poll_event(), Some(Event::Missed(_))));
}

#[test]
fn who_has_been_fed_calls_no_more() {
    let mut cluster = Cluster::new(Config::lan(), 2);
    ["a", "b", "c"].iter().for_each(|name| cluster.start(name, 1));
    ["b", "c"].iter().for_each(|name| cluster.link("a", name));
    cluster.run_for(Duration::from_secs(1));
    let captured = cluster.capture();
    cluster.run_for(Duration::from_secs(60));
    let announces = |message: &&Vec<u8>| {
        Packet::decode(message).is_ok_and(|packet| packet.header.message == foca::Message::Announce)
    };
    assert_eq!(captured.borrow().iter().filter(announces).count(), 0);
}

#[test]
fn the_dead_are_forgotten_and_nobody_reminds_the_others() {
    let forget_down_after = Duration::from_secs(300);
    let mut cluster = Cluster::new(Config { forget_down_after, ..Config::lan() }, 3);
    ["a", "b", "c", "d"].iter().for_each(|name| cluster.start(name, 1));
    ["b", "c", "d"].iter().for_each(|name| cluster.link("a", name));
    cluster.run_until(Duration::from_secs(5), Cluster::agrees).expect("they meet");
    cluster.kill("d");
    cluster.run_for(Duration::from_secs(120));
    // One that comes late remembers longer: it has heard of the death only now.
    cluster.start("e", 1);
    cluster.link("a", "e");
    cluster.run_for(Duration::from_secs(900));
    let removals = |observer: NodeId| {
        let of_observer = cluster.log.iter().filter(|(_, node, _)| *node == observer);
        of_observer.filter(|(.., event)| *event == Event::Removed(boot("d"))).count()
    };
    for observer in ["a", "b", "c", "e"] {
        assert_eq!(removals(id(observer)), 1, "{observer}");
    }
    assert_eq!(cluster.core("a").liveness(&id("d")), Liveness::Down, "the roster still knows it");
}
