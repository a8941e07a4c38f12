//! Agents of one cluster.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::agents::{Agent, Place, eventually};

/// One request over HTTP, and its answer.
fn http(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Where an agent answers probes: the system chose the port.
fn probe_of(agent: &Agent<'_>) -> String {
    eventually("the probe is bound", || {
        let log = agent.log();
        let line = log.lines().find(|line| line.contains("answering probes"))?;
        let address = line.split("address=").nth(1)?;
        Some(address.split_whitespace().next()?.to_owned())
    })
}

/// A value without what differs from run to run.
fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| match key.as_str() {
                "generation" | "cluster_id" | "fence" | "owner" | "hosted" => (key.clone(), "...".into()),
                "addresses" | "sockets" | "discovery" => (key.clone(), "[..]".into()),
                "usage" => (key.clone(), "{..}".into()),
                "listen" => (key.clone(), "IP:PORT".into()),
                _ => (key.clone(), redacted(value)),
            })
            .collect(),
        Value::Array(values) => values.iter().map(redacted).collect(),
        value => value.clone(),
    }
}

fn events(agent: &Agent<'_>, since: &str) -> Vec<Value> {
    let said = agent.ask(&["events", "--since", since, "-o", "json"]).ends_with(0);
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn wait_for_event(agent: &Agent<'_>, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || events(agent, "0").into_iter().find(|event| is_it(event)))
}

#[test]
fn a_cluster_forms_is_operated_and_leaves_in_order() {
    let place = Place::new();
    let manager = UnixDatagram::bind(place.path("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let expects = ["--expected-controls", "2", "--probe", "127.0.0.1:0"];
    let mut first = place.agent_told("control-1", &expects, Some(&place.path("notify")));
    let probe = probe_of(&first);
    assert!(http(&probe, "/live").starts_with("HTTP/1.1 200"));
    let waits = http(&probe, "/ready");
    assert!(waits.starts_with("HTTP/1.1 503") && waits.contains("1 of 2"), "{waits}");
    assert_eq!(first.ask(&["status", "--ready"]).ends_with(1).err.matches("1 of 2").count(), 1);

    let listen = first.listen();
    let mut second = place.agent("control-2", &["--expected-controls", "2", "--discover", &listen]);
    first.wait_until_ready();
    second.wait_until_ready();
    assert!(http(&probe, "/ready").starts_with("HTTP/1.1 200"));
    assert!(http(&probe, "/status").contains("\"cluster\": \"media\""));
    let mut told = String::new();
    while !told.contains("READY=1") {
        let mut bytes = [0; 4096];
        let length = manager.recv(&mut bytes).expect(&told);
        told.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    assert!(told.split("READY=1").next().unwrap().contains("STATUS=forming"), "{told}");

    let credential = ["--role", "worker", "--worker-credential-file", "worker", "--discover", &listen];
    let mut worker = place.agent("worker-1", &credential);
    worker.wait_until_ready();
    operate(&place, &first, &listen);

    worker.signal(Signal::TERM);
    worker.ends_with(0);
    eventually("the worker is forgotten", || {
        let forgotten = first.ask(&["node", "forget", "worker-1", "-o", "json"]);
        (forgotten.code == 0).then(|| assert_eq!(forgotten.json()["forgotten"], true))
    });
    first.ask(&["node", "forget", "worker-1"]).ends_with(3);

    let left = second.ask(&["leave", "-o", "json"]).json();
    assert_eq!((&left["node"], &left["left"]), (&"control-2".into(), &true.into()));
    second.ends_with(0);
    wait_for_event(&first, "the second one has left", |event| event["event"] == "left");
    first.signal(Signal::INT);
    first.ends_with(0);
    assert!(!place.path("control-1.sock").exists());
}

/// What is asked of a cluster of two control nodes and a worker.
fn operate(place: &Place, first: &Agent<'_>, listen: &str) {
    let nodes = eventually("all nodes are hosted", || {
        let nodes = first.ask(&["node", "ls", "-o", "json"]).json();
        let hosted = nodes["nodes"].as_array()?.iter().filter(|node| node["worker"]["status"] == "ready");
        (hosted.count() == 3).then_some(nodes)
    });
    insta::assert_snapshot!("node_ls", format!("{:#}", redacted(&nodes)));
    insta::assert_snapshot!("status", format!("{:#}", redacted(&first.status())));
    let table = first.ask(&["node", "ls"]).ends_with(0).out;
    assert_eq!(table.lines().count(), 4, "{table}");
    let worker = first.ask(&["node", "describe", "worker-1", "-o", "json"]).json();
    assert_eq!((&worker["role"], &worker["error"]), (&"worker".into(), &Value::Null));
    first.ask(&["node", "describe", "nobody"]).ends_with(3);
    first.ask(&["remove", "nobody"]).ends_with(3);

    let published = first.ask(&["publish", "deploy", "version 7", "-o", "json"]).json();
    assert_eq!(published["payload_bytes"], 9);
    let user = wait_for_event(first, "what was published", |event| event["event"] == "user");
    assert_eq!((&user["name"], &user["payload"]), (&"deploy".into(), &"version 7".into()));
    let number = user["number"].as_u64().unwrap();
    assert!(events(first, &number.to_string()).iter().all(|event| event["number"].as_u64() > Some(number)));
    let one =
        first.ask(&["events", "--since", &(number - 1).to_string(), "--follow", "-n", "1"]).ends_with(0);
    assert!(one.out.contains("control-1: deploy version 7"), "{one:?}");
    let told = place.run(&["events", "--socket", "worker-1.sock"]).ends_with(0).out;
    assert!(told.contains("deploy"), "a worker hears of it as well: {told}");

    let remote = ["status", "--ready", "--address", listen, "--cluster", "media"];
    place.run(&[&remote[..], &["--secret-file", "secret"]].concat()).ends_with(0);
    let denied = place.run(&[&remote[..], &["--secret-file", "other"]].concat()).ends_with(5);
    assert!(denied.err.contains("secret"), "{denied:?}");
    place.run(&["nodes", "ls"]).ends_with(2);
    place.run(&["node", "ls", "--socket", "worker-1.sock"]).ends_with(1);
}

#[test]
fn nodes_are_joined_by_hand_and_one_that_is_removed_ends() {
    let place = Place::new();
    let first = place.agent("control-1", &[]);
    let mut second = place.agent("control-2", &[]);
    let listen = second.listen();
    first.wait_until_ready();
    let joined = first.ask(&["join", &listen, "-o", "json"]).json();
    assert_eq!(joined[0]["node"], "control-2", "{joined}");
    let sees_two = |agent: &Agent<'_>| agent.status()["members"].as_array().unwrap().len() == 2;
    eventually("both see both", || (sees_two(&first) && sees_two(&second)).then_some(()));
    let twice = first.ask(&["join", &first.listen()]).ends_with(4);
    assert!(twice.out.contains("itself"), "{twice:?}");

    assert_eq!(first.ask(&["remove", "control-2", "-o", "json"]).json()["removed"], true);
    second.ends_with(1);
    assert!(second.log().contains("removed"), "{}", second.log());
    wait_for_event(&first, "it was removed", |event| event["event"] == "removed");
}

#[test]
fn two_of_three_wait_say_why_and_give_up() {
    let place = Place::new();
    let expects = ["--expected-controls", "3", "--form-deadline", "6s"];
    let mut first = place.agent("control-1", &expects);
    let listen = first.listen();
    let mut second = place.agent("control-2", &[&expects[..], &["--discover", &listen]].concat());
    let explained = eventually("they see each other", || {
        let status = second.status();
        status["explanation"].as_str().filter(|words| words.contains("2 of 3")).map(str::to_owned)
    });
    assert!(explained.starts_with("forming"), "{explained}");
    first.ends_with(4);
    second.ends_with(4);
    assert!(first.log().lines().last().unwrap().contains("of 3 expected control nodes"), "{}", first.log());
}
