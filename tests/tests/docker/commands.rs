//! The program `phalanx`: its agent's configuration of containers, and its commands about them.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tests::program;

use crate::archive::{IMAGE, archive, image};
use crate::daemon::{Daemon, kill};

/// How long anything may take on a busy machine: a minute.
const LOOKS_MAX: u32 = 1_200;
const PAUSE: Duration = Duration::from_millis(50);

/// The only worker.
const WORKER: &str = "worker-1";

const POLICY: &str = r#"
cluster = "media"
role = "worker"
node = "worker-1"
worker-credential-file = "worker"

[drivers.docker]
socket = "SOCKET"
images = ["busybox"]
archive-bytes-max = "64MiB"
exec = true
kept-max = 1
memory-max = "64MiB"
"#;

/// What a command has said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    fn json(self) -> Value {
        serde_json::from_str(&self.ends_with(0).out).unwrap()
    }
}

/// A control node and a worker, as processes, which end with this value.
struct Agents {
    folder: TempDir,
    processes: Vec<Child>,
}

impl Drop for Agents {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Agents {
    fn start(daemon: &Daemon) -> Self {
        let mut agents = Self { folder: tempfile::tempdir().unwrap(), processes: Vec::new() };
        agents.write("secret", &agents.run(&["secret", "generate"]).ends_with(0).out);
        agents.write("worker", &agents.run(&["secret", "generate", "--worker", "secret"]).ends_with(0).out);
        agents.write("worker.toml", &POLICY.replace("SOCKET", daemon.socket().to_str().unwrap()));
        agents.agent("c.sock", &["--cluster", "media", "--node", "control-1", "--secret-file", "secret"]);
        let status = agents.ask(&["status", "-o", "json"]).json();
        let listen = status["listen"].as_str().unwrap().to_owned();
        agents.agent("w.sock", &["--config", "worker.toml", "--discover", &listen]);
        let nodes = agents.ask(&["node", "ls", "-o", "json"]).json();
        assert!(nodes["nodes"].to_string().contains(WORKER), "{nodes}");
        agents
    }

    fn write(&self, name: &str, text: &str) {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(self.folder.path().join(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PHALANX_")) {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Starts an agent, and waits until it serves.
    fn agent(&mut self, socket: &str, arguments: &[&str]) {
        let mut command = self.command(&["agent", "--preset", "local", "--listen", "127.0.0.1:0"]);
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        command.args(["--socket", socket]).args(arguments).stdout(Stdio::null()).stderr(log);
        self.processes.push(command.spawn().unwrap());
        let ready = self.run(&["status", "--wait", "60s", "--socket", socket]);
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
        assert_eq!(ready.code, Some(0), "{ready:?} (it must be built with --features docker): {log}");
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Asks the control node.
    fn ask(&self, arguments: &[&str]) -> Said {
        self.run(&[arguments, &["--socket", "c.sock"]].concat())
    }

    /// Runs a shell with this script in a container at the worker.
    fn shell(&self, more: &[&str], script: &str) -> Said {
        self.run(&shell(more, script))
    }

    fn containers(&self) -> Vec<Value> {
        let listed = self.ask(&["docker", "ps", "-o", "json"]).json();
        listed["containers"].as_array().unwrap().clone()
    }
}

fn shell<'a>(more: &[&'a str], script: &'a str) -> Vec<&'a str> {
    let run = ["docker", "run", WORKER, IMAGE, "--socket", "c.sock"];
    [&run[..], more, &["--", "sh", "-c", script]].concat()
}

/// Waits until something is so.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("not in time: {what}");
}

/// Daemon, agents, and the image.
async fn stage() -> (Daemon, Agents) {
    let daemon = Daemon::start().await;
    let agents = Agents::start(&daemon);
    fs::write(agents.folder.path().join("image.tar"), archive(&image("first"), &[IMAGE])).unwrap();
    let loaded = agents.ask(&["docker", "load", WORKER, "image.tar"]).ends_with(0);
    assert_eq!(loaded.out, format!("docker.io/library/{IMAGE}\n"));
    (daemon, agents)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_there_as_if_it_ran_here() {
    let (_daemon, agents) = stage().await;
    let images = agents.ask(&["docker", "images", WORKER, "-o", "json"]).json();
    assert_eq!(images[0]["image"], format!("docker.io/library/{IMAGE}"), "{images}");

    let said = agents.shell(&["--env", "A=b c"], "echo out $A; echo err >&2; exit 7").ends_with(7);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("out b c\n", "err\n"));
    let told = agents.shell(&["-o", "json"], "echo a; exit 2").ends_with(2);
    let lines: Vec<Value> = told.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["text"], &lines[1]["exit"]["code"]), (&"a\n".into(), &2.into()), "{told:?}");
    let large = agents.shell(&[], "yes | head -c 8000000").ends_with(0);
    assert_eq!(large.out.len(), 8_000_000, "it waits for its reader: {}", large.err);
    assert_eq!(large.err, "");

    let other = agents.ask(&["docker", "run", WORKER, "alpine"]).ends_with(255);
    assert!(other.err.contains("does not allow the image"), "{other:?}");
    for (flag, word) in
        [("--privileged", "privileged"), ("--network=host", "host"), ("--mount=/:/m", "folder")]
    {
        let refused = agents.shell(&[flag], "true").ends_with(255);
        assert!(refused.err.contains(word), "{refused:?}");
    }
    let pulled = agents.ask(&["docker", "pull", WORKER, "busybox:none"]).ends_with(1);
    assert!(pulled.err.contains("to pull images"), "{pulled:?}");
    let absent = agents.ask(&["docker", "run", WORKER, "busybox:none", "--pull", "never"]).ends_with(255);
    assert!(absent.err.contains("there is no image"), "{absent:?}");

    let script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done";
    let mut running = agents.command(&shell(&[], script)).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(running.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    kill("INT", running.id());
    output.read_to_string(&mut line).unwrap();
    assert_eq!((line.as_str(), running.wait().unwrap().code()), ("ready\ncaught\n", Some(9)));
    assert_eq!(agents.containers(), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_a_task_that_is_looked_after() {
    let (daemon, agents) = stage().await;
    let script = "trap 'echo ended; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let name = agents.shell(&["--detach"], script).ends_with(0).out.trim().to_owned();
    let listed = agents.containers();
    assert_eq!(
        (&listed[0]["task"], &listed[0]["state"]),
        (&name.as_str().into(), &"running".into()),
        "{listed:?}"
    );
    eventually("its first line", || {
        (agents.ask(&["docker", "logs", &name]).ends_with(0).out == "ready\n").then_some(())
    });
    let inside = ["docker", "exec", &name, "--socket", "c.sock", "--", "sh", "-c", "cat /mark; exit 3"];
    assert_eq!(agents.run(&inside).ends_with(3).out, "first");
    let stats = agents.ask(&["docker", "stats", "-o", "json"]).json();
    assert_eq!(
        (&stats[0]["task"], &stats[0]["memory_bytes_max"]),
        (&name.as_str().into(), &(64 << 20).into()),
        "{stats}"
    );
    let stopped = agents.ask(&["docker", "stop", &name, "-o", "json"]).json();
    assert_eq!(stopped["state"], "succeeded", "{stopped}");
    let logs = agents.ask(&["docker", "logs", "-f", &name]).ends_with(0);
    assert!(logs.out == "ready\nended\n" && logs.err.contains("exit code 5"), "{logs:?}");
    agents.ask(&["docker", "exec", &name, "--", "true"]).ends_with(255);

    let kept = agents.shell(&["--keep"], "exit 4").ends_with(4);
    assert!(kept.err.contains("is kept"), "{kept:?}");
    let listed = agents.containers();
    assert_eq!(listed[0]["state"], "kept", "{listed:?}");
    let id = &listed[0]["container"].as_str().unwrap()[..12];
    agents.ask(&["docker", "rm", WORKER, "zzz"]).ends_with(3);
    agents.ask(&["docker", "rm", WORKER, id]).ends_with(0);
    assert_eq!((agents.containers(), daemon.containers()), (vec![], vec![]));
}

const JOB: &str = r#"
name = "web"
count = 1
restart = { restarts-max = 1, pause-initial = "100ms" }

[docker]
image = "busybox:test"
command = ["sh", "-c", "echo no paper; exit 7"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_containers_is_restarted_when_they_fail_and_stays_when_they_run() {
    let (daemon, agents) = stage().await;
    agents.write("web.toml", JOB);
    agents.ask(&["job", "apply", "web.toml"]).ends_with(0);
    let described = || agents.ask(&["job", "describe", "web", "-o", "json"]).json();
    let failed = eventually("it stays failed", || {
        let instance = described()["instances"].get(0).cloned()?;
        (instance["state"] == "failed").then_some(instance)
    });
    assert_eq!(failed["attempt"], 2, "{failed}");
    let ended = failed["ended"].to_string();
    assert!(ended.contains("no paper") && ended.contains("exit code 7"), "{failed}");

    agents.ask(&["job", "rm", "web", "--wait=60s"]).ends_with(0);

    agents.write("web.toml", &JOB.replace("exit 7", "exec sleep 1000"));
    agents.ask(&["job", "apply", "web.toml", "--wait=60s"]).ends_with(0);
    // The instance runs once its task does, which makes the container.
    eventually("its container runs", || (daemon.containers().len() == 1).then_some(()));
    agents.ask(&["job", "rm", "web", "--wait=60s"]).ends_with(0);
    eventually("nothing is left", || daemon.containers().is_empty().then_some(()));
}
