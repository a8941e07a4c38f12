//! Figures of whole clusters in virtual time, to be compared before and after a change:
//! `cargo test -p phalanx-membership --test figures -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Cluster, Faults, NO_FAULTS, id};
use phalanx_membership::{Config, Event, LinkLoss};

const KILLS: usize = 6;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("node-{n:03}")).collect()
}

fn formed(count: usize, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(Config::lan(), seed);
    let names = names(count);
    names.iter().for_each(|name| cluster.start(name, 1));
    names[1..].iter().for_each(|name| cluster.link(&names[0], name));
    cluster.run_until(Duration::from_secs(20), Cluster::agrees).expect("they meet");
    cluster.run_for(Duration::from_secs(30));
    cluster
}

fn lossy(loss_percent: u64) -> Faults {
    Faults { loss_percent, repeat_percent: 0, latency_ms_max: 20 }
}

/// Bytes a second and node, where nothing happens.
fn quiet_traffic(count: usize) -> u64 {
    let mut cluster = formed(count, 1);
    let before = cluster.bytes_sent;
    cluster.run_for(Duration::from_secs(120));
    (cluster.bytes_sent - before) / 120 / count as u64
}

/// When the first and the last observer held each killed node for down; with `evidence`, all see its process gone.
fn kills(count: usize, loss_percent: u64, evidence: bool) -> Vec<(Duration, Duration)> {
    let mut cluster = formed(count, 2);
    cluster.faults = lossy(loss_percent);
    let mut seen = Vec::new();
    for kill in 0..KILLS {
        let victim = format!("node-{:03}", 1 + kill);
        let killed = cluster.elapsed();
        cluster.kill(&victim);
        if evidence {
            let survivors = names(count).into_iter().filter(|name| cluster.is_running(name));
            for name in survivors.collect::<Vec<_>>() {
                cluster.lose_link(&name, &victim, LinkLoss::ProcessGone);
            }
        }
        cluster.run_for(Duration::from_secs(25));
        let down = |event: &Event| matches!(event, Event::Down(boot) if boot.node == id(&victim));
        let since = |(at, ..): &(Duration, _, _)| *at - killed;
        let times: Vec<Duration> = cluster.log.iter().filter(|(_, _, e)| down(e)).map(since).collect();
        seen.push((*times.iter().min().unwrap(), *times.iter().max().unwrap()));
    }
    seen
}

/// Suspicions and declarations of nodes that run, each counted once for each node that is wronged, per node and hour.
fn false_alarms(count: usize, loss_percent: u64, hours: f64) -> (f64, f64, u64) {
    let mut cluster = formed(count, 3);
    cluster.faults = lossy(loss_percent);
    let begin = cluster.log.len();
    cluster.run_for(Duration::from_secs_f64(hours * 3_600.0));
    let node_hours = count as f64 * hours;
    // Observers that hear of one suspicion within the same few seconds tell of the same one.
    let distinct = |matches: fn(&Event) -> bool| {
        let told = cluster.log[begin..].iter().filter(|(.., event)| matches(event));
        told.map(|(at, _, event)| (format!("{event:?}"), at.as_secs() / 10)).collect::<BTreeSet<_>>().len()
    };
    let suspicions = distinct(|event| matches!(event, Event::Suspect(_)));
    let declarations = distinct(|event| matches!(event, Event::Down(_)));
    cluster.faults = NO_FAULTS;
    (suspicions as f64 / node_hours, declarations as f64 / node_hours, cluster.renewals())
}

#[test]
#[ignore = "it measures, for minutes"]
fn figures() {
    for count in [16, 64] {
        println!("{count} nodes: quiet {} B/s a node", quiet_traffic(count));
        for loss_percent in [0, 5, 10] {
            let [unaided, evident] = [false, true].map(|evidence| kills(count, loss_percent, evidence));
            let seconds = |kills: &[(Duration, Duration)], pick: fn(&(Duration, Duration)) -> Duration| {
                let mut all: Vec<f64> = kills.iter().map(|times| pick(times).as_secs_f64()).collect();
                all.sort_unstable_by(f64::total_cmp);
                all.iter().map(|time| format!("{time:.1}")).collect::<Vec<_>>().join(" ")
            };
            let hours = if count == 16 { 1.0 } else { 0.25 };
            let (suspicions, declarations, renewals) = false_alarms(count, loss_percent, hours);
            println!(
                "{count} nodes, {loss_percent} % loss: first [{}] last [{}] s, with evidence [{}] s; \
                 false suspicions {suspicions:.2}, declarations {declarations:.3} a node and hour, renewals {renewals}",
                seconds(&unaided, |times| times.0),
                seconds(&unaided, |times| times.1),
                seconds(&evident, |times| times.1)
            );
        }
    }
}
