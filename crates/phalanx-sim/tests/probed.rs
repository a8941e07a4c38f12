//! The kit's own job class on small clusters: on a good day, and under faults.

use std::time::Duration;

use phalanx_sim as sim;

fn three_and_three() -> sim::Sim {
    sim::cluster().controls(3).workers(3).probed()
}

#[test]
fn a_good_day() {
    let report = three_and_three().run_seed(1, async |cluster| {
        cluster.formed().await;
        cluster.sleep(Duration::from_secs(60)).await;
    });
    println!("{report:#?}");
    assert!(report.is_good(), "{}", sim::explain(&report));
    assert!(report.counts.calls_done > 100, "{:?}", report.counts);
}

#[test]
fn one_seed_makes_one_run() {
    let faults = sim::Faults::all();
    let run = || {
        three_and_three()
            .faults(faults.clone())
            .run_seed(7, async |cluster| cluster.sleep(Duration::from_secs(30)).await)
    };
    let (one, other) = (run(), run());
    assert_eq!(one.hash, other.hash);
    assert_eq!(one.counts, other.counts);
}
