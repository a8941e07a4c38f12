//! What outlives a stop of the whole cluster, what must not, and who is not believed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Cluster, config, id, key};
use phalanx_metadata::{LISTEN, RestoreError, WriteError};

fn pair() -> Cluster {
    let mut cluster = Cluster::new(config(), 1);
    cluster.start_all(&["a", "b", "c"]);
    cluster
}

fn set(cluster: &mut Cluster, node: &str, name: &str) {
    let key = key("jobs", name);
    cluster.with(node, |core, now, unix_ms| core.set(now, unix_ms, &key, Bytes::from_static(b"x")).unwrap());
}

#[test]
fn a_stop_of_the_whole_cluster_loses_nothing_however_long_it_is() {
    let mut cluster = pair();
    (0..20).for_each(|n| set(&mut cluster, ["a", "b"][n % 2], &format!("job-{n}")));
    cluster.run_for(Duration::from_secs(15));
    let before = cluster.seen_by("a");
    let stored = ["a", "b"].map(|name| cluster.with(name, |core, _, unix_ms| core.snapshot(unix_ms)));
    ["a", "b", "c"].iter().for_each(|name| cluster.kill(name));
    cluster.run_for(Duration::from_secs(86_400));
    cluster.start("c", 2, 0);
    cluster.tell();
    cluster.run_for(Duration::from_secs(60));
    for (name, stored) in ["a", "b"].into_iter().zip(&stored) {
        cluster.start(name, 2, 0);
        let count = cluster.with(name, |core, now, unix_ms| core.restore(now, unix_ms, stored)).unwrap();
        assert_eq!(count, 20);
    }
    cluster.tell();
    cluster.run_for(2 * LISTEN + Duration::from_secs(10));
    assert!(cluster.agrees());
    assert_eq!(cluster.seen_by("c"), before, "with their stamps");
    assert!(cluster.core("c").status().records <= 30, "not each of them writes everything");
}

#[test]
fn an_old_store_does_not_bring_back_what_was_removed() {
    let mut cluster = pair();
    set(&mut cluster, "a", "old");
    set(&mut cluster, "a", "kept");
    cluster.run_for(Duration::from_secs(15));
    let stored = cluster.with("c", |core, _, unix_ms| core.snapshot(unix_ms));
    cluster.kill("c");
    let removed = cluster.with("b", |core, now, unix_ms| core.remove(now, unix_ms, &key("jobs", "old")));
    assert!(removed.unwrap().is_some());
    cluster.run_for(Duration::from_secs(3 * 3_600));
    cluster.start("c", 2, 0);
    cluster.with("c", |core, now, unix_ms| core.restore(now, unix_ms, &stored)).unwrap();
    cluster.tell();
    cluster.run_for(Duration::from_secs(60));
    assert!(cluster.agrees());
    let names: Vec<_> = cluster.seen_by("c").iter().map(|seen| seen.key.name().to_owned()).collect();
    assert_eq!(names, ["kept"]);
}

#[test]
fn a_clock_that_is_far_ahead_owns_nothing_and_is_named() {
    let mut cluster = Cluster::new(config(), 1);
    cluster.start("a", 1, 0);
    cluster.start("b", 1, 2 * 3_600_000);
    cluster.tell();
    set(&mut cluster, "b", "mine");
    set(&mut cluster, "a", "mine");
    cluster.run_for(Duration::from_secs(5));
    assert_eq!(cluster.seen_by("a")[0].stamp.writer, id("a"));
    assert!(cluster.refused[0].contains("set the clocks"), "{:?}", cluster.refused);
    cluster.run_for(Duration::from_secs(3_700));
    assert!(cluster.agrees(), "what was ahead is taken when its time has come");
}

#[test]
fn writes_that_are_not_allowed_are_named() {
    let mut cluster = pair();
    cluster.with("a", |core, now, unix_ms| {
        let value = || Bytes::from_static(b"x");
        let mut set = |key| core.set(now, unix_ms, &key, value()).unwrap_err();
        assert!(matches!(set(key("own", "b/cpu")), WriteError::NotOwnKey { .. }));
        assert!(matches!(set(key("none", "b")), WriteError::UnknownTable { .. }));
        assert!(matches!(set(key("places", "b")), WriteError::WrongRule { needs_order: true, .. }));
        assert_eq!(core.restore(now, unix_ms, b""), Err(RestoreError::Version));
        assert_eq!(core.restore(now, unix_ms, b"\x01\x05"), Err(RestoreError::Malformed));
        let large = Bytes::from(vec![0; phalanx_metadata::VALUE_BYTES_MAX + 1]);
        let error = core.set(now, unix_ms, &key("jobs", "a"), large).unwrap_err();
        assert_eq!(error, WriteError::ValueTooLarge { bytes: 65_537 });
    });
}
