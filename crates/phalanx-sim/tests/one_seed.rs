//! A seed makes one run: in this process, in another one, today and tomorrow. The other process is this same program,
//! started again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::time::Duration;

use phalanx_sim as sim;

/// Tells this program to run one seed and to print its hash, with the seed as its value.
const RUN_THIS: &str = "PHALANX_TEST_RUN_SEED";

/// So long things go wrong.
const FAULT_TIME: Duration = Duration::from_secs(15);

/// All kinds of calls, all classes of faults, as many of them as there is room for.
fn hash_of(seed: u64) -> String {
    let faults = sim::Faults::all().episodes_per_minute(40.0);
    let cluster = sim::cluster().controls(2).workers(1).probed().faults(faults).fault_time(FAULT_TIME);
    // What is broken says nothing about whether it is broken in the same way again.
    cluster.run_seed(seed, async |cluster| cluster.sleep(FAULT_TIME).await).hash
}

/// The other process: prints the hash. As an ordinary test it does nothing.
#[test]
fn other_process() {
    let Ok(seed) = std::env::var(RUN_THIS) else { return };
    println!("\nhash {}", hash_of(seed.parse().unwrap()));
}

fn hash_elsewhere(seed: u64) -> String {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["other_process", "--exact", "--nocapture"])
        .env(RUN_THIS, seed.to_string())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&child.stdout).into_owned();
    let hash = printed.lines().find_map(|line| line.strip_prefix("hash "));
    hash.unwrap_or_else(|| panic!("no hash in {printed:?}")).to_owned()
}

#[test]
fn one_seed_makes_one_run_in_two_processes() {
    let first = [1, 2].map(hash_elsewhere);
    assert_ne!(first[0], first[1], "each seed makes a run of its own");
    assert_eq!(first, [1, 2].map(hash_elsewhere));
}

#[test]
fn one_seed_makes_one_run_again_in_one_process() {
    // What the first run has left behind in the process must not matter.
    assert_eq!(hash_of(1), hash_of(1));
}
