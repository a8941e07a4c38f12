//! The kit's own job class on small clusters: on a good day, and under faults.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use phalanx_sim as sim;

fn three_and_three() -> sim::Sim {
    sim::cluster().controls(3).workers(3).probed()
}

#[test]
fn a_good_day() {
    let report = three_and_three().run_seed(1, async |cluster| {
        cluster.formed().await;
        cluster.sleep(Duration::from_secs(20)).await;
    });
    assert!(report.is_good(), "{}", sim::explain(&report));
    assert!(report.counts.calls_done > 100, "{:?}", report.counts);
}

#[test]
fn every_class_of_fault() {
    let time = Duration::from_secs(40);
    let faults = sim::Faults::all().episodes_per_minute(26.0);
    let report = three_and_three().fault_time(time).faults(faults).run_seed(1, async |cluster| {
        cluster.sleep(time).await;
    });
    assert!(report.is_good(), "{}", sim::explain(&report));
    assert!(report.classes().len() > sim::Class::ALL.len() / 2, "{:?}", report.classes());
    assert!(report.counts.calls_done > 100, "{:?}", report.counts);
}
