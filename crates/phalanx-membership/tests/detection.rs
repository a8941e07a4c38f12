//! How soon a death is noticed and known everywhere, whatever chance says, and who may take itself for cut off.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Cluster, Faults, NO_FAULTS, id};
use phalanx_base::RosterState;
use phalanx_membership::{Config, Event, Liveness};

fn name(at: usize) -> String {
    format!("n{at:02}")
}

fn formed(count: usize, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(Config::lan(), seed);
    (0..count).for_each(|at| cluster.start(&name(at), 1));
    (1..count).for_each(|at| cluster.link(&name(0), &name(at)));
    cluster.run_until(Duration::from_secs(5), Cluster::agrees).expect("they meet");
    cluster.run_for(Duration::from_secs(5));
    cluster
}

#[test]
fn somebody_looks_at_each_member_in_every_second_period() {
    for seed in 0..4 {
        let mut cluster = formed(12, seed);
        for victim in [5, 6, 11, 0] {
            cluster.run_for(Duration::from_millis(170 * victim as u64));
            cluster.kill(&name(victim));
            let doubted = |cluster: &Cluster| {
                cluster.cores().any(|core| core.liveness(&id(&name(victim))) == Liveness::Suspect)
            };
            let took = cluster.run_until(Duration::from_secs(20), doubted).expect("a death is noticed");
            let bound = Config::lan().probe_period * 3 + Duration::from_millis(10);
            assert!(took <= bound, "seed {seed}: nobody looked at {victim} for {took:?}");
        }
    }
}

#[test]
fn all_survivors_hear_a_verdict_at_once() {
    let mut cluster = formed(16, 1);
    cluster.kill("n03");
    let down = |core: &phalanx_membership::Membership| core.liveness(&id("n03")) == Liveness::Down;
    cluster.run_until(Duration::from_secs(20), |cluster| cluster.cores().any(down)).expect("it is noticed");
    cluster.run_for(Duration::from_millis(10));
    assert!(cluster.cores().all(down), "{}", cluster.describe());
}

#[test]
fn all_peers_hear_of_a_new_own_record_at_once() {
    let mut cluster = formed(16, 2);
    cluster.with("n03", |core, now| core.drain(now));
    cluster.run_for(Duration::from_millis(10));
    let state =
        |core: &phalanx_membership::Membership| core.roster().entry(&id("n03")).map(|entry| entry.state);
    assert!(cluster.cores().all(|core| state(core) == Some(RosterState::Draining)));
}

#[test]
fn who_sees_half_of_the_cluster_is_not_isolated() {
    for seed in 0..6 {
        let mut cluster = formed(16, seed);
        let sides: [Vec<String>; 2] =
            [0, 1].map(|odd| (0..16).filter(|at| at % 2 == odd).map(name).collect());
        let [left, right] = [0, 1].map(|side| sides[side].iter().map(String::as_str).collect::<Vec<_>>());
        cluster.partition(&left, &right);
        cluster.run_for(Duration::from_secs(30));
        cluster.heal();
        cluster.run_until(Duration::from_secs(20), Cluster::agrees).expect("the halves heal");
        let resets: u64 = left.iter().map(|name| cluster.core(name).counters().resets).sum();
        assert_eq!(resets, 0, "seed {seed}: the side with the lowest id has nothing to forget");
    }
}

#[test]
fn who_is_answered_by_anybody_is_not_isolated() {
    let mut cluster = formed(3, 7);
    cluster.faults = Faults { loss_percent: 30, ..NO_FAULTS };
    cluster.run_for(Duration::from_secs(3_600));
    let doubts = cluster.log.iter().filter(|(.., event)| matches!(event, Event::Suspect(_))).count();
    let resets: u64 = cluster.cores().map(|core| core.counters().resets).sum();
    assert!(doubts > 100, "a network as bad as this shows");
    assert_eq!((resets, cluster.renewals()), (0, 0));
}
