//! Programs at a worker: run as if they were here, and as tasks.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::agents::{Place, Said, eventually};
use crate::workers::{Cluster, at_control};

fn exec(place: &Place, program: &[&str]) -> Said {
    place.run(&at_control(&["exec", "worker-1"], program))
}

#[test]
fn a_program_runs_there_as_if_it_ran_here() {
    let place = Place::new();
    let cluster = Cluster::start(&place);
    let said = exec(&place, &["sh", "-c", "echo out; echo err >&2; exit 7"]).ends_with(7);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("out\n", "err\n"));
    exec(&place, &["sh", "-c", "kill -TERM $$"]).ends_with(143);
    exec(&place, &["sh", "-c", "exit 0"]).ends_with(0);
    let given = ["exec", "worker-1", "--env", "A=b c", "--dir", place.path("work").to_str().unwrap()]
        .map(str::to_owned);
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let said = place.run(&at_control(&given, &["sh", "-c", "echo \"$A\"; pwd"])).ends_with(0);
    assert_eq!(said.out, format!("b c\n{}\n", place.path("work").canonicalize().unwrap().display()));

    let denied = exec(&place, &["rm", "-r", "x"]).ends_with(255);
    assert!(denied.err.contains("policy does not allow the program \"rm\""), "{denied:?}");
    let nobody = place.run(&at_control(&["exec", "nobody"], &["sh"])).ends_with(255);
    assert!(nobody.err.contains("no control node knows this worker"), "{nobody:?}");
    let remote =
        ["exec", "worker-1", "--address", &cluster.listen, "--cluster", "media", "--secret-file", "secret"];
    let remote = [&remote[..], &["--", "sh", "-c", "echo far; exit 3"]].concat();
    assert_eq!(place.run(&remote).ends_with(3).out, "far\n");
    let told = place
        .run(&at_control(&["exec", "worker-1", "-o", "json"], &["sh", "-c", "echo a; exit 2"]))
        .ends_with(2);
    let lines: Vec<Value> = told.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["text"], &lines[0]["stream"]), (&"a\n".into(), &"stdout".into()), "{told:?}");
    assert_eq!(lines.last().unwrap()["exit"]["code"], 2);
}

#[test]
fn what_is_written_here_is_read_there() {
    let place = Place::new();
    let _cluster = Cluster::start(&place);
    let text: String = (0..40_000).map(|number| format!("{number} bottles\n")).collect();
    fs::write(place.path("input"), &text).unwrap();
    let input = File::open(place.path("input")).unwrap();
    let said = place.start(&at_control(&["exec", "worker-1"], &["cat"]), input.into()).end().ends_with(0);
    assert_eq!(said.out.len(), text.len());
    assert!(said.out == text, "the same, in the same order");
    let mut open = place.start(&at_control(&["exec", "worker-1"], &["cat"]), Stdio::piped());
    let mut input = open.child().stdin.take().unwrap();
    let mut output = BufReader::new(open.child().stdout.take().unwrap());
    for line in ["one\n", "two\n"] {
        input.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        output.read_line(&mut answer).unwrap();
        assert_eq!(answer, line, "it comes back while the input is open");
    }
    drop(input);
    open.end().ends_with(0);
}

#[test]
fn signals_go_to_the_program_and_a_lost_link_has_a_code() {
    let place = Place::new();
    let mut cluster = Cluster::start(&place);
    let script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done";
    let mut running =
        place.start(&at_control(&["exec", "-n", "worker-1"], &["sh", "-c", script]), Stdio::null());
    let mut output = BufReader::new(running.child().stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    running.signal(Signal::INT);
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), running.end().code), ("caught\n", 9));

    let script = "trap 'echo deaf' INT; echo ready; while :; do sleep 0.1; done";
    let mut running =
        place.start(&at_control(&["exec", "-n", "worker-1"], &["sh", "-c", script]), Stdio::null());
    let mut output = BufReader::new(running.child().stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    running.signal(Signal::INT);
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\ndeaf\n");
    running.signal(Signal::INT);
    running.end().ends_with(130);
    eventually("the second one ends it there too", || {
        (cluster.ask(&["task", "ls", "-o", "json"]).json()["tasks"].as_array()?.is_empty()).then_some(())
    });

    let mut running = place.start(
        &at_control(&["exec", "-n", "worker-1"], &["sh", "-c", "echo ready; sleep 60"]),
        Stdio::null(),
    );
    let mut line = String::new();
    BufReader::new(running.child().stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    cluster.control.signal(Signal::KILL);
    cluster.control.end();
    let lost = running.end().ends_with(255);
    assert!(lost.err.contains("may still run"), "{lost:?}");
}

#[test]
fn a_program_is_a_task_with_a_log() {
    let place = Place::new();
    let cluster = Cluster::start(&place);
    let script = "echo first; while [ ! -e go ]; do sleep 0.05; done; echo last; exit 4";
    let run = at_control(&["task", "run", "worker-1"], &["sh", "-c", script]);
    let name = place.run(&run).ends_with(0).out.trim().to_owned();
    assert!(name.starts_with("worker-1/control-1@"), "{name}");
    let listed = cluster.ask(&["task", "ls", "-o", "json"]).json();
    assert_eq!(listed["tasks"][0]["task"], name.as_str(), "{listed}");
    let number = name.rsplit('#').next().unwrap();
    eventually("its first line", || {
        (cluster.ask(&["task", "logs", number]).ends_with(0).out == "first\n").then_some(())
    });

    let following = place.start(&at_control(&["task", "logs", "-f", &name], &[]), Stdio::null());
    fs::write(place.path("work/go"), "").unwrap();
    let said = following.end().ends_with(0);
    assert_eq!(said.out, "first\nlast\n");
    assert!(said.err.contains("exit code 4"), "{said:?}");
    let since = cluster.ask(&["task", "logs", &name, "--since", "6"]).ends_with(0);
    assert_eq!(since.out, "last\n", "a log outlives its task");
    cluster.ask(&["task", "logs", "worker-1/none"]).ends_with(3);

    let chosen =
        at_control(&["task", "run", "--where", "group=a", "--follow"], &["sh", "-c", "echo here; exit 5"]);
    let said = place.run(&chosen).ends_with(5);
    assert_eq!(said.out, "here\n");
    let never = place.run(&at_control(&["task", "run", "--where", "gpu"], &["sh"])).ends_with(3);
    assert!(never.err.contains("lack gpu") || never.err.contains("lacks gpu"), "{never:?}");
    let explained = cluster.ask(&["task", "explain", "--where", "group=a", "-o", "json"]).json();
    assert_eq!(explained["chosen"], "worker-1", "{explained}");
    let words = explained["workers"][1]["words"].as_str().unwrap();
    assert!(
        explained["workers"][1]["node"] == "control-1" && words.contains("lacks class process"),
        "{explained}"
    );
    place.run(&at_control(&["task", "run"], &["sh"])).ends_with(2);
}

#[test]
fn a_task_is_told_things_described_and_ended() {
    let place = Place::new();
    let cluster = Cluster::start(&place);
    let run = |program: &[&str]| {
        place
            .run(&at_control(&["task", "run", "worker-1", "--stdin"], program))
            .ends_with(0)
            .out
            .trim()
            .to_owned()
    };
    let cat = run(&["cat"]);
    cluster.ask(&["task", "write", &cat, "a line"]).ends_with(0);
    eventually("it comes back", || {
        (cluster.ask(&["task", "logs", &cat]).ends_with(0).out == "a line\n").then_some(())
    });
    let described = cluster.ask(&["task", "describe", &cat, "-o", "json"]).json();
    assert_eq!(
        (&described["state"], &described["class"]),
        (&"running".into(), &"process/1".into()),
        "{described}"
    );
    cluster.ask(&["task", "write", &cat, "--close"]).ends_with(0);
    eventually("the end of its input ends it", || {
        let described = cluster.ask(&["task", "describe", &cat, "-o", "json"]).json();
        (described["state"] == "succeeded").then_some(())
    });

    let sleeping = run(&["sleep", "1000"]);
    cluster.ask(&["task", "signal", &sleeping, "no-such"]).ends_with(2);
    cluster.ask(&["task", "signal", &sleeping, "TERM"]).ends_with(0);
    let said = place.run(&at_control(&["task", "logs", "-f", &sleeping], &[])).ends_with(0);
    assert!(said.err.contains("signal 15"), "{said:?}");
    let stopped = run(&["sleep", "1000"]);
    let said = cluster.ask(&["task", "stop", &stopped, "-o", "json"]).json();
    assert_eq!((&said["task"], &said["state"]), (&stopped.as_str().into(), &"succeeded".into()), "{said}");
    let killed = run(&["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]);
    let said = cluster.ask(&["task", "kill", &killed, "-o", "json"]).json();
    assert_eq!(said["state"], "killed", "{said}");
    assert_eq!(cluster.ask(&["task", "ls", "-o", "json"]).json()["tasks"], serde_json::json!([]));
    let all = cluster.ask(&["task", "ls", "--all", "-o", "json"]).json();
    assert_eq!(all["tasks"].as_array().unwrap().len(), 4, "{all}");
    cluster.ask(&["task", "describe", "worker-1/control-1@1#1"]).ends_with(3);
}

#[test]
fn a_program_that_is_kept_outlives_its_agent() {
    let place = Place::new();
    let mut cluster = Cluster::start(&place);
    let script = "echo first; while [ ! -e go ]; do sleep 0.05; done; echo last; exit 6";
    let run = at_control(&["task", "run", "worker-1", "--keep"], &["sh", "-c", script]);
    let name = place.run(&run).ends_with(0).out.trim().to_owned();
    cluster.restart_worker(&place);
    let listed = cluster.ask(&["task", "ls", "-o", "json"]).json();
    assert_eq!(
        (&listed["tasks"][0]["task"], &listed["tasks"][0]["state"]),
        (&name.as_str().into(), &"running".into())
    );
    fs::write(place.path("work/go"), "").unwrap();
    let said = place.run(&at_control(&["task", "logs", "-f", &name], &[])).ends_with(0);
    assert_eq!(said.out, "first\nlast\n");
    assert!(said.err.contains("exit code 6"), "{said:?}");
}

/// Follows a log that is larger than what is kept of it.
#[test]
fn what_a_log_has_lost_is_told() {
    let place = Place::new();
    let _cluster = Cluster::start(&place);
    let script = "i=0; while [ $i -lt 200 ]; do head -c 65536 /dev/zero; i=$((i+1)); done";
    let name = place.run(&at_control(&["task", "run", "worker-1"], &["sh", "-c", script])).ends_with(0).out;
    let all = at_control(&["task", "logs", "-f", "-o", "json", name.trim()], &[]);
    place.run(&all).ends_with(0);
    let said = place.run(&at_control(&["task", "logs", name.trim()], &[])).ends_with(0);
    assert!(said.err.contains("are not in the log any more"), "{}", said.err);
    assert!(said.out.len() > 1 << 20, "{}", said.out.len());
}
