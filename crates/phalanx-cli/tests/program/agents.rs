//! Agents as child processes, and commands with what they say.

use std::fs::{self, File};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until something is so.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let tries = PATIENCE.as_millis() / PAUSE.as_millis();
    for _ in 0..tries {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("not within {PATIENCE:?}: {what}");
}

/// What a command has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).expect(&self.out)
    }

    /// Panics unless the command has ended with this code.
    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// A folder with a cluster's secret in it, in which agents run.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        for (file, arguments) in [("secret", &["secret", "generate"][..]), ("other", &["secret", "generate"])]
        {
            place.write_secret(file, arguments);
        }
        let secret = place.path("secret");
        place.write_secret("worker", &["secret", "generate", "--worker", secret.to_str().unwrap()]);
        place
    }

    fn write_secret(&self, file: &str, arguments: &[&str]) {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let text = self.run(arguments).ends_with(0).out;
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).mode(0o600);
        options.open(self.path(file)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, in an environment without anything of ours.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phalanx"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PHALANX_")) {
            command.env_remove(name);
        }
        command.env("XDG_RUNTIME_DIR", self.path("run")).env_remove("NOTIFY_SOCKET");
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    /// Runs a command with a variable.
    pub(crate) fn run_with(&self, variable: (&str, &str), arguments: &[&str]) -> Said {
        said(self.command(arguments).env(variable.0, variable.1))
    }

    /// Starts a command, and lets it run.
    pub(crate) fn start(&self, arguments: &[&str], input: Stdio) -> Running {
        self.start_at(arguments, input, Stdio::piped(), Stdio::piped())
    }

    /// The same with its output elsewhere.
    pub(crate) fn start_at(&self, arguments: &[&str], input: Stdio, output: Stdio, errors: Stdio) -> Running {
        let mut command = self.command(arguments);
        let child = command.stdin(input).stdout(output).stderr(errors).spawn().unwrap();
        Running { child: Some(child) }
    }

    /// Starts the agent of a node on a free port of the loopback.
    pub(crate) fn agent(&self, node: &str, arguments: &[&str]) -> Agent<'_> {
        self.agent_told(node, arguments, None)
    }

    /// Starts an agent that tells a service manager how it is.
    pub(crate) fn agent_told(&self, node: &str, arguments: &[&str], manager: Option<&Path>) -> Agent<'_> {
        let (socket, data) = (format!("{node}.sock"), format!("{node}.data"));
        let fixed =
            ["agent", "--node", node, "--socket", &socket, "--data-dir", &data, "--listen", "127.0.0.1:0"];
        let of_cluster = ["--cluster", "media", "--preset", "local", "--log", "info,phalanx=debug"];
        let mut command = self.command(&fixed);
        if !arguments.contains(&"worker") {
            command.args(["--secret-file", "secret"]);
        }
        if let Some(manager) = manager {
            command.env("NOTIFY_SOCKET", manager);
        }
        let log = File::create(self.path(&format!("{node}.log"))).unwrap();
        let child =
            command.args(of_cluster).args(arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Agent { place: self, node: node.to_owned(), child }
    }
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A command that runs; it is killed when this is dropped.
pub(crate) struct Running {
    child: Option<Child>,
}

impl Running {
    pub(crate) fn child(&mut self) -> &mut Child {
        self.child.as_mut().unwrap()
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        kill_process(Pid::from_child(self.child()), signal).unwrap();
    }

    /// Waits for its end, and for what it has said that nobody has read before.
    pub(crate) fn end(mut self) -> Said {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // One that has ended already cannot be killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An agent; it is killed when this is dropped.
pub(crate) struct Agent<'a> {
    place: &'a Place,
    node: String,
    child: Child,
}

impl Agent<'_> {
    /// Asks the agent something.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Said {
        let socket = format!("{}.sock", self.node);
        self.place.run(&[arguments, &["--socket", &socket]].concat())
    }

    /// Its status, once it answers.
    pub(crate) fn status(&self) -> Value {
        eventually(&format!("{} answers; its log: {}", self.node, self.log()), || {
            let said = self.ask(&["status", "-o", "json"]);
            (said.code == 0).then(|| said.json())
        })
    }

    /// Waits until it serves.
    pub(crate) fn wait_until_ready(&self) {
        let said = self.ask(&["status", "--wait", "30s"]);
        assert_eq!(said.code, 0, "{said:?}; its log: {}", self.log());
    }

    /// Where its node listens.
    pub(crate) fn listen(&self) -> String {
        self.status()["listen"].as_str().unwrap().to_owned()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.place.path(&format!("{}.log", self.node))).unwrap_or_default()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the process has ended.
    pub(crate) fn end(&mut self) -> ExitStatus {
        eventually(&format!("the end of {}", self.node), || self.child.try_wait().unwrap())
    }

    /// Waits until the process has ended, and panics unless with this code.
    pub(crate) fn ends_with(&mut self, code: i32) {
        let status = self.end();
        assert_eq!(status.code(), Some(code), "{}: {}", self.node, self.log());
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the log of {} ----\n{}", self.node, self.log());
        }
        // One that has ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of the loopback at which nobody listens, and nobody will: its socket is held without being read.
pub(crate) fn silent_address() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}
