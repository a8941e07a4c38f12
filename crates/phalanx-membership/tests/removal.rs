//! Who is removed, by an operator or by time, and how it comes back.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Cluster, id};
use phalanx_base::{Generation, RosterState};
use phalanx_membership::{Config, Event, Liveness, RemoveError};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn formed(config: Config, count: usize, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(config, seed);
    NAMES[..count].iter().for_each(|name| cluster.start(name, 1));
    NAMES[1..count].iter().for_each(|name| cluster.link("a", name));
    cluster.run_until(seconds(5), Cluster::agrees).expect("they meet");
    cluster.run_for(seconds(2));
    cluster
}

fn is_known(cluster: &Cluster, observer: &str, name: &str) -> bool {
    cluster.core(observer).members().iter().any(|member| member.boot.node == id(name))
}

fn state(cluster: &Cluster, observer: &str, name: &str) -> Option<RosterState> {
    cluster.core(observer).roster().entry(&id(name)).map(|entry| entry.state)
}

#[test]
fn a_node_that_runs_is_removed_leaves_and_comes_back_as_a_new_boot_only() {
    let mut cluster = formed(Config::lan(), 4, 1);
    let snapshot = cluster.core("d").snapshot();
    assert_eq!(cluster.with("a", |core, now| core.remove(now, &id("d"))), Ok(()));
    cluster.run_for(seconds(2));
    assert!(cluster.core("d").has_left());
    assert!(cluster.when("d", |event| *event == Event::Expelled).is_some());
    cluster.kill("d");
    for observer in ["a", "b", "c"] {
        assert!(!is_known(&cluster, observer, "d"), "{observer}");
        assert_eq!(state(&cluster, observer, "d"), Some(RosterState::Gone));
        assert_eq!(cluster.core(observer).liveness(&id("d")), Liveness::Down);
        let removed = |event: &Event| matches!(event, Event::Removed(boot) if boot.node == id("d"));
        assert!(cluster.when(observer, removed).is_some());
    }
    assert_eq!(
        cluster.with("a", |core, now| core.remove(now, &id("d"))),
        Ok(()),
        "once more changes nothing"
    );

    // The same boot again, which has heard nothing.
    cluster.start_stored("d", 1, snapshot);
    cluster.link("b", "d");
    cluster.run_until(seconds(3), |cluster| cluster.core("d").has_left()).expect("it is told");
    cluster.kill("d");
    cluster.run_for(seconds(30));
    assert!(!is_known(&cluster, "c", "d"));
    cluster.start("d", 2);
    cluster.link("b", "d");
    cluster.run_until(seconds(3), Cluster::agrees).expect("the new boot is welcome");
    assert_eq!(state(&cluster, "a", "d"), Some(RosterState::Active));
    assert_eq!(cluster.core("a").roster().entry(&id("d")).unwrap().generation, Generation::from_u64(2));
}

#[test]
fn who_is_removed_while_it_is_away_hears_it_when_it_comes_back() {
    let mut cluster = formed(Config::lan(), 5, 2);
    cluster.partition(&["a", "b", "c"], &["d", "e"]);
    cluster.run_for(seconds(20));
    assert_eq!(cluster.with("d", |core, now| core.remove(now, &id("a"))), Err(RemoveError::Minority));
    assert_eq!(cluster.with("a", |core, now| core.remove(now, &id("e"))), Ok(()));
    // The removed node writes its own record meanwhile: the wish holds all the same.
    cluster.with("e", |core, now| core.drain(now));
    cluster.run_for(seconds(20));
    cluster.heal();
    cluster.run_until(seconds(5), |cluster| cluster.core("e").has_left()).expect("it is told");
    cluster.kill("e");
    cluster.run_until(seconds(5), Cluster::agrees).expect("the others agree");
}

#[test]
fn refusals_change_nothing() {
    let mut cluster = formed(Config::lan(), 3, 3);
    let before = cluster.core("a").snapshot();
    assert_eq!(cluster.with("a", |core, now| core.remove(now, &id("a"))), Err(RemoveError::Own));
    let unknown = RemoveError::Unknown { node: id("z") };
    assert_eq!(cluster.with("a", |core, now| core.remove(now, &id("z"))), Err(unknown));
    assert_eq!(cluster.core("a").snapshot(), before);
    cluster.with("a", |core, now| core.leave(now));
    assert_eq!(cluster.with("a", |core, now| core.remove(now, &id("b"))), Err(RemoveError::Leaving));
}

#[test]
fn whoever_is_down_for_a_day_is_cleaned_and_counts_no_more() {
    let config = Config { autoclean_after: seconds(300), ..Config::lan() };
    let mut cluster = formed(config, 5, 4);
    ["d", "e"].iter().for_each(|name| cluster.kill(name));
    cluster.run_for(seconds(200));
    assert_eq!(state(&cluster, "a", "d"), Some(RosterState::Gone));
    assert!(is_known(&cluster, "a", "d"), "given up, and still counted");
    cluster.kill("c");
    cluster.run_for(seconds(20));
    assert!(!cluster.core("a").has_majority());
    cluster.start("c", 2);
    cluster.link("a", "c");
    cluster.run_for(seconds(200));
    assert!(!is_known(&cluster, "a", "d") && !is_known(&cluster, "c", "e"));
    cluster.kill("c");
    cluster.run_for(seconds(20));
    assert!(cluster.core("a").has_majority(), "two of three: the cleaned count no more");
    assert_eq!(cluster.cores().map(|core| core.counters().complaints).sum::<u64>(), 0);
}

#[test]
fn who_was_cleaned_and_lives_comes_back_without_a_restart() {
    let config = Config { autoclean_after: seconds(120), ..Config::lan() };
    let mut cluster = formed(config, 5, 5);
    cluster.partition(&["a", "b", "c"], &["d", "e"]);
    cluster.run_for(seconds(200));
    assert!(!is_known(&cluster, "a", "d"));
    assert!(is_known(&cluster, "d", "a"), "the smaller side cleans nobody");
    cluster.heal();
    let took = cluster.run_until(seconds(30), Cluster::agrees);
    assert!(took.is_some_and(|took| took <= seconds(5)), "{took:?} {}", cluster.describe());
    assert!(cluster.views().iter().all(|view| view.roster.active().count() == 5));
}
