//! Figures for the README: `cargo test -p phalanx-metadata --test figures -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Cluster, config, key};

#[test]
#[ignore = "it measures"]
fn figures() {
    let mut cluster = Cluster::new(config(), 1);
    let names: Vec<String> = (0..4).map(|n| format!("node-{n:03}")).collect();
    cluster.start_all(&names.iter().map(String::as_str).collect::<Vec<_>>());
    cluster.faults.latency_ms_max = 20;
    for n in 0..10_000 {
        cluster.with(&names[n % 4], |core, now, unix_ms| {
            let key = key("jobs", &format!("worker-{n:05}"));
            core.set(now, unix_ms, &key, Bytes::from(vec![7; 40])).unwrap();
        });
    }
    assert!(cluster.run_until(Duration::from_secs(60), Cluster::agrees).is_some());
    let before = (cluster.bytes_sent, cluster.messages_sent);
    cluster.run_for(Duration::from_secs(60));
    let quiet = (cluster.bytes_sent - before.0) / 60 / 4;
    println!("nothing happens, 4 nodes: {quiet} B/s a node");
    cluster.start("newcomer", 1, 0);
    let before = (cluster.bytes_sent, cluster.messages_sent);
    cluster.tell();
    let took = cluster.run_until(Duration::from_secs(60), Cluster::agrees).unwrap();
    let (bytes, messages) = (cluster.bytes_sent - before.0, cluster.messages_sent - before.1);
    println!(
        "10,000 records of 40 B to a newcomer: {bytes} B in {messages} messages of all five nodes, {took:?}"
    );
    println!("largest message {} B, status {:?}", cluster.largest_message, cluster.core("newcomer").status());
}

#[test]
#[ignore = "it measures"]
fn digest_of_a_large_cluster() {
    let mut cluster = Cluster::new(config(), 1);
    let names: Vec<String> = (0..128).map(|n| format!("node-{n:03}")).collect();
    names.iter().for_each(|name| cluster.start(name, 1_700_000_000_000 << 16, 0));
    for name in &names {
        cluster.with(name, |core, now, unix_ms| {
            (0..500).for_each(|_| drop(core.set(now, unix_ms, &key("own", name), Bytes::new()).unwrap()));
        });
    }
    cluster.tell();
    cluster.run_until(Duration::from_secs(30), Cluster::agrees).unwrap();
    let before = (cluster.bytes_sent, cluster.messages_sent);
    cluster.run_for(Duration::from_secs(10));
    let (bytes, messages) = (cluster.bytes_sent - before.0, cluster.messages_sent - before.1);
    println!(
        "128 nodes, nothing happens: {bytes} B, {messages} messages in 10 s, {} B/s a node",
        bytes / 1_280
    );
}
