//! A process that is measured: it says a line when it is ready, answers each order with one, and ends with its input.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use crate::Failure;
use crate::order::{Figures, Order};

/// How long a process may take to be ready: Erlang starts, nodes find each other.
const READY_MAX: Duration = Duration::from_secs(60);

/// How long one order may take: the longest one sends ten thousand files one by one.
const ANSWER_MAX: Duration = Duration::from_secs(300);

/// How many lines wait to be read. One is the rule.
const LINES_WAITING_MAX: usize = 16;

/// How the kernel counts time on a core for `/proc`: in hundredths of a second on every architecture of ours.
const TICK_US: f64 = 10_000.0;

/// A process of ours, or one that talks alike.
pub(crate) struct Helper {
    child: Child,
    /// Open for as long as the process shall live.
    input: ChildStdin,
    lines: Receiver<String>,
    /// What it has said when it was ready.
    pub(crate) greeting: String,
}

impl Helper {
    /// This program in another role; `arguments` are told to it.
    pub(crate) fn role(role: &str, arguments: &[&str]) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--role", role]).args(arguments);
        Self::start(&mut command)
    }

    /// Starts a process and waits until it is ready.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let name = command.get_program().to_string_lossy().into_owned();
        let role = command.get_args().nth(1).map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("{name} has no input or no output").into());
        };
        let (sender, lines) = sync_channel(LINES_WAITING_MAX);
        std::thread::spawn(move || {
            // It ends with the output of the process, or when nobody listens any more.
            let _ =
                BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
        });
        let mut helper = Self { child, input, lines, greeting: String::new() };
        helper.greeting =
            helper.line(READY_MAX).map_err(|error| format!("{name} {role} is not ready: {error}"))?;
        Ok(helper)
    }

    /// Gives an order, and waits for what came of it. Calls that fail are an error: who answers with errors is fast.
    pub(crate) fn ask(&mut self, order: &Order) -> Result<Figures, Failure> {
        self.tell(order)?;
        let figures = self.answer()?;
        if figures.failed > 0.0 {
            let all = figures.calls + figures.failed;
            return Err(format!("{} of {all} calls failed", figures.failed).into());
        }
        Ok(figures)
    }

    /// Gives an order without waiting for what comes of it.
    pub(crate) fn tell(&mut self, order: &Order) -> Result<(), Failure> {
        Ok(writeln!(self.input, "{order}")?)
    }

    /// What has come of an order that was told.
    pub(crate) fn answer(&self) -> Result<Figures, Failure> {
        self.line(ANSWER_MAX)?.parse()
    }

    fn line(&self, longest: Duration) -> Result<String, Failure> {
        self.lines.recv_timeout(longest).map_err(|_| "it has ended, or takes too long".into())
    }

    /// How much memory is its own, in bytes: what it shares with a file is not.
    pub(crate) fn memory_bytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() * 1024.0
    }

    /// How much time on a core it has had so far, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        // Behind the name, which ends with the last bracket, user and system time are fields 12 and 13.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() * TICK_US
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and needs not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server of somebody else's, which says nothing that we read.
pub(crate) struct Silent(Child);

impl Silent {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(silent.spawn()?))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
