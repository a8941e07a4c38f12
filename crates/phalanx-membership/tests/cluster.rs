//! Whole clusters of cores on an in-memory network with manual time: they meet, notice, agree and mend.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Cluster, Faults, id};
use phalanx_base::{AddressList, Boot, Generation, RosterState};
use phalanx_membership::{Channel, Config, DatagramError, Event, Liveness, LocalMember, SyncError};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Nodes that know the first one, and through it each other.
fn formed(names: &[&str], seed: u64) -> Cluster {
    formed_with(Config::lan(), names, seed)
}

fn formed_with(config: Config, names: &[&str], seed: u64) -> Cluster {
    let mut cluster = Cluster::new(config, seed);
    names.iter().for_each(|name| cluster.start(name, 1));
    names.iter().skip(1).for_each(|name| cluster.link(names[0], name));
    cluster.run_until(seconds(5), Cluster::agrees).expect("they meet");
    cluster
}

fn is_down(name: &'static str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Down(boot) if boot.node == id(name))
}

fn state(cluster: &Cluster, observer: &str, name: &str) -> Option<RosterState> {
    cluster.core(observer).roster().entry(&id(name)).map(|entry| entry.state)
}

#[test]
fn three_to_eight_nodes_reach_the_same_view() {
    for count in 3..=8 {
        let mut cluster = Cluster::new(Config::lan(), count as u64);
        let names = &NAMES[..count];
        names.iter().for_each(|name| cluster.start(name, 1));
        names.iter().skip(1).for_each(|name| cluster.link("a", name));
        let took = cluster.run_until(seconds(5), Cluster::agrees).expect("they agree");
        assert!(took <= Duration::from_millis(500), "{count} nodes took {took:?}");
        assert!(cluster.views().iter().all(|view| view.roster.active().count() == count && view.majority));
        assert_eq!(cluster.renewals(), 0);
    }
}

#[test]
fn they_meet_on_a_network_that_loses_a_third() {
    let mut cluster = Cluster::new(Config::lan(), 1);
    cluster.faults = Faults { loss_percent: 33, repeat_percent: 10, latency_ms_max: 80 };
    NAMES.iter().for_each(|name| cluster.start(name, 1));
    NAMES.iter().skip(1).for_each(|name| cluster.link("a", name));
    let met = |cluster: &Cluster| {
        cluster.views().iter().all(|view| view.members.len() == 8 && view.roster.active().count() == 8)
    };
    cluster.run_until(seconds(10), met).expect("everybody hears of everybody");
}

#[test]
fn a_node_that_nobody_answers_goes_on_calling() {
    let mut cluster = Cluster::new(Config::lan(), 5);
    cluster.script = Some(Box::new(|at, _, _, _| at < Duration::from_secs(9)));
    cluster.start("a", 1);
    cluster.start("b", 1);
    cluster.link("a", "b");
    cluster.run_for(seconds(9));
    assert!(!cluster.agrees());
    // The longest pause between two calls is 4 s.
    cluster.run_until(Duration::from_millis(4_100), Cluster::agrees).expect("the next call is heard");
}

#[test]
fn a_node_that_everybody_took_for_dead_calls_again_when_it_is_alone() {
    // With the exchange far away, only calling helps.
    let mut cluster =
        formed_with(Config { exchange_period: seconds(86_400), ..Config::lan() }, &["a", "b"], 11);
    // Nothing passes for long, and no end is told that the link is lost.
    cluster.script = Some(Box::new(|at, _, _, _| at < Duration::from_secs(60)));
    cluster.run_for(seconds(60));
    assert!(cluster.when("a", is_down("b")).is_some());
    cluster.run_until(seconds(10), Cluster::agrees).expect("they find each other again");
}

#[test]
fn everybody_sees_a_death_and_gone_changes_the_roster_once() {
    let mut cluster = formed(&NAMES[..5], 2);
    cluster.run_for(seconds(5));
    let rosters_before = cluster.log.len();
    let killed = cluster.elapsed();
    cluster.kill("c");
    cluster.run_for(seconds(15));
    for observer in ["a", "b", "d", "e"] {
        let suspected = cluster.when(observer, |e| matches!(e, Event::Suspect(boot) if boot.node == id("c")));
        let down = cluster.when(observer, is_down("c")).expect("a death is seen") - killed;
        assert!(suspected.is_some_and(|at| at > killed), "{observer} was told before it was certain");
        assert!(down >= seconds(4) && down <= seconds(8), "{observer} saw it after {down:?}");
        assert_eq!(cluster.core(observer).liveness(&id("c")), Liveness::Down);
        assert_eq!(state(&cluster, observer, "c"), Some(RosterState::Active), "no ring changes yet");
    }
    let gone = cluster.run_until(seconds(25), |cluster| state(cluster, "a", "c") == Some(RosterState::Gone));
    assert!(gone.is_some());
    cluster.run_until(seconds(2), Cluster::agrees).expect("all write the same");
    cluster.run_for(seconds(30));
    for observer in ["a", "b", "d", "e"] {
        let updates = cluster.log[rosters_before..]
            .iter()
            .filter(|(_, node, event)| *node == id(observer) && matches!(event, Event::Updated(_)));
        let times: Vec<_> = updates.map(|(at, ..)| *at - killed).collect();
        assert_eq!(times.len(), 1, "{observer}: {times:?}");
        assert!(times[0] >= seconds(34) && times[0] <= seconds(39), "{observer}: {times:?}");
    }
    assert_eq!(cluster.renewals(), 0);
}

#[test]
fn a_node_that_leaves_is_seen_to_leave_and_never_down() {
    for loss_percent in [0, 30] {
        let mut cluster = formed(&NAMES[..5], 3);
        cluster.faults.loss_percent = loss_percent;
        cluster.with("d", |core, now| core.leave(now));
        assert!(cluster.core("d").poll_timeout().is_some());
        let took = cluster.run_until(seconds(3), |cluster| cluster.core("d").has_left());
        assert!(took.is_some_and(|took| took <= seconds(1)), "{took:?}");
        cluster.kill("d");
        cluster.faults.loss_percent = 0;
        cluster.run_for(seconds(40));
        for observer in ["a", "b", "c", "e"] {
            assert!(
                cluster.when(observer, |e| matches!(e, Event::Left(boot) if boot.node == id("d"))).is_some()
            );
            assert_eq!(cluster.when(observer, is_down("d")), None);
            assert_eq!(cluster.core(observer).liveness(&id("d")), Liveness::Left);
            assert_eq!(state(&cluster, observer, "d"), Some(RosterState::Gone));
        }
    }
}

#[test]
fn a_leave_arrives_at_once_even_where_every_datagram_is_lost() {
    let mut cluster = formed(&NAMES[..4], 18);
    cluster.script = Some(Box::new(|_, from, _, channel| *from == id("d") && channel == Channel::Datagram));
    cluster.with("d", |core, now| core.leave(now));
    cluster.run_for(Duration::from_millis(20));
    for observer in ["a", "b", "c"] {
        assert_eq!(cluster.core(observer).liveness(&id("d")), Liveness::Left);
    }
}

#[test]
fn a_larger_cluster_gives_a_suspect_more_time() {
    let names: Vec<String> = (0..16).map(|n| format!("n{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut cluster = formed(&names, 19);
    cluster.kill("n7");
    cluster.run_for(seconds(15));
    let told = |matches: fn(&Event) -> bool| {
        let times = cluster.log.iter().filter(|(.., event)| matches(event)).map(|(at, ..)| *at);
        times.min().expect("somebody tells")
    };
    let doubt = told(|event| matches!(event, Event::Suspect(_)));
    let verdict = told(|event| matches!(event, Event::Down(_)));
    assert_eq!((verdict - doubt).as_millis(), Config::lan().suspicion_at(16).as_millis());
    assert!(Config::lan().suspicion_at(16) > Config::lan().suspicion);
}

#[test]
fn a_node_that_left_hears_nothing_and_a_restart_of_it_is_welcome() {
    let mut cluster = formed(&NAMES[..3], 4);
    cluster.with("c", |core, now| core.leave(now));
    cluster.run_for(seconds(2));
    assert!(cluster.core("c").has_left());
    assert_eq!(cluster.core("c").poll_timeout(), None);
    assert_eq!(cluster.core("c").counters().renewals, 0, "it does not come back by itself");
    cluster.kill("c");
    cluster.start("c", 2);
    cluster.link("b", "c");
    cluster.run_until(seconds(3), Cluster::agrees).expect("it is taken back");
    assert_eq!(state(&cluster, "a", "c"), Some(RosterState::Active));
}

#[test]
fn a_quick_restart_replaces_the_boot_and_is_never_gone() {
    let mut cluster = formed(&NAMES[..4], 6);
    cluster.run_for(seconds(3));
    cluster.kill("b");
    cluster.run_for(seconds(2));
    cluster.start("b", 2);
    cluster.link("b", "c");
    cluster.run_until(seconds(3), Cluster::agrees).expect("the new boot is known");
    let second = Generation::from_u64(2);
    let joined = |event: &Event| matches!(event, Event::Joined(member) if member.boot.generation == second);
    for observer in ["a", "c", "d"] {
        assert!(cluster.when(observer, joined).is_some());
        let entry = cluster.core(observer).roster().entry(&id("b")).cloned().expect("it is in the roster");
        assert_eq!((entry.generation, entry.state), (second, RosterState::Active));
    }
    cluster.run_for(seconds(60));
    assert!(cluster.agrees());
    assert!(!NAMES[..4].iter().any(|observer| cluster.when(observer, is_down("b")).is_some()));
}

#[test]
fn a_node_that_was_given_up_returns() {
    let mut cluster = formed(&NAMES[..3], 8);
    cluster.kill("b");
    cluster.run_for(seconds(50));
    assert_eq!(state(&cluster, "a", "b"), Some(RosterState::Gone));
    cluster.start("b", 2);
    cluster.link("a", "b");
    cluster.run_until(seconds(3), Cluster::agrees).expect("it is taken back");
    assert_eq!(state(&cluster, "c", "b"), Some(RosterState::Active));
}

#[test]
fn only_the_larger_side_gives_up_the_other_and_the_halves_heal() {
    let mut cluster = formed(&NAMES[..5], 9);
    cluster.partition(&["a", "b", "c"], &["d", "e"]);
    cluster.run_for(seconds(60));
    assert_eq!(state(&cluster, "a", "d"), Some(RosterState::Gone));
    assert_eq!(state(&cluster, "d", "a"), Some(RosterState::Active));
    assert!(cluster.core("a").has_majority() && !cluster.core("e").has_majority());
    cluster.heal();
    let took = cluster.run_until(seconds(30), Cluster::agrees).expect("the halves heal");
    assert!(took <= seconds(5), "{took:?}");
    assert!(cluster.views().iter().all(|view| view.roster.active().count() == 5));
    cluster.run_for(seconds(120));
    assert!(cluster.agrees());
}

#[test]
fn of_two_either_gives_up_the_other() {
    let mut cluster = formed(&["a", "b"], 10);
    cluster.kill("a");
    cluster.run_for(seconds(45));
    assert_eq!(state(&cluster, "b", "a"), Some(RosterState::Gone));
}

#[test]
fn half_of_a_roster_gives_up_nobody() {
    let mut cluster = formed(&NAMES[..4], 12);
    cluster.kill("c");
    cluster.kill("d");
    cluster.run_for(seconds(90));
    assert_eq!(state(&cluster, "a", "c"), Some(RosterState::Active));
    assert!(!cluster.core("a").has_majority());
    // Gone by failure counts on: two of four are no majority for ever, a third one back is.
    cluster.start("c", 2);
    cluster.link("a", "c");
    cluster.run_for(seconds(40));
    assert_eq!(state(&cluster, "a", "c"), Some(RosterState::Active));
    assert_eq!(state(&cluster, "a", "d"), Some(RosterState::Gone));
}

#[test]
fn a_total_restart_knows_its_members() {
    let mut cluster = formed(&NAMES[..3], 13);
    let stored: Vec<_> = NAMES[..3].iter().map(|name| cluster.core(name).snapshot()).collect();
    NAMES[..3].iter().for_each(|name| cluster.kill(name));
    for (name, snapshot) in NAMES.iter().zip(stored) {
        cluster.start_stored(name, 2, snapshot);
    }
    assert_eq!(cluster.core("a").roster().entries().len(), 3);
    assert_eq!(cluster.core("a").liveness(&id("b")), Liveness::Down);
    let address = cluster.core("a").members()[1].address.clone();
    assert_eq!(address, Some("b:7000".parse().unwrap()), "it knows whom to call");
    cluster.link("a", "b");
    cluster.link("b", "c");
    cluster.run_until(seconds(3), Cluster::agrees).expect("they meet again");
    assert!(cluster.core("c").roster().active().all(|entry| entry.generation == Generation::from_u64(2)));
}

#[test]
fn a_node_goes_from_active_to_draining_to_gone_and_never_back() {
    let mut cluster = formed(&NAMES[..3], 14);
    cluster.with("b", |core, now| core.drain(now));
    cluster.run_until(seconds(2), Cluster::agrees).expect("the change is told");
    assert_eq!(state(&cluster, "a", "b"), Some(RosterState::Draining));
    cluster.with("b", |core, now| core.activate(now));
    assert_eq!(state(&cluster, "b", "b"), Some(RosterState::Draining));
    cluster.with("b", |core, now| core.leave(now));
    cluster.with("b", |core, now| core.drain(now));
    assert_eq!(state(&cluster, "b", "b"), Some(RosterState::Gone));
}

#[test]
fn a_record_too_large_for_gossip_is_told_at_once() {
    let mut cluster = formed(&NAMES[..3], 15);
    let long = |n: usize| format!("{}-{n}.{}.example:7000", "h".repeat(50), "h".repeat(40)).parse().unwrap();
    let addresses = AddressList::new((0..12).map(long)).unwrap();
    let boot = Boot { node: id("d"), generation: Generation::from_u64(1) };
    cluster.start_local(LocalMember::new(boot, addresses.clone()));
    for name in ["a", "b", "c"] {
        cluster.link(name, "d");
    }
    cluster.run_until(seconds(2), Cluster::agrees).expect("it is known");
    cluster.with("d", |core, now| core.drain(now));
    cluster.run_for(Duration::from_millis(50));
    for observer in ["a", "b", "c"] {
        assert_eq!(state(&cluster, observer, "d"), Some(RosterState::Draining));
        let entry = cluster.core(observer).roster().entry(&id("d")).cloned().expect("it is in the roster");
        assert_eq!(entry.addresses, addresses);
    }
}

#[test]
fn the_exchange_mends_what_gossip_lost() {
    let mut cluster = formed(&NAMES[..5], 16);
    cluster.run_for(seconds(5));
    // The change is gossiped into the void, for less time than it takes to declare anybody down.
    let until = cluster.elapsed() + Duration::from_millis(3_500);
    cluster.script = Some(Box::new(move |at, _, _, _| at < until));
    cluster.with("c", |core, now| core.drain(now));
    cluster.run_for(Duration::from_millis(3_500));
    assert_eq!(state(&cluster, "a", "c"), Some(RosterState::Active));
    cluster.run_until(seconds(25), Cluster::agrees).expect("the exchange tells it");
    assert_eq!(state(&cluster, "a", "c"), Some(RosterState::Draining));
}

#[test]
fn nobody_speaks_for_another() {
    let mut cluster = formed(&NAMES[..3], 17);
    let datagram = cluster.with("a", |core, now| {
        core.handle_peer_reachable(now, Boot { node: id("z"), generation: Generation::from_u64(1) }, None);
        core.handle_timeout(now);
        std::iter::from_fn(|| core.poll_transmit()).collect::<Vec<_>>()
    });
    let (mut datagrams, mut syncs) = (0, 0);
    for transmit in datagram {
        cluster.with("b", |core, now| match transmit.channel {
            Channel::Datagram => {
                datagrams += 1;
                let error = core.handle_datagram(now, &id("c"), &transmit.payload).unwrap_err();
                assert_eq!(error, DatagramError::Spoofed { from: id("c"), claimed: id("a") });
            }
            Channel::Sync => {
                syncs += 1;
                let error = core.handle_sync(now, &id("c"), &transmit.payload).unwrap_err();
                assert_eq!(error, SyncError::Spoofed { from: id("c"), claimed: id("a") });
            }
        });
    }
    assert!(datagrams > 0 && syncs > 0);
}

#[test]
fn one_seed_gives_one_history() {
    let history = |seed| {
        let mut cluster = Cluster::new(Config::lan(), seed);
        cluster.faults = Faults { loss_percent: 15, repeat_percent: 5, latency_ms_max: 40 };
        NAMES[..5].iter().for_each(|name| cluster.start(name, 1));
        NAMES[1..5].iter().for_each(|name| cluster.link("a", name));
        cluster.run_for(seconds(20));
        cluster.kill("e");
        cluster.run_for(seconds(50));
        (cluster.log, cluster.bytes_sent)
    };
    assert_eq!(history(3), history(3));
    assert_ne!(history(3).1, history(4).1);
}
