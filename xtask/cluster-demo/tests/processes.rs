//! The demo itself as a test: real processes on real sockets, killed with `kill -9`, and every result compared.
//!
//! Times are not judged here, since they say more about the machine than about the code; that everything comes right is: the
//! demo itself ends with an error where a join or a leave costs a request or an event.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn demo(folder: &Path, arguments: &[&str]) -> (Output, Value) {
    let json = folder.join("out.json");
    let output = Command::new(env!("CARGO_BIN_EXE_cluster-demo"))
        .args(["--headless", "--json"])
        .arg(&json)
        .arg("--report")
        .arg(page(folder))
        .args(arguments)
        .output()
        .expect("the demo was built for this test");
    let report = std::fs::read_to_string(&json).ok().and_then(|text| serde_json::from_str(&text).ok());
    (output, report.unwrap_or_default())
}

/// Where the page with the plots is written.
fn page(folder: &Path) -> PathBuf {
    folder.join("page.html")
}

/// Some files, among them an empty one and one of several chunks.
fn input(folder: &Path) -> String {
    let input = folder.join("input");
    std::fs::create_dir(&input).expect("a new folder takes a folder");
    for number in 0..40_usize {
        let text = format!("line {number} of some words\n").repeat(number * number);
        std::fs::write(input.join(format!("{number}.txt")), text).expect("a new folder takes files");
    }
    std::fs::write(input.join("large"), vec![b'x'; 3 << 20]).expect("a new folder takes files");
    input.display().to_string()
}

fn must_hold((output, report): &(Output, Value)) {
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert_eq!(report["verified"], true, "{said}");
    assert_eq!(report["files"], 41, "{said}");
    for nothing in ["mismatches", "duplicates", "gaps", "orphans"] {
        assert_eq!(report[nothing], 0, "{nothing}: {said}\n{complained}");
    }
}

fn must_have((output, report): &(Output, Value), findings: &[&str]) {
    for finding in findings {
        assert!(report[finding].is_object(), "{finding}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn a_small_cluster_ships_every_file() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let input = input(folder.path());
    let run = demo(
        folder.path(),
        &["--controls", "2", "--workers", "2", "--no-faults", "--seconds", "1", "--input", &input],
    );
    must_hold(&run);
}

#[test]
fn a_cluster_outlives_the_kill_of_a_control_node_and_of_a_worker() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let input = input(folder.path());
    let only = ["--no-faults", "--with", "kill"];
    let run =
        demo(folder.path(), &[&["--workers", "4", "--seed", "7", "--input", &input], &only[..]].concat());
    must_hold(&run);
    must_have(&run, &["killed_control", "killed_worker"]);
}

#[test]
fn a_control_node_and_a_worker_join_at_work() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let input = input(folder.path());
    let only = ["--no-faults", "--with", "join"];
    let run = demo(folder.path(), &[&["--workers", "4", "--input", &input], &only[..]].concat());
    must_hold(&run);
    must_have(&run, &["joined_control", "joined_worker"]);
}

#[test]
fn a_control_node_leaves_in_order_and_the_page_tells_of_it() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let input = input(folder.path());
    let run = demo(
        folder.path(),
        &["--workers", "3", "--no-faults", "--with", "leave", "--seconds", "1", "--input", &input],
    );
    must_hold(&run);
    let said = String::from_utf8_lossy(&run.0.stdout);
    let left = &run.1["left_control"];
    assert!(left["settled_ms"].is_u64(), "the others have its workers: {said}");
    let node = left["node"].as_str().expect("whoever left has a name");
    let changes = run.1["changes"].as_array().expect("changes are a list");
    assert_eq!(changes.len(), 1, "{said}");
    assert_eq!((&changes[0]["kind"], &changes[0]["node"]), (&"left".into(), &node.into()));
    let page = std::fs::read_to_string(page(folder.path())).expect("the page is written");
    assert!(page.contains(&format!("told control node {node} to leave")) && page.ends_with("</html>\n"));
}

#[cfg(unix)]
#[test]
fn a_control_node_that_is_stopped_for_a_while_comes_back_to_the_same_cluster() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let input = input(folder.path());
    let only = ["--no-faults", "--with", "pause"];
    let run = demo(folder.path(), &[&["--workers", "3", "--input", &input], &only[..]].concat());
    must_hold(&run);
    must_have(&run, &["paused_control"]);
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let (output, _) = demo(folder.path(), &["--frobnicate"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--frobnicate"));
}
