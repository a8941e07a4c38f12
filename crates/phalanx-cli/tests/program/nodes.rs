//! Nodes that are labelled, turned, stopped and drained, and the small data of one.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::Value;

use crate::agents::{Place, eventually};
use crate::workers::{Cluster, at_control};

#[test]
fn a_worker_is_labelled_and_turned() {
    let place = Place::new();
    let cluster = Cluster::start(&place);
    let labelled = cluster.ask(&["node", "label", "worker-1", "gpu", "zone=a", "group-"]).ends_with(0);
    assert_eq!(labelled.out, "core,gpu,zone;zone=a\n");
    eventually("the control node knows its labels", || {
        let described = cluster.ask(&["node", "describe", "worker-1", "-o", "json"]).json();
        (described["worker"]["labels"] == "core,gpu,zone;zone=a").then_some(())
    });
    assert_eq!(cluster.ask(&["node", "standby", "worker-1"]).ends_with(0).out, "worker-1 is standby\n");
    let refused = place.run(&at_control(&["task", "run", "worker-1"], &["sh"])).ends_with(1);
    assert!(refused.err.contains("standby"), "{refused:?}");
    let ready = cluster.ask(&["node", "ready", "worker-1", "-o", "json"]).json();
    assert_eq!(ready, serde_json::json!({"node": "worker-1", "status": "ready"}));
    cluster.ask(&["node", "ready", "nobody"]).ends_with(3);
    cluster.ask(&["node", "label", "worker-1", "=a"]).ends_with(2);

    let top = cluster.ask(&["top"]).ends_with(0).out;
    assert!(top.starts_with("2 nodes, 2 ready, 0 tasks\n") && top.contains("worker-1"), "{top}");
    let twice = cluster.ask(&["top", "-n", "2", "--interval", "100ms", "-o", "json"]).ends_with(0).out;
    assert_eq!(twice.lines().count(), 2, "{twice}");
    assert!(place.run(&["completion", "bash"]).ends_with(0).out.contains("phalanx"));
}

#[test]
fn small_data_is_kept_changed_and_removed() {
    let place = Place::new();
    let cluster = Cluster::start(&place);
    let kv = |arguments: &[&str]| cluster.ask(&[&["kv"], arguments].concat());
    kv(&["put", "worker-1", "mode", "night"]).ends_with(0);
    assert_eq!(kv(&["get", "worker-1", "mode"]).ends_with(0).out, "night");
    let version =
        kv(&["get", "worker-1", "mode", "-o", "json"]).json()["version"].as_str().unwrap().to_owned();
    kv(&["put", "worker-1", "mode", "day", "--if-version", &version]).ends_with(0);
    let late = kv(&["put", "worker-1", "mode", "dusk", "--if-version", &version]).ends_with(1);
    assert!(late.err.contains("read it again"), "{late:?}");
    kv(&["put", "worker-1", "mode", "dusk", "--if-absent"]).ends_with(1);
    let listed = kv(&["ls", "worker-1", "m", "-o", "json"]).json();
    assert_eq!((&listed[0]["key"], &listed[0]["value_bytes"]), (&"mode".into(), &3.into()), "{listed}");
    kv(&["rm", "worker-1", "mode"]).ends_with(0);
    kv(&["rm", "worker-1", "mode"]).ends_with(3);
    kv(&["get", "worker-1", "mode"]).ends_with(3);
    let denied = kv(&["get", "control-1", "mode"]).ends_with(1);
    assert!(denied.err.contains("no handler"), "{denied:?}");
}

/// Starts so many programs at the worker.
fn sleepers(place: &Place, count: usize, seconds: &str) -> BTreeSet<String> {
    const AT_ONCE: usize = 10;
    let start =
        |_: usize| place.start(&at_control(&["task", "run", "worker-1"], &["sleep", seconds]), Stdio::null());
    let mut names = BTreeSet::new();
    while names.len() < count {
        let started: Vec<_> = (0..AT_ONCE.min(count - names.len())).map(start).collect();
        names.extend(started.into_iter().map(|running| running.end().ends_with(0).out.trim().to_owned()));
    }
    names
}

#[test]
fn a_worker_with_a_hundred_tasks_is_drained_and_every_task_accounted_for() {
    let place = Place::new();
    let cluster = Cluster::start(&place);
    let names = sleepers(&place, 100, "1000");
    assert_eq!(names.len(), 100);
    let listed = cluster.ask(&["task", "ls", "-o", "json"]).json();
    let listed: BTreeSet<String> = listed["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["task"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, names);

    let late = cluster.ask(&["node", "drain", "worker-1", "--deadline", "1s"]).ends_with(1);
    assert!(late.err.contains("100 tasks are left") && late.err.contains("was not told to stop"), "{late:?}");
    assert_eq!(cluster.status(), "standby", "nothing was ended");

    let drain = ["node", "drain", "worker-1", "--deadline", "1s", "--force", "--grace", "20s", "-o", "json"];
    let said = cluster.ask(&drain).ends_with(0);
    let told: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, progress) = told.split_last().unwrap();
    assert_eq!(progress[0]["tasks"], 100, "{said:?}");
    assert!(progress[0]["blocking"][0]["task"].as_str().unwrap().starts_with("worker-1/"), "{said:?}");
    assert_eq!(progress.last().unwrap()["status"], "stopped", "{said:?}");
    assert!(progress.is_sorted_by(|one, other| one["tasks"].as_u64() >= other["tasks"].as_u64()), "{said:?}");
    let accounted = last["accounted"].as_array().unwrap();
    let ended: BTreeSet<String> =
        accounted.iter().map(|task| task["task"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ended, names, "every one of them, once");
    assert_eq!(accounted.len(), 100);
    assert!(accounted.iter().all(|task| task["state"] == "succeeded"), "each has heard SIGTERM: {said:?}");
    let none = cluster.ask(&["task", "ls", "-o", "json"]).json();
    assert_eq!(none["tasks"], serde_json::json!([]));
    cluster.ask(&["node", "ready", "worker-1"]).ends_with(0);
    assert_eq!(sleepers(&place, 1, "0").len(), 1, "it takes tasks again");
}

#[test]
fn a_worker_is_stopped_with_a_deadline() {
    let place = Place::new();
    let cluster = Cluster::start(&place);
    let deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"];
    place.run(&at_control(&["task", "run", "worker-1"], &deaf)).ends_with(0);
    sleepers(&place, 3, "1000");
    let said = cluster.ask(&["node", "stop", "worker-1", "--deadline", "3s"]).ends_with(0);
    assert!(said.err.contains("1 task is left"), "the others have heard the signal: {said:?}");
    assert!(said.err.contains("worker-1 has stopped: of 4 tasks 4 "), "{said:?}");
    let idle = cluster.ask(&["node", "drain", "worker-1"]).ends_with(0);
    assert!(idle.err.contains("there was no task"), "{idle:?}");
}

/// The labels of the worker, as the control node knows them.
fn labels(cluster: &Cluster<'_>) -> String {
    let described = cluster.ask(&["node", "describe", "worker-1", "-o", "json"]).json();
    described["worker"]["labels"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn labels_for_good_outlive_the_worker_and_others_do_not() {
    let place = Place::new();
    let mut cluster = Cluster::start(&place);
    cluster.ask(&["node", "label", "worker-1", "gpu"]).ends_with(0);
    let both = cluster.ask(&["node", "label", "worker-1", "zone=a", "group-"]).ends_with(0);
    assert_eq!(both.out, "core,gpu,zone;zone=a\n", "the second one builds on the first");
    let passing = cluster.ask(&["node", "label", "worker-1", "night", "--until-restart"]).ends_with(0);
    assert_eq!(passing.out, "core,gpu,zone;zone=a,night\n");
    cluster.restart_worker(&place);
    eventually("the new start has those for good, and no others", || {
        (labels(&cluster) == "core,gpu,zone;zone=a").then_some(())
    });
    cluster.ask(&["node", "label", "worker-1", "--reset"]).ends_with(0);
    assert_eq!(labels(&cluster), "core,gpu,zone;zone=a", "until the next start");
    cluster.restart_worker(&place);
    eventually("the new start has its configuration's", || {
        (labels(&cluster) == "core;group=a").then_some(())
    });
    cluster.ask(&["node", "label", "worker-1"]).ends_with(2);
    cluster.ask(&["node", "label", "worker-1", "--reset", "gpu"]).ends_with(2);
}
