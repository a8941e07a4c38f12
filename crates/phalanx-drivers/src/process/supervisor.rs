//! The worker's end of a supervisor: starts it, talks to it, and lets it kill its program when the task is dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::folders::ABANDONED;
use super::policy::PolicyError;
use super::protocol::{Begin, Order, Told, encode, take};
use super::{launch, supervise};

/// The program of whoever opens this, even after its file was replaced or removed.
pub(super) const OWN_PROGRAM: &str = "/proc/self/exe";

/// The first argument of a process that is to supervise, and of one that is to become a program.
const SUPERVISE: &str = "--phalanx-supervise";
pub(super) const LAUNCH: &str = "--phalanx-launch";

/// Whether this process has come through [`supervise_if_asked`].
static SUPERVISES: AtomicBool = AtomicBool::new(false);

/// Makes the program that calls it able to supervise: call it first in `main`, before a runtime or a thread starts.
///
/// A worker starts a small process for each program that it runs, and that is another process of its own program with an
/// argument that only this function knows. In such a process it does that work and never returns; in any other it
/// returns at once.
pub fn supervise_if_asked() {
    let code = match std::env::args_os().nth(1) {
        Some(argument) if argument == SUPERVISE => supervise::run(),
        Some(argument) if argument == LAUNCH => launch::run(),
        _ => {
            SUPERVISES.store(true, Ordering::Relaxed);
            return;
        }
    };
    std::process::exit(code);
}

/// What holds programs on behalf of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Supervisor {
    /// The worker's own program, which calls [`supervise_if_asked`] first in its `main`.
    ThisProgram,
    /// Another one that does, such as `phalanx-supervise` of this crate, by its absolute path.
    Program(PathBuf),
}

impl Supervisor {
    pub(super) fn check(&self) -> Result<(), PolicyError> {
        match self {
            Self::ThisProgram if SUPERVISES.load(Ordering::Relaxed) => Ok(()),
            Self::ThisProgram => Err(PolicyError::Supervisor),
            Self::Program(path) if path.is_absolute() && path.is_file() => Ok(()),
            Self::Program(path) => Err(PolicyError::NoSupervisor(path.clone())),
        }
    }

    fn program(&self) -> &Path {
        match self {
            Self::ThisProgram => Path::new(OWN_PROGRAM),
            Self::Program(path) => path,
        }
    }
}

/// A supervisor that runs. Dropped before the last word, its program is killed with all that it has started.
#[derive(Debug)]
pub(super) struct Supervised {
    process: Child,
    orders: ChildStdin,
    told: ChildStdout,
    buffer: BytesMut,
    folder: PathBuf,
    pid: Option<i32>,
    is_over: bool,
}

impl Supervised {
    /// Starts one, and gives it its work.
    pub(super) async fn start(supervisor: &Supervisor, begin: Begin) -> io::Result<Self> {
        let mut process = Command::new(supervisor.program())
            .arg0("phalanx-supervise")
            .arg(SUPERVISE)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It may outlive the worker, and must not hold what others wait for.
            .stderr(Stdio::null())
            // A signal from the worker's terminal is for the worker.
            .process_group(0)
            .spawn()?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (orders, told) = pipes.ok_or_else(|| io::Error::other("a new process has no pipes"))?;
        let folder = begin.folder.clone();
        let buffer = BytesMut::new();
        let mut supervised = Self { process, orders, told, buffer, folder, pid: None, is_over: false };
        supervised.order(&Order::Begin(Box::new(begin))).await?;
        Ok(supervised)
    }

    /// Gives an order. A supervisor reads at once, whatever its program does. Not cancellation safe: drop the supervisor with
    /// the future.
    pub(super) async fn order(&mut self, order: &Order) -> io::Result<()> {
        let frame = encode(order)?;
        self.orders.write_all(&frame).await
    }

    /// What it tells next. Cancellation safe.
    ///
    /// # Errors
    /// It has gone without a last word.
    pub(super) async fn next(&mut self) -> io::Result<Told> {
        loop {
            if let Some(told) = take(&mut self.buffer)? {
                match told {
                    Told::Started { pid } => self.pid = Some(pid),
                    Told::Ended(_) | Told::Failed(_) => self.is_over = true,
                    _ => {}
                }
                return Ok(told);
            }
            if self.told.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Waits for the end of the process, after its last word.
    pub(super) async fn wait(mut self) {
        let _ = self.process.wait().await;
    }

    /// It has gone without a last word: its program was killed with it, and here is what its program has started.
    pub(super) fn kill_group(&mut self) {
        self.is_over = true;
        if let Some(pid) = self.pid.and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if !self.is_over {
            // It reads this when its orders end, which is a moment later: a task that was dropped is no death of a worker.
            let _ = fs::write(self.folder.join(ABANDONED), "");
        }
    }
}
