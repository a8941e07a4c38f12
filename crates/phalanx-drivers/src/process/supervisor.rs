//! The worker's end of a supervisor: starts it or finds it again, talks to it, and lets it kill its program when the task is
//! dropped.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use phalanx_jobs::TaskContext;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::class::Process;
use super::policy::PolicyError;
use super::protocol::{Begin, Here, Order, Told, encode, take};
use super::record::Record;
use super::{folders, launch, supervise};

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

/// How a task's program is kept: by its context, which knows whether the task was told to stop.
pub(super) type Keeper = Arc<TaskContext<Process>>;

/// A supervisor that runs. Dropped before the last word, its program is killed with all that it has started; unless it is
/// kept, and the task was not told to stop: then the worker ends, and the program goes on.
pub(super) struct Supervised {
    /// The process, if it is a child of this one.
    process: Option<Child>,
    orders: Box<dyn AsyncWrite + Send + Unpin>,
    told: Box<dyn AsyncRead + Send + Unpin>,
    buffer: BytesMut,
    folder: PathBuf,
    pid: Option<i32>,
    is_over: bool,
    keeper: Option<Keeper>,
}

impl Supervised {
    /// Starts one, and gives it its work.
    pub(super) async fn start(
        supervisor: &Supervisor,
        begin: Begin,
        keeper: Option<Keeper>,
    ) -> io::Result<Self> {
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
        let mut supervised = Self {
            process: Some(process),
            orders: Box::new(orders),
            told: Box::new(told),
            buffer: BytesMut::new(),
            folder,
            pid: None,
            is_over: false,
            keeper,
        };
        supervised.order(&Order::Begin(Box::new(begin))).await?;
        Ok(supervised)
    }

    /// Goes on with one that an earlier process of the worker has started.
    ///
    /// # Errors
    /// Nobody is there, or nobody who says how it stands. Nothing has changed.
    pub(super) async fn find(folder: &Path, keeper: Keeper) -> io::Result<(Self, Here)> {
        let open_folder = std::fs::File::open(folder)?;
        let stream = UnixStream::connect(folders::socket(&open_folder)).await?;
        let (told, orders) = stream.into_split();
        let mut supervised = Self {
            process: None,
            orders: Box::new(orders),
            told: Box::new(told),
            buffer: BytesMut::new(),
            folder: folder.to_owned(),
            pid: None,
            // Until it has said how it stands nothing is known of it, and nothing is to be killed.
            is_over: true,
            keeper: Some(keeper),
        };
        match supervised.next().await? {
            Told::Here(here) => {
                (supervised.is_over, supervised.pid) = (false, Some(here.pid));
                Ok((supervised, here))
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
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

    /// Whether its program goes on when the worker ends.
    pub(super) fn is_kept(&self) -> bool {
        self.keeper.is_some()
    }

    /// Its program is not to be kept any more.
    pub(super) async fn let_die(&mut self) {
        if self.keeper.take().is_some() {
            // A supervisor that takes no order has gone.
            let _ = self.order(&Order::LetDie).await;
        }
    }

    /// The task ends before its program has: the program is killed, also if it was to be kept.
    pub(super) fn abandon(&mut self) {
        self.keeper = None;
    }

    /// Waits for the end of the process, after its last word.
    pub(super) async fn wait(mut self) {
        match &mut self.process {
            Some(process) => _ = process.wait().await,
            // Of a process that is nobody's child here the end is that of its words.
            None => while self.told.read_buf(&mut self.buffer).await.is_ok_and(|read| read > 0) {},
        }
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
        let is_kept = self.keeper.as_ref().is_some_and(|cx| !cx.is_told_to_stop());
        if !self.is_over && !is_kept {
            // It reads this when its orders end, which is a moment later: a task that was dropped is no death of a worker.
            folders::abandon(&self.folder);
            // The task has ended, and is not to be there again.
            Record::remove(&self.folder);
        }
    }
}
