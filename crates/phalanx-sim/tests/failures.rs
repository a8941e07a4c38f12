//! What becomes of a run that goes wrong: it ends in a panic that names its seed and how to see it again, with no more
//! faults than it takes. The runs that fail are this same program, started again, as a user would.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::time::Duration;

use phalanx::Boot;
use phalanx_sim as sim;
use phalanx_sim::{Class, Cluster, Effect, Fault, Faults, Sim};

const SECOND: Duration = Duration::from_secs(1);

/// Tells this program to fail, with the way to do it as its value.
const FAIL: &str = "PHALANX_TEST_FAIL";

/// A promise of the scenario's own.
const SAME_BOOT: &str = "mine: the worker never restarts";

/// The number of the one episode that matters.
const CRASH: usize = 2;

/// Five faults, of which one makes the worker restart.
fn faulty() -> Sim {
    let node = || "control-2".to_owned();
    let from = vec!["control-1".to_owned(), "worker-1".to_owned()];
    let lost =
        Fault::Network { effect: Effect::Loss { percent: 5 }, to: from.clone(), from, both_ways: true };
    let crash = Fault::Crash { node: "worker-1".to_owned(), silent: false, wipe: false };
    let faults = Faults::none()
        .episode(4 * SECOND, 2 * SECOND, Fault::NameService { node: node() })
        .episode(5 * SECOND, 3 * SECOND, lost)
        .episode(6 * SECOND, SECOND, crash)
        .episode(7 * SECOND, SECOND, Fault::ClockJump { node: node(), ahead_ms: 1_000 })
        .episode(8 * SECOND, SECOND, Fault::DiskFull { node: node() });
    sim::cluster().controls(2).workers(1).faults(faults).fault_time(10 * SECOND)
}

/// The boot of the worker at the begin, and that of it at the end.
async fn boots(cluster: &Cluster) -> (Boot, Boot) {
    cluster.wait_for("the worker runs", 3 * SECOND, || cluster.worker(1).is_some()).await;
    let first = cluster.worker(1).expect("it was there").boot().clone();
    cluster.sleep(10 * SECOND).await;
    cluster.wait_for("the worker runs again", 10 * SECOND, || cluster.worker(1).is_some()).await;
    (first, cluster.worker(1).expect("it was there").boot().clone())
}

async fn panics(cluster: Cluster) {
    let (first, last) = boots(&cluster).await;
    assert_eq!(first, last, "the worker has restarted");
}

async fn breaks_a_promise(cluster: Cluster) {
    let (first, last) = boots(&cluster).await;
    if first != last {
        cluster.history().violated(SAME_BOOT, format!("{first}, and now {last}"));
    }
}

/// The program of a user that fails. As an ordinary test it does nothing.
#[test]
fn failing() {
    match std::env::var(FAIL).as_deref() {
        Ok("panic") => faulty().first_seed(40).seeds(3).run(panics),
        Ok("promise") => faulty().first_seed(40).seeds(1).run(breaks_a_promise),
        _ => {}
    }
}

/// What the failing program prints. It must fail.
fn output(how: &str, replay: &[(&str, &str)]) -> String {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["failing", "--exact", "--nocapture"])
        .env(FAIL, how)
        .envs(replay.iter().copied())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&child.stderr).into_owned();
    assert!(!child.status.success(), "it was to fail: {printed}");
    printed
}

#[test]
fn a_scenario_that_panics_names_its_seed_and_the_replay_which_panics_too() {
    let printed = output("panic", &[]);
    assert!(printed.contains("seed 40: "), "{printed}");
    assert!(printed.contains("the worker has restarted"), "{printed}");
    let replay = format!("{}=40 {}={CRASH}", sim::SEED, sim::ONLY);
    assert!(printed.lines().any(|line| line.ends_with(&replay)), "no {replay} in {printed}");
    // Another seed is enough to see that the variables are heard.
    let again = output("panic", &[(sim::SEED, "7"), (sim::ONLY, "2")]);
    assert!(again.contains("seed 7: ") && again.contains("faults (1):"), "{again}");
}

#[test]
fn a_broken_promise_of_ones_own_is_named() {
    let printed = output("promise", &[(sim::ONLY, "2")]);
    assert!(printed.contains("seed 40: ") && printed.contains(SAME_BOOT), "{printed}");
}

#[test]
fn shrinking_leaves_only_what_matters() {
    let report = faulty().run_seed(1, panics);
    assert_eq!(report.episodes.len(), 5);
    assert!(report.failed.is_some());
    let shorter = faulty().shrink(&report, &panics);
    let numbers: Vec<usize> = shorter.episodes.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [CRASH]);
    assert_eq!(shorter.episodes[0].1.fault.class(), Class::Crash);
    assert!(sim::explain(&shorter).contains("crash worker-1"));
}

#[test]
fn what_does_not_hold_in_the_end_is_a_broken_promise() {
    // Said to be over, and it is not.
    let report = sim::cluster().controls(2).workers(1).run_seed(1, async |cluster| {
        cluster.formed().await;
        let (from, to) = (vec!["control-1".to_owned()], vec!["control-2".to_owned(), "worker-1".to_owned()]);
        cluster.fault(Fault::Network { effect: Effect::Cut, from, to, both_ways: true }, 300 * SECOND);
        // Until it has been noticed.
        cluster.sleep(20 * SECOND).await;
        cluster.settle().await;
    });
    let broken: Vec<&str> = report.violations.iter().map(|violation| violation.property).collect();
    assert!(broken.contains(&sim::properties::name::VIEWS_AGREE), "{broken:?}");
    assert!(!report.is_good());
}
