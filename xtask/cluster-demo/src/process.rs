//! The processes of the demo: started, fed, killed, counted.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use phalanx::Secret;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};

use crate::drivers::Drivers;
use crate::protocol::{Notice, Order};

/// Where a node finds the cluster's secret: not in its arguments, which everybody can read.
pub(crate) const SECRET_VARIABLE: &str = "PHALANX_DEMO_SECRET";

/// How long all nodes together may take to end in order.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a line that a node complains with is kept.
const COMPLAINT_CHARS_MAX: usize = 300;

/// Something a node has said, or that its output has ended.
pub(crate) struct Said {
    pub(crate) node: String,
    pub(crate) notice: Option<Notice>,
}

struct Process {
    child: Child,
    input: ChildStdin,
}

/// All processes that were started and not yet seen to end.
pub(crate) struct Processes {
    running: BTreeMap<String, Process>,
    said: mpsc::Sender<Said>,
    /// What the nodes complain about comes as what they say, since a screen is drawn where it would be printed.
    takes_complaints: bool,
}

/// What a node is started with.
pub(crate) struct Start<'a> {
    pub(crate) role: &'a str,
    pub(crate) name: &'a str,
    pub(crate) listen: &'a str,
    pub(crate) peers: &'a str,
    pub(crate) expected: usize,
    pub(crate) folder: &'a Path,
    pub(crate) secret: &'a Secret,
    pub(crate) drivers: &'a Drivers,
}

impl Processes {
    pub(crate) fn new(said: mpsc::Sender<Said>, takes_complaints: bool) -> Self {
        Self { running: BTreeMap::new(), said, takes_complaints }
    }

    /// Starts this program again, as a node.
    pub(crate) fn start(&mut self, start: &Start<'_>) -> std::io::Result<()> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["node", start.role, start.name, start.listen, start.peers])
            .arg(start.expected.to_string())
            .arg(start.folder.join(format!("{}.redb", start.name)))
            .arg(serde_json::to_string(start.drivers)?)
            .env(SECRET_VARIABLE, start.secret.expose())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if self.takes_complaints { Stdio::piped() } else { Stdio::inherit() })
            .kill_on_drop(true)
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(std::io::Error::other("a child was started without its pipes"));
        };
        if let Some(complaints) = child.stderr.take() {
            tokio::spawn(pass_on(complaints, self.said.clone(), start.name.to_owned()));
        }
        let (said, node) = (self.said.clone(), start.name.to_owned());
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(notice) = serde_json::from_str(&line) {
                    let _ = said.send(Said { node: node.clone(), notice: Some(notice) }).await;
                }
            }
            let _ = said.send(Said { node, notice: None }).await;
        });
        self.running.insert(start.name.to_owned(), Process { child, input });
        Ok(())
    }

    /// Tells a node something. One that does not run hears nothing, and the end of its output tells so.
    pub(crate) async fn order(&mut self, node: &str, order: &Order) -> std::io::Result<()> {
        let Some(process) = self.running.get_mut(node) else { return Ok(()) };
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        match process.input.write_all(line.as_bytes()).await {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    /// `kill -9`: the process gets no chance to say good-bye.
    pub(crate) async fn kill(&mut self, node: &str) -> std::io::Result<()> {
        match self.running.remove(node) {
            Some(mut process) => process.child.kill().await,
            None => Ok(()),
        }
    }

    /// Stops a process where it is, or lets it go on: it notices nothing but the time that has passed.
    ///
    /// # Errors
    /// The system has no such signals, or the process is gone.
    pub(crate) fn freeze(&self, node: &str, is_frozen: bool) -> std::io::Result<()> {
        let process = self.id(node).ok_or_else(|| std::io::Error::other(format!("{node} does not run")))?;
        signal(process, is_frozen)
    }

    /// The number of a process that runs, for the system.
    pub(crate) fn id(&self, node: &str) -> Option<u32> {
        self.running.get(node).and_then(|process| process.child.id())
    }

    /// Takes note that a process has ended by itself. Says whether it ended in order.
    pub(crate) async fn reap(&mut self, node: &str) -> bool {
        let Some(mut process) = self.running.remove(node) else { return false };
        // Its output has ended, so it ends too; one that does not is killed when it is dropped.
        let ended = timeout(STOP_TIMEOUT, process.child.wait()).await;
        matches!(ended, Ok(Ok(status)) if status.success())
    }

    /// The sum of the resident memory of all nodes and of this process, in bytes; 0 where the system does not tell.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let ids = self.running.values().filter_map(|process| process.child.id());
        ids.chain([std::process::id()]).map(resident_bytes_of).sum()
    }

    /// Ends every process in order, and kills those that do not end. Returns how many are left all the same.
    pub(crate) async fn stop(&mut self) -> usize {
        let names: Vec<String> = self.running.keys().cloned().collect();
        for name in &names {
            let _ = self.order(name, &Order::Stop).await;
        }
        let mut left = 0;
        let until = tokio::time::Instant::now() + STOP_TIMEOUT;
        for (_, Process { mut child, input }) in std::mem::take(&mut self.running) {
            drop(input);
            if timeout_at(until, child.wait()).await.is_err() && child.kill().await.is_err() {
                left += 1;
            }
        }
        left
    }
}

#[cfg(unix)]
fn signal(process: u32, is_frozen: bool) -> std::io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    let process =
        process.ok_or_else(|| std::io::Error::other("the system gave a number out of its range"))?;
    Ok(kill_process(process, if is_frozen { Signal::STOP } else { Signal::CONT })?)
}

#[cfg(not(unix))]
fn signal(_: u32, _: bool) -> std::io::Result<()> {
    Err(std::io::Error::other("this system cannot stop a process and let it go on"))
}

/// Gives the parent what a node writes to its standard error.
async fn pass_on(complaints: ChildStderr, said: mpsc::Sender<Said>, node: String) {
    let mut lines = BufReader::new(complaints).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let line = line.chars().take(COMPLAINT_CHARS_MAX).collect();
        let _ = said.send(Said { node: node.clone(), notice: Some(Notice::Complained { line }) }).await;
    }
}

fn resident_bytes_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024
}
