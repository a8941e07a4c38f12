//! What the loss of a link says about a member: nothing by itself, and with evidence a doubt that it can refute.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Cluster, id};
use phalanx_membership::{Config, Event, LinkLoss, Liveness};
use proptest::prelude::*;

fn formed(count: usize, seed: u64) -> (Cluster, Vec<String>) {
    let mut cluster = Cluster::new(Config::lan(), seed);
    let names: Vec<String> = (0..count).map(|n| format!("n{n:02}")).collect();
    names.iter().for_each(|name| cluster.start(name, 1));
    names[1..].iter().for_each(|name| cluster.link("n00", name));
    cluster.run_until(Duration::from_secs(5), Cluster::agrees).expect("they meet");
    cluster.run_for(Duration::from_secs(5));
    (cluster, names)
}

fn concerns(event: &Event, name: &str) -> bool {
    matches!(event, Event::Suspect(boot) | Event::Down(boot) if boot.node == id(name))
}

fn is_down_everywhere(cluster: &Cluster, name: &str) -> bool {
    cluster.cores().all(|core| core.liveness(&id(name)) == Liveness::Down)
}

#[test]
fn a_process_that_is_gone_is_down_for_all_within_three_seconds() {
    for (count, observers) in [(5, 4), (16, 15), (16, 1), (32, 31)] {
        let (mut cluster, names) = formed(count, count as u64);
        cluster.kill("n03");
        cluster.run_for(Duration::from_millis(200));
        let linked = names.iter().filter(|name| *name != "n03").take(observers);
        linked.for_each(|name| cluster.lose_link(name, "n03", LinkLoss::ProcessGone));
        assert_eq!(cluster.core("n00").liveness(&id("n03")), Liveness::Suspect, "at once");
        let took = cluster.run_until(Duration::from_secs(3), |cluster| is_down_everywhere(cluster, "n03"));
        let took = took.unwrap_or_else(|| panic!("{observers} of {count}: {}", cluster.describe()));
        assert!(took >= Config::lan().suspicion_with_evidence, "never without time to refute: {took:?}");
        assert!(cluster.core("n00").counters().links_gone == 1);
    }
}

#[test]
fn forged_evidence_is_refuted() {
    let (mut cluster, names) = formed(8, 3);
    let doubted = cluster.elapsed();
    for name in names.iter().filter(|name| *name != "n03") {
        cluster.lose_link(name, "n03", LinkLoss::ProcessGone);
    }
    cluster.run_until(Duration::from_secs(1), Cluster::agrees).expect("the denial is heard");
    cluster.run_for(Duration::from_secs(30));
    assert!(cluster.agrees());
    assert!(cluster.log.iter().any(|(at, _, event)| *at >= doubted && concerns(event, "n03")));
    assert!(!cluster.log.iter().any(|(.., event)| matches!(event, Event::Down(_))));
    assert_eq!(cluster.renewals(), 0);
}

#[test]
fn a_new_link_refutes_as_well() {
    let (mut cluster, _) = formed(3, 4);
    // No datagram passes: only the links can tell.
    cluster.script = Some(Box::new(|_, _, _, channel| channel == phalanx_membership::Channel::Datagram));
    cluster.lose_link("n00", "n01", LinkLoss::ProcessGone);
    cluster.run_for(Duration::from_millis(1_000));
    cluster.link("n00", "n01");
    cluster.run_for(Duration::from_millis(20));
    assert_eq!(cluster.core("n00").liveness(&id("n01")), Liveness::Alive);
    assert!(!cluster.log.iter().any(|(.., event)| matches!(event, Event::Down(_))));
}

#[test]
fn without_evidence_and_for_another_boot_nothing_is_concluded() {
    let (mut cluster, _) = formed(4, 5);
    cluster.lose_link("n00", "n01", LinkLoss::Unknown);
    // The link was to a boot that is known to be history.
    cluster.kill("n02");
    cluster.start("n02", 2);
    cluster.link("n01", "n02");
    cluster.run_for(Duration::from_secs(1));
    cluster.with("n03", |core, now| {
        let old = phalanx_base::Boot { node: id("n02"), generation: phalanx_base::Generation::from_u64(1) };
        core.handle_peer_reachable(now, old, None);
        core.handle_peer_unreachable(now, &id("n02"), LinkLoss::ProcessGone);
    });
    cluster.with("n03", |core, now| core.handle_peer_unreachable(now, &id("nobody"), LinkLoss::ProcessGone));
    cluster.run_for(Duration::from_secs(5));
    assert!(cluster.agrees());
    assert!(!cluster.log.iter().any(|(.., event)| matches!(event, Event::Suspect(_) | Event::Down(_))));
}

#[test]
fn evidence_hastens_a_suspicion_that_runs_already() {
    let (mut cluster, _) = formed(3, 6);
    cluster.kill("n02");
    let suspected = |cluster: &Cluster| {
        cluster.core("n00").liveness(&id("n02")) == Liveness::Suspect
            && cluster.core("n01").liveness(&id("n02")) == Liveness::Suspect
    };
    cluster.run_until(Duration::from_secs(5), suspected).expect("a probe is missed");
    cluster.lose_link("n00", "n02", LinkLoss::ProcessGone);
    let took = cluster.run_until(Duration::from_secs(3), |cluster| is_down_everywhere(cluster, "n02"));
    assert!(took.is_some_and(|took| took <= Duration::from_millis(2_300)), "{took:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn who_lives_and_is_heard_survives_any_evidence(
        seed: u64,
        lies in proptest::collection::vec((0..6_usize, 0..6_usize, 0..3_000_u64), 0..24),
    ) {
        let (mut cluster, names) = formed(6, seed);
        for (at, about, pause_ms) in lies {
            if at != about {
                cluster.lose_link(&names[at], &names[about], LinkLoss::ProcessGone);
            }
            cluster.run_for(Duration::from_millis(pause_ms));
            cluster.link(&names[at], &names[about.clamp(1, 5)]);
        }
        cluster.run_for(Duration::from_secs(5));
        prop_assert!(cluster.agrees(), "{}", cluster.describe());
        prop_assert!(!cluster.log.iter().any(|(.., event)| matches!(event, Event::Down(_))));
        prop_assert_eq!(cluster.renewals(), 0);
    }
}
