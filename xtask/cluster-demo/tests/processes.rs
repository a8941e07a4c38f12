//! The demo itself as a test: real processes on real sockets, killed with `kill -9`, and every result compared.
//!
//! Times are not judged here, since they say more about the machine than about the code; that everything comes right is: the
//! demo itself ends with an error where a join or a leave costs a request or an event.

mod common;

use common::{demo, input, must_have, must_hold, page};

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
fn a_job_is_kept_at_its_number() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let input = input(folder.path());
    let only = ["--no-faults", "--with", "jobs"];
    let run = demo(folder.path(), &[&["--workers", "4", "--input", &input], &only[..]].concat());
    must_hold(&run);
    must_have(&run, &["jobs"]);
    let jobs = &run.1["jobs"];
    assert_eq!((&jobs["desired"], &jobs["running_at_end"]), (&3.into(), &3.into()), "{jobs}");
}

#[cfg(feature = "wasm")]
#[test]
fn shipped_code_is_called_and_exchanged_while_nodes_are_killed_and_join() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let input = input(folder.path());
    let run = demo(folder.path(), &["--workers", "4", "--with", "wasm", "--input", &input]);
    must_hold(&run);
    must_have(&run, &["wasm", "killed_control", "killed_worker", "joined_worker"]);
    let wasm = &run.1["wasm"];
    // Four that were there or joined and live, two versions each.
    assert!(wasm["modules_pushed"].as_u64() >= Some(8) && wasm["workers_checked"] == 4, "{wasm}");
}

#[test]
fn what_is_not_available_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let input = input(folder.path());
    let refused = |part: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_cluster-demo"))
            .args(["--headless", "--with", part, "--input", &input])
            .env("DOCKER_HOST", "unix:///there/is/no/such.sock")
            .output()
            .expect("the demo was built for this test");
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!said.contains("started"), "nothing was begun: {said}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let docker = refused("kill,docker");
    let advice = if cfg!(feature = "docker") { "busybox-static" } else { "--features docker" };
    assert!(docker.contains("--with docker") && docker.contains(advice), "{docker}");
    if !cfg!(feature = "wasm") {
        let wasm = refused("wasm");
        assert!(wasm.contains("--features wasm"), "{wasm}");
    }
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let (output, _) = demo(folder.path(), &["--frobnicate"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--frobnicate"));
}
