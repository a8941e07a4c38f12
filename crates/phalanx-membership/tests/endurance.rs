//! Membership under fire, in virtual time: what a cluster of 64 control nodes must stand, as bars that a run either
//! clears or fails. A short share runs with all other tests; the whole of it takes minutes and prints its figures:
//! `cargo test --release -p phalanx-membership --test endurance -- --include-ignored --nocapture --test-threads 1`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Cluster, Faults, NO_FAULTS, id};
use phalanx_base::NodeId;
use phalanx_membership::{Config, Event, LinkLoss};

/// The size for which the bars are set.
const NODES: usize = 64;
/// The size of the share that runs unoptimised.
const NODES_OF_A_SHARE: usize = 12;
/// The loss under which nobody who runs may be taken for dead.
const LOSS_PERCENT: u64 = 5;

/// How many running nodes may be declared down in a day, each counted once, however many say so.
const FALSE_DOWNS_MAX: usize = 1;
/// Within which time all survivors see a crash of which no link tells anything.
const SILENT_CRASH_MAX: Duration = Duration::from_secs(11);
/// The same where the links say that the process is gone.
const EVIDENT_CRASH_MAX: Duration = Duration::from_secs(3);
/// Within which time all views agree again once two halves meet.
const HALVES_HEALED_MAX: Duration = Duration::from_secs(20);
/// The same where one node was cut off from all others.
const SINGLE_HEALED_MAX: Duration = Duration::from_secs(15);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn name(at: usize) -> String {
    format!("node-{at:03}")
}

/// A cluster in which everybody knows everybody, and the news of that are told.
fn formed(nodes: usize, loss_percent: u64, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(Config::lan(), seed);
    (0..nodes).for_each(|at| cluster.start(&name(at), 1));
    (1..nodes).for_each(|at| cluster.link(&name(0), &name(at)));
    cluster.run_until(seconds(20), Cluster::agrees).expect("they meet");
    cluster.faults = Faults { loss_percent, repeat_percent: 0, latency_ms_max: 20 };
    cluster.run_for(seconds(10));
    cluster
}

/// The boots that were declared down since this place in the log. One that comes back and is wronged again in another
/// minute counts again.
fn declared_down(cluster: &Cluster, since: usize) -> BTreeSet<(NodeId, u64)> {
    let downs = cluster.log[since..].iter().filter_map(|(at, _, event)| match event {
        Event::Down(boot) => Some((boot.node.clone(), at.as_secs() / 60)),
        _ => None,
    });
    downs.collect()
}

/// Nobody dies, and the network loses datagrams: hardly anybody may be taken for dead.
fn check_false_downs(nodes: usize, span: Duration, seed: u64) {
    let mut cluster = formed(nodes, LOSS_PERCENT, seed);
    let (begin, sent) = (cluster.log.len(), cluster.bytes_sent);
    cluster.run_for(span);
    let wronged = declared_down(&cluster, begin);
    let doubts = cluster.log[begin..].iter().filter_map(|(at, _, event)| match event {
        Event::Suspect(boot) => Some((boot.node.clone(), at.as_secs() / 10)),
        _ => None,
    });
    let doubts = doubts.collect::<BTreeSet<_>>().len();
    let rate = (cluster.bytes_sent - sent) / span.as_secs() / nodes as u64;
    println!(
        "{nodes} nodes, {LOSS_PERCENT} % loss, {span:?}, seed {seed}: {} false downs, {doubts} false suspicions, \
         {} renewals, {rate} B/s a node",
        wronged.len(),
        cluster.renewals()
    );
    assert!(wronged.len() <= FALSE_DOWNS_MAX, "seed {seed}: {wronged:?} ran and were declared down");
}

/// One node after another crashes; all that are left must see it in time, and nobody else may be declared down.
fn check_kills(nodes: usize, kills: usize, loss_percent: u64, loss: LinkLoss, seed: u64) {
    let limit = if loss == LinkLoss::ProcessGone { EVIDENT_CRASH_MAX } else { SILENT_CRASH_MAX };
    let mut cluster = formed(nodes, loss_percent, seed);
    let begin = cluster.log.len();
    let mut times: Vec<Duration> = Vec::new();
    for kill in 0..kills {
        let victim = name((kill * 7 + seed as usize) % nodes);
        cluster.kill(&victim);
        let killed = cluster.elapsed();
        if loss == LinkLoss::ProcessGone {
            let survivors: Vec<String> =
                (0..nodes).map(name).filter(|name| cluster.is_running(name)).collect();
            survivors.iter().for_each(|survivor| cluster.lose_link(survivor, &victim, loss));
        }
        let seen = |cluster: &Cluster| cluster.cores().all(|core| !core.liveness(&id(&victim)).is_alive());
        let took = cluster.run_until(seconds(60), seen).unwrap_or(Duration::MAX);
        assert!(
            took <= limit,
            "seed {seed}, {loss_percent} % loss, {loss:?}: the last survivor saw {victim}, killed at {killed:?}, \
             after {took:?}"
        );
        times.push(took);
        // The next one dies at any point of the period in which the survivors probe.
        cluster.run_for(Duration::from_millis(2_000 + 170 * kill as u64));
    }
    times.sort_unstable();
    println!(
        "{nodes} nodes, {loss_percent} % loss, {loss:?}, seed {seed}: {kills} kills, seen by all after {:?} to {:?}",
        times.first().unwrap(),
        times.last().unwrap()
    );
    assert_eq!(
        declared_down(&cluster, begin).into_iter().map(|(node, _)| node).collect::<BTreeSet<_>>().len(),
        kills
    );
}

/// Two sides part, and meet again: all views must agree in time, and stay so. Returns the renewals of either side.
fn check_healing(
    sides: [&[String]; 2],
    apart: Duration,
    limit: Duration,
    loss_percent: u64,
    seed: u64,
) -> [u64; 2] {
    let [left, right] = sides.map(|side| side.iter().map(String::as_str).collect::<Vec<_>>());
    let nodes = left.len() + right.len();
    let mut cluster = formed(nodes, loss_percent, seed);
    cluster.partition(&left, &right);
    cluster.run_for(apart);
    cluster.heal();
    let healed = |cluster: &Cluster| {
        cluster.agrees() && cluster.cores().all(|core| core.roster().active().count() == nodes)
    };
    let what =
        format!("{}/{} apart for {apart:?}, {loss_percent} % loss, seed {seed}", left.len(), right.len());
    let took = cluster.run_until(seconds(60), healed);
    let took = took.unwrap_or_else(|| panic!("{what}: never healed: {}", cluster.describe()));
    let begin = cluster.log.len();
    cluster.faults = NO_FAULTS;
    cluster.run_for(seconds(60));
    let renewals = |side: &[&str]| side.iter().map(|node| cluster.core(node).counters().renewals).sum();
    let renewals = [renewals(&left), renewals(&right)];
    println!("{what}: healed after {took:?}, renewals {renewals:?}");
    assert!(took <= limit, "{what}: healed after {took:?}");
    assert!(healed(&cluster), "{what}: it did not last: {}", cluster.describe());
    assert_eq!(
        declared_down(&cluster, begin),
        BTreeSet::new(),
        "{what}: somebody was declared down afterwards"
    );
    renewals
}

/// Half of the cluster is cut off from the other half: blocks of ids, or every second one.
fn check_halves(nodes: usize, apart: Duration, loss_percent: u64, seed: u64) {
    let in_left = |at: &usize| if seed.is_multiple_of(2) { *at < nodes / 2 } else { at.is_multiple_of(2) };
    let (left, right): (Vec<usize>, Vec<usize>) = (0..nodes).partition(in_left);
    let [left, right] = [left, right].map(|side| side.into_iter().map(name).collect::<Vec<_>>());
    let [kept, renewed] = check_healing([&left, &right], apart, HALVES_HEALED_MAX, loss_percent, seed);
    assert_eq!(
        (kept, renewed),
        (0, right.len() as u64),
        "{apart:?}, seed {seed}: only one side gives way, and once"
    );
}

/// One node, the first, the last or any, is cut off from all others.
fn check_single(nodes: usize, apart: Duration, loss_percent: u64, seed: u64) {
    let alone = [0, nodes - 1, nodes / 2, 5][seed as usize % 4];
    let (left, right): (Vec<usize>, Vec<usize>) = (0..nodes).partition(|at| *at == alone);
    let [left, right] = [left, right].map(|side| side.into_iter().map(name).collect::<Vec<_>>());
    let renewals = check_healing([&left, &right], apart, SINGLE_HEALED_MAX, loss_percent, seed);
    assert_eq!(
        renewals,
        [1, 0],
        "{apart:?}, seed {seed}: only the one that was away comes back under a new epoch"
    );
}

#[test]
fn a_short_share_of_it_all() {
    check_false_downs(NODES_OF_A_SHARE, seconds(600), 1);
    for loss_percent in [0, LOSS_PERCENT] {
        check_kills(NODES_OF_A_SHARE, 3, loss_percent, LinkLoss::Unknown, 2);
        check_kills(NODES_OF_A_SHARE, 3, loss_percent, LinkLoss::ProcessGone, 3);
    }
    for (apart_s, seed) in [(20, 0), (60, 1)] {
        check_halves(NODES_OF_A_SHARE, seconds(apart_s), 0, seed);
        check_single(NODES_OF_A_SHARE, seconds(apart_s), 0, seed);
    }
}

#[test]
#[ignore = "it simulates a day, for minutes"]
fn in_a_day_at_five_percent_loss_hardly_anybody_is_taken_for_dead() {
    check_false_downs(NODES, seconds(24 * 3_600), 1);
}

#[test]
#[ignore = "it simulates hours, for minutes"]
fn nor_in_the_hours_of_other_clusters() {
    (2..5).for_each(|seed| check_false_downs(NODES, seconds(3_600), seed));
}

#[test]
#[ignore = "it kills hundreds, for minutes"]
fn every_survivor_sees_a_crash_in_time() {
    for seed in 0..10 {
        for loss_percent in [0, LOSS_PERCENT] {
            check_kills(NODES, 20, loss_percent, LinkLoss::Unknown, seed);
            check_kills(NODES, 5, loss_percent, LinkLoss::ProcessGone, seed);
        }
    }
}

#[test]
#[ignore = "it splits clusters of 64, for minutes"]
fn two_halves_heal() {
    for (apart_s, seeds) in [(20, 4), (60, 4), (600, 2)] {
        for seed in 0..seeds {
            check_halves(NODES, seconds(apart_s), if seed < 2 { 0 } else { LOSS_PERCENT }, seed);
        }
    }
}

#[test]
#[ignore = "it splits clusters of 64, for minutes"]
fn a_node_that_was_cut_off_comes_back_alone() {
    for (apart_s, seeds) in [(20, 8), (60, 8), (600, 4)] {
        for seed in 0..seeds {
            check_single(NODES, seconds(apart_s), if seed < 4 { 0 } else { LOSS_PERCENT }, seed);
        }
    }
}
