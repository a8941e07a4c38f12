//! One `phalanx agent` in a namespace, and the operator who asks it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::de::DeserializeOwned;

use crate::net::Host;
use crate::seen::{Event, Listing, Status};

/// How long an operator waits for one answer, in seconds, before the program counts as hanging.
const ANSWER_SECONDS: &str = "15";

/// How many lines of its log a failure shows.
const LINES_SHOWN: usize = 12;

/// The role of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Control,
    Worker,
}

/// A running node. It is killed when dropped, and by the kernel when the test is.
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) host: Host,
    program: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    process: Child,
}

/// What the configurations of all nodes have in common.
pub(crate) struct Setting {
    pub(crate) program: PathBuf,
    pub(crate) folder: PathBuf,
    /// Where all control nodes are, or will be.
    pub(crate) peers: String,
    pub(crate) expected_controls: usize,
    /// The one transport over which nodes dial each other; `None` for any.
    pub(crate) transport: Option<String>,
}

impl Setting {
    /// Makes the secret in the folder.
    pub(crate) fn new(program: PathBuf, folder: &Path) -> Self {
        let secret = Command::new(&program).args(["secret", "generate"]).output().unwrap();
        assert!(secret.status.success(), "{}", String::from_utf8_lossy(&secret.stderr));
        let path = folder.join("secret");
        fs::write(&path, secret.stdout).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Self {
            program,
            folder: folder.to_owned(),
            peers: String::new(),
            expected_controls: 1,
            transport: None,
        }
    }
}

impl Agent {
    /// Starts a node on a host.
    pub(crate) fn start(setting: &Setting, name: &str, role: Role, host: Host) -> Self {
        let path = |end: &str| setting.folder.join(format!("{name}{end}"));
        let mut lines = vec![
            "cluster = \"namespaces\"".to_owned(),
            format!("node = \"{name}\""),
            format!("listen = \"{}:7000\"", host.ip),
            format!("discover = [\"phalanx://{}\"]", setting.peers),
            format!("secret-file = {:?}", setting.folder.join("secret")),
            format!("data-dir = {:?}", path("")),
            format!("socket = {:?}", path(".sock")),
            "preset = \"lan\"".to_owned(),
        ];
        match role {
            Role::Control => lines.extend([
                "role = \"control\"".to_owned(),
                format!("expected-controls = {}", setting.expected_controls),
                "form-deadline = \"10m\"".to_owned(),
            ]),
            Role::Worker => lines.push("role = \"worker\"".to_owned()),
        }
        if let (Role::Control, Some(transport)) = (role, &setting.transport) {
            lines.push(format!("advertise = [\"phalanx://{}:7000;transport={transport}\"]", host.ip));
        }
        fs::write(path(".toml"), lines.join("\n")).unwrap();
        let log = File::create(path(".log")).unwrap();
        // Each of these becomes the next one, so that the process is the node's own.
        let process = command("ip")
            .args(["netns", "exec", &host.namespace, "setpriv", "--pdeathsig", "KILL"])
            .arg(&setting.program)
            .args(["agent", "--config"])
            .arg(path(".toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let (name, program) = (name.to_owned(), setting.program.clone());
        Self { socket: path(".sock"), log: path(".log"), name, role, host, program, process }
    }

    /// Asks it; `None` where it does not answer.
    fn ask<T: DeserializeOwned>(&self, question: &[&str]) -> Option<T> {
        let said = self.say(question)?;
        let answer = serde_json::from_str(&said);
        Some(
            answer
                .unwrap_or_else(|error| panic!("{}: {question:?} is answered by {said}: {error}", self.name)),
        )
    }

    fn say(&self, question: &[&str]) -> Option<String> {
        let mut command = command("timeout");
        command.arg(ANSWER_SECONDS).arg(&self.program).args(question).args(["-o", "json", "--socket"]);
        let output = command.arg(&self.socket).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        // A list with something missing is printed, and is a failure.
        (!said.is_empty() || output.status.success()).then_some(said)
    }

    /// How it is.
    pub(crate) fn status(&self) -> Option<Status> {
        self.ask(&["status"])
    }

    /// Every node of the cluster.
    pub(crate) fn listing(&self) -> Option<Listing> {
        self.ask(&["node", "ls"])
    }

    /// What it has seen happen since the event of this number.
    pub(crate) fn events(&self, since: u64) -> Vec<Event> {
        let said = self.say(&["events", "--since", &since.to_string()]).unwrap_or_default();
        let events = said.lines().map(serde_json::from_str);
        events.map(|event| event.unwrap_or_else(|error| panic!("{}: {said}: {error}", self.name))).collect()
    }

    /// Whether the process is still the one that was started.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// The end of its log.
    pub(crate) fn last_lines(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }
}

/// A command in an environment in which no configuration is, but for what to log.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let kept = ["PATH", "PHALANX_LOG"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().env("NO_COLOR", "1").envs(kept);
    command
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
