//! Partitions, sleep and isolation: whoever comes back finds in, and nobody who was not away is harmed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Cluster, Faults, NO_FAULTS, id};
use phalanx_base::RosterState;
use phalanx_membership::{Config, Event, LinkLoss, Liveness};
use proptest::prelude::*;

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn formed(count: usize, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(Config::lan(), seed);
    NAMES[..count].iter().for_each(|name| cluster.start(name, 1));
    NAMES[1..count].iter().for_each(|name| cluster.link("a", name));
    cluster.run_until(seconds(5), Cluster::agrees).expect("they meet");
    cluster.run_for(seconds(5));
    cluster
}

/// How often these nodes came back under a new gossip epoch.
fn renewals(cluster: &Cluster, names: &[&str]) -> u64 {
    names.iter().map(|name| cluster.core(name).counters().renewals).sum()
}

/// The downs that `observer` told of since a moment.
fn downs(cluster: &Cluster, observer: &str, since: Duration) -> usize {
    let told = cluster.log.iter().filter(|(at, node, _)| *at >= since && *node == id(observer));
    told.filter(|(.., event)| matches!(event, Event::Down(_))).count()
}

fn split_and_heal(cluster: &mut Cluster, left: &[&str], right: &[&str], apart: Duration) -> Duration {
    cluster.partition(left, right);
    cluster.run_for(apart);
    cluster.heal();
    let took = cluster.run_until(seconds(30), Cluster::agrees);
    took.unwrap_or_else(|| panic!("{}", cluster.describe()))
}

#[test]
fn the_smaller_side_comes_back_and_the_larger_one_does_not_notice() {
    for apart in [20, 60, 300] {
        let mut cluster = formed(8, apart);
        let (left, right) = NAMES.split_at(5);
        let took = split_and_heal(&mut cluster, left, right, seconds(apart));
        // Mostly a second; at worst one record waits for the exchange.
        assert!(took <= seconds(12), "after {apart} s: {took:?}");
        assert_eq!(renewals(&cluster, left), 0, "after {apart} s");
        let resets: u64 = right.iter().map(|name| cluster.core(name).counters().resets).sum();
        assert!(resets > 0 && renewals(&cluster, right) <= 2 * right.len() as u64, "after {apart} s");
        let healed = cluster.elapsed();
        cluster.run_for(seconds(120));
        assert!(cluster.agrees());
        assert!(NAMES.iter().all(|name| downs(&cluster, name, healed) == 0));
    }
}

#[test]
fn of_equal_sides_the_one_without_the_lowest_id_gives_way() {
    let mut cluster = formed(6, 2);
    let took = split_and_heal(&mut cluster, &["a", "c", "e"], &["b", "d", "f"], seconds(60));
    assert!(took <= seconds(3), "{took:?}");
    assert_eq!(renewals(&cluster, &["a", "c", "e"]), 0);
    assert_eq!(renewals(&cluster, &["b", "d", "f"]), 3);
    assert!(cluster.views().iter().all(|view| view.roster.active().count() == 6), "nobody was given up");
}

#[test]
fn three_sides_without_a_majority_heal_too() {
    let mut cluster = formed(6, 3);
    cluster.partition(&["a", "b"], &["c", "d", "e", "f"]);
    cluster.partition(&["c", "d"], &["e", "f"]);
    cluster.run_for(seconds(90));
    assert!(cluster.views().iter().all(|view| !view.majority));
    cluster.heal();
    let took = cluster.run_until(seconds(30), Cluster::agrees);
    assert!(took.is_some_and(|took| took <= seconds(5)), "{took:?} {}", cluster.describe());
}

#[test]
fn the_loss_and_the_return_of_the_majority_are_told_once() {
    let mut cluster = formed(5, 4);
    let begun = cluster.elapsed();
    split_and_heal(&mut cluster, &["a", "b", "c"], &["d", "e"], seconds(60));
    cluster.run_for(seconds(10));
    for (name, expected) in [("a", 0), ("b", 0), ("d", 1), ("e", 1)] {
        let told = |event: &Event| {
            cluster.log.iter().filter(|(_, node, told)| *node == id(name) && told == event).count()
        };
        assert_eq!(told(&Event::PartitionOccurred), expected, "{name}");
        assert_eq!(told(&Event::PartitionHealed), expected, "{name}");
    }
    let lost = cluster.when("d", |event| *event == Event::PartitionOccurred).unwrap() - begun;
    assert!(lost <= seconds(10), "{lost:?}");
}

#[test]
fn an_isolated_node_knows_before_it_has_declared_everybody_down() {
    let mut cluster = Cluster::new(Config::lan(), 5);
    let names: Vec<String> = (0..32).map(|n| format!("n{n:02}")).collect();
    names.iter().for_each(|name| cluster.start(name, 1));
    names[1..].iter().for_each(|name| cluster.link("n00", name));
    cluster.run_until(seconds(5), Cluster::agrees).expect("they meet");
    cluster.run_for(seconds(5));
    let others: Vec<&str> = names[1..].iter().map(String::as_str).collect();
    cluster.partition(&["n00"], &others);
    let noticed = cluster.run_until(seconds(60), |cluster| !cluster.core("n00").has_majority());
    assert!(noticed.is_some_and(|noticed| noticed <= seconds(8)), "{noticed:?}");
    cluster.run_for(seconds(5));
    let held_down = cluster.core("n00").members().iter().filter(|m| m.liveness == Liveness::Down).count();
    assert!(held_down < 16, "it knows it from its own probes: {held_down}");
    cluster.heal();
    let took = cluster.run_until(seconds(30), Cluster::agrees);
    assert!(took.is_some_and(|took| took <= seconds(3)), "{took:?}");
    assert_eq!(renewals(&cluster, &others), 0);
}

/// A node sleeps; the others hold it for down meanwhile. `linked` where its links survive, and `kept` of the messages
/// that have come.
fn sleeper(count: usize, asleep: Duration, linked: bool, kept: usize, seed: u64) {
    let mut cluster = formed(count, seed);
    let others = NAMES[..count].iter().copied().filter(|name| *name != "b").collect::<Vec<_>>();
    cluster.put_to_sleep("b");
    cluster.run_for(asleep);
    if asleep >= seconds(10) {
        assert_eq!(cluster.core("a").liveness(&id("b")), Liveness::Down);
    }
    if !linked {
        others.iter().for_each(|name| cluster.lose_link(name, "b", LinkLoss::Unknown));
    }
    let woken = cluster.elapsed();
    cluster.wake("b", kept);
    if !linked {
        others.iter().for_each(|name| cluster.lose_link("b", name, LinkLoss::Unknown));
        cluster.run_for(Duration::from_millis(500));
        others.iter().for_each(|name| cluster.link("b", name));
    }
    let took = cluster.run_until(seconds(30), Cluster::agrees);
    assert!(took.is_some_and(|took| took <= seconds(5)), "{took:?} {}", cluster.describe());
    cluster.run_for(seconds(60));
    assert!(cluster.agrees(), "{}", cluster.describe());
    let told = NAMES[..count].iter().map(|name| downs(&cluster, name, woken));
    assert_eq!(told.sum::<usize>(), 0, "who wakes up judges nobody by what it missed");
    assert!(cluster.core("b").counters().pauses > 0);
    assert!(others.iter().all(|name| cluster.core(name).counters().renewals == 0));
    assert_eq!(cluster.core("a").local().generation, phalanx_base::Generation::from_u64(1), "no restart");
}

#[test]
fn a_node_that_slept_for_twenty_seconds_holds_nobody_for_down() {
    for (seed, count) in [(6, 3), (7, 5), (8, 8)] {
        for kept in [0, 40, usize::MAX] {
            sleeper(count, seconds(20), true, kept, seed);
            sleeper(count, seconds(20), false, kept, seed);
        }
    }
}

#[test]
fn a_nap_harms_nobody_either() {
    (2..10).for_each(|nap| sleeper(5, seconds(nap), true, usize::MAX, nap));
}

#[test]
fn who_slept_while_it_doubted_others_gives_them_their_time() {
    let mut cluster = formed(5, 9);
    // For a while `b` hears nobody, so that it doubts some, and then it sleeps over the end of their time.
    let deaf_until = cluster.elapsed() + Duration::from_millis(4_500);
    cluster.script = Some(Box::new(move |at, _, to, _| at < deaf_until && *to == id("b")));
    cluster.run_for(Duration::from_millis(4_500));
    assert!(cluster.core("b").members().iter().any(|member| member.liveness == Liveness::Suspect));
    cluster.put_to_sleep("b");
    cluster.run_for(seconds(20));
    cluster.wake("b", 0);
    cluster.run_until(seconds(10), Cluster::agrees).expect("it asks before it judges");
    assert_eq!(downs(&cluster, "b", Duration::ZERO), 0);
}

#[test]
fn bad_health_gives_others_more_time() {
    // `b` loses most of what is sent to it: it misses probes of healthy members, over and over.
    let mut cluster = formed(8, 10);
    let mut dropped = 0_u64;
    cluster.script = Some(Box::new(move |_, from, to, channel| {
        dropped += 1;
        let concerned = *to == id("b") || *from == id("b");
        concerned && channel == phalanx_membership::Channel::Datagram && !dropped.is_multiple_of(3)
    }));
    let begun = cluster.elapsed();
    cluster.run_for(seconds(300));
    assert_eq!(downs(&cluster, "b", begun), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_two_sides_heal_and_nobody_is_lost(
        seed: u64,
        count in 2..8_usize,
        mask: u8,
        apart_s in 1..90_u64,
        loss_percent in 0..10_u64,
    ) {
        let mut cluster = formed(count, seed);
        cluster.faults = Faults { loss_percent, ..NO_FAULTS };
        let side = |bit| NAMES[..count].iter().enumerate().filter(move |(at, _)| mask >> at & 1 == bit);
        let names = |bit| side(bit).map(|(_, name)| *name).collect::<Vec<_>>();
        let (left, right) = (names(0), names(1));
        cluster.partition(&left, &right);
        cluster.run_for(seconds(apart_s));
        for (side, other) in [(&left, &right), (&right, &left)] {
            for name in side {
                let roster = cluster.core(name).roster();
                let gone = other.iter().filter(|other| {
                    roster.entry(&id(other)).is_some_and(|entry| entry.state == RosterState::Gone)
                });
                prop_assert!(gone.count() == 0 || 2 * side.len() > count || count == 2, "only a majority gives up");
            }
        }
        cluster.heal();
        cluster.faults = NO_FAULTS;
        let took = cluster.run_until(seconds(30), Cluster::agrees);
        prop_assert!(took.is_some(), "{}", cluster.describe());
        prop_assert!(cluster.views().iter().all(|view| view.roster.active().count() == count && view.majority));
    }
}
