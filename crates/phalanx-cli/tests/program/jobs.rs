//! Jobs of programs, applied, changed and removed by the program.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::agents::{Place, eventually};
use crate::workers::{Cluster, another};

const JOB: &str = r#"
name = "shop/web"
count = 3
where = "core"
stop-grace = "2s"
on-lost = { replace-after = "1s" }
restart = { pause-initial = "100ms" }

[process]
program = "sh"
arguments = ["-c", "echo up; exec sleep 600"]
"#;

const BROKEN: &str = r#"
name = "broken"
count = 1
restart = { restarts-max = 1, pause-initial = "100ms" }

[process]
program = "sh"
arguments = ["-c", "echo no paper; exit 7"]
"#;

fn described(cluster: &Cluster<'_>, job: &str) -> Value {
    cluster.ask(&["job", "describe", job, "-o", "json"]).json()
}

/// How many instances run on each worker.
fn running(job: &Value) -> BTreeMap<String, usize> {
    let mut nodes = BTreeMap::new();
    for instance in job["instances"].as_array().unwrap() {
        if instance["state"] == "running" {
            *nodes.entry(instance["node"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    nodes
}

/// The tasks that really run.
fn tasks(cluster: &Cluster<'_>) -> usize {
    let listed = cluster.ask(&["task", "ls", "-o", "json"]).json();
    listed["tasks"].as_array().unwrap().iter().filter(|task| task["state"] == "running").count()
}

#[test]
fn a_job_is_kept_at_its_number_whatever_is_lost() {
    let place = Place::new();
    let mut cluster = Cluster::start(&place);
    let second = another(&place, "worker-2", &cluster.listen);
    fs::write(place.path("web.toml"), JOB).unwrap();
    let applied = cluster.ask(&["job", "apply", "web.toml", "--wait=30s"]).ends_with(0);
    assert!(applied.err.contains("3 running"), "{applied:?}");
    let job = described(&cluster, "shop/web");
    assert_eq!((&job["status"], &job["count"]), (&"placed".into(), &3.into()), "{job:#}");
    assert_eq!(running(&job).len(), 2, "both workers have some: {job:#}");
    let task = job["instances"][0]["task"].as_str().unwrap();
    let logs = eventually("its output", || {
        Some(cluster.ask(&["task", "logs", task]).out).filter(|out| !out.is_empty())
    });
    assert_eq!(logs, "up\n");
    let listed = cluster.ask(&["job", "ls", "-o", "json"]).json();
    assert_eq!((&listed[0]["name"], &listed[0]["running"]), (&"shop/web".into(), &3.into()), "{listed:#}");

    cluster.ask(&["job", "scale", "shop/web", "4", "--wait=30s"]).ends_with(0);
    assert_eq!(tasks(&cluster), 4);
    cluster.ask(&["job", "scale", "shop/web", "3", "--wait=30s"]).ends_with(0);
    eventually("one of them has ended", || (tasks(&cluster) == 3).then_some(()));

    cluster.worker.signal(Signal::KILL);
    cluster.worker.end();
    let job = eventually("what was lost is replaced", || {
        let job = described(&cluster, "shop/web");
        (running(&job) == BTreeMap::from([("worker-2".to_owned(), 3)])).then_some(job)
    });
    let instances = job["instances"].as_array().unwrap();
    let moved: Vec<&Value> = instances.iter().filter(|instance| instance["attempt"] != 1).collect();
    assert!(!moved.is_empty(), "{job:#}");
    for instance in moved {
        let last = instance["ended"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["state"], &last["node"]), (&"lost".into(), &"worker-1".into()), "{job:#}");
    }
    let text = cluster.ask(&["job", "describe", "shop/web"]).ends_with(0).out;
    assert!(text.contains("on worker-1 lost"), "{text}");

    cluster.ask(&["job", "stop", "shop/web", "--wait=30s"]).ends_with(0);
    assert_eq!(described(&cluster, "shop/web")["status"], "stopped");
    cluster.ask(&["job", "start", "shop/web", "--wait=30s"]).ends_with(0);
    let left = cluster.ask(&["job", "rm", "shop/web", "--wait=3s"]).ends_with(1);
    assert!(left.err.contains("phalanx node forget worker-1"), "{left:?}");
    cluster.ask(&["node", "forget", "worker-1"]).ends_with(0);
    eventually("the job is gone", || (cluster.ask(&["job", "describe", "shop/web"]).code == 3).then_some(()));
    cluster.ask(&["job", "rm", "shop/web"]).ends_with(3);
    cluster.ask(&["job", "scale", "shop/web", "1"]).ends_with(3);
    assert_eq!(tasks(&cluster), 0);
    drop(second);
}

#[test]
fn what_fails_and_what_waits_says_why() {
    let place = Place::new();
    let cluster = Cluster::start(&place);
    fs::write(place.path("broken.toml"), BROKEN).unwrap();
    let failed = cluster.ask(&["job", "apply", "broken.toml", "--wait=30s"]).ends_with(1);
    assert!(failed.err.contains("is not started again"), "{failed:?}");
    let job = described(&cluster, "broken");
    let ended = job["instances"][0]["ended"].as_array().unwrap();
    assert_eq!(ended.len(), 2, "{job:#}");
    for ended in ended {
        let lines = ended["last_lines"].as_array().unwrap();
        assert_eq!((&lines[0], &ended["state"]), (&"no paper".into(), &"failed".into()), "{job:#}");
        assert_eq!(lines[1], "the program has ended with exit code 7", "{job:#}");
    }
    let removed = cluster.ask(&["job", "rm", "broken", "--wait=30s", "-o", "json"]).json();
    assert_eq!(removed["gone"], true, "{removed}");

    fs::write(place.path("web.toml"), JOB.replace("\"core\"", "\"moon\"")).unwrap();
    let waits = cluster.ask(&["job", "apply", "web.toml", "--wait=2s"]).ends_with(1);
    assert!(waits.err.contains("no worker will do"), "{waits:?}");
    let why = described(&cluster, "shop/web")["waits"].as_str().unwrap().to_owned();
    assert!(why.contains("no worker will do"), "{why}");

    fs::write(place.path("wrong.toml"), "name = \"a b\"\ncuont = 3\n").unwrap();
    let wrong = cluster.ask(&["job", "apply", "wrong.toml"]).ends_with(2);
    for words in ["wrong.toml: name: ", "cuont: there is no such key: did you mean \"count\"?", "process: "] {
        assert!(wrong.err.contains(words), "{words}: {wrong:?}");
    }
}
