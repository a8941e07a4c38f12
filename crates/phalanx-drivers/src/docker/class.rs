//! The contract of running containers: what travels between who asks and the worker.

use std::collections::BTreeMap;

use bytes::Bytes;
use phalanx_jobs::JobClass;
use phalanx_jobs::wire::TaskId;
use serde::{Deserialize, Serialize};

pub use crate::output::{Chunk, Gap, LAST_LINE_BYTES_MAX, LAST_LINES, Stream};

use super::error::DockerError;
use super::run::Run;

/// The job class of containers: a task is one run of one container, or brings an image.
#[derive(Debug)]
pub struct Docker;

impl JobClass for Docker {
    const NAME: &'static str = "docker";
    const VERSION: u32 = 1;
    type Request = Ask;
    type Reply = Answer;
    type Task = Work;
    type Output = Done;
    type Command = Tell;
    type CommandReply = ();
    type Event = Said;
    type Error = DockerError;
}

/// The bytes of one piece of output, at most: what the daemon sends at one time.
pub const CHUNK_BYTES_MAX: usize = 32 << 10;

/// How many orphans, containers or images one answer lists: each takes some hundred bytes of a reply.
pub const ORPHANS_MAX: usize = 1_000;

/// The bytes of a page of output, at most: half of what a reply may have. Each of its chunks counts some bytes more.
pub const PAGE_BYTES_MAX: usize = 512 << 10;

/// What a task is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Run a container.
    Run(Box<Run>),
    /// Pull an image, by its reference.
    Pull(String),
    /// Load the image archive that comes as this task's first transfer.
    Load,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Done {
    /// The container has ended.
    Ended(Finished),
    /// The image is there; its id.
    Pulled(String),
    /// The images of the archive are there; their full references.
    Loaded(Vec<String>),
}

/// How a container ended, whatever its exit code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Its exit code; 128 and the number of the signal where a signal ended it.
    pub exit_code: i64,
    /// Whether the kernel has killed something in it for lack of memory, as far as the daemon has noticed: it is told beside
    /// the exit, and now and then too late.
    pub oom_killed: bool,
    /// The last [`LAST_LINES`] lines of both streams, in the order in which they came; what is no UTF-8 is replaced.
    pub last_lines: Vec<String>,
    /// How many bytes it wrote to standard output.
    pub stdout_bytes: u64,
    /// How many bytes it wrote to standard error.
    pub stderr_bytes: u64,
    /// The daemon's id of the container where it is kept; `None` where it was removed.
    pub kept: Option<String>,
}

/// How far the pull of an image is: the newest word of the daemon, a few times a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The layer that it is about; empty for the whole.
    pub layer: String,
    /// What happens to it, in the daemon's words.
    pub status: String,
    /// The bytes of the layer that are done.
    pub bytes: u64,
    /// The bytes of the layer; 0 while nobody knows.
    pub bytes_total: u64,
}

/// What a task tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// The image is being pulled.
    Pulling(Progress),
    /// The container runs.
    Started {
        /// The daemon's id of it.
        container: String,
        /// The daemon's id of its image.
        image: String,
    },
    /// It has written something.
    Output(Chunk),
    /// It has written more than may be told: these offsets are lost, but for the last lines.
    Skipped {
        /// The first offset.
        from: u64,
        /// The offset behind the last.
        to: u64,
    },
    /// The daemon does not answer; the worker tries again. What the container writes meanwhile may be missing, and is not
    /// counted in offsets then.
    DaemonLost(String),
    /// The daemon answers again, and the container still runs.
    DaemonBack,
}

/// What a running container can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tell {
    /// Send this signal to its first process.
    Signal(i32),
    /// Send the stop signal of its image, SIGTERM as a rule; after this many milliseconds kill it.
    Stop {
        /// The time it has.
        grace_ms: u64,
    },
}

/// A question to the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Run a command in the container of a task that runs.
    Exec {
        /// Whose container.
        task: TaskId,
        /// The command.
        exec: Exec,
    },
    /// What the container of a task uses now.
    Stats(TaskId),
    /// The containers of this worker that belong to no task that runs.
    Orphans,
    /// Remove one of these, by the daemon's id of it.
    Remove(String),
    /// The output of a task's container from this offset on, while it runs and for a while after.
    Output {
        /// Whose container.
        task: TaskId,
        /// The first offset.
        from: u64,
        /// How many milliseconds to wait when there is nothing yet and more may come. At most twenty seconds.
        wait_ms: u32,
    },
    /// All containers of this worker.
    Containers,
    /// The images that are there and that the policy allows.
    Images,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The command has ended.
    Exec(ExecOutput),
    /// What is used.
    Stats(Stats),
    /// The oldest [`ORPHANS_MAX`] of them.
    Orphans(Vec<Orphan>),
    /// It is gone.
    Removed,
    /// A part of what the container has written.
    Output(Page),
    /// The oldest [`ORPHANS_MAX`] of them.
    Containers(Vec<Listed>),
    /// The first [`ORPHANS_MAX`] of them, by their references.
    Images(Vec<ImageInfo>),
}

/// A part of what a container has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The offsets before the first chunk that the worker does not have any more.
    pub gap: Option<Gap>,
    /// What the container has written, without a gap.
    pub chunks: Vec<Chunk>,
    /// Where the next page begins.
    pub next: u64,
    /// Whether more will come.
    pub state: OutputState,
}

/// Whether output goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputState {
    /// There is more, or may be.
    GoesOn,
    /// The page reaches the end of the output of a container that has ended with this exit code.
    Ended(i64),
    /// The page reaches the end of what there is, and the task has ended without an exit code: its own end says why.
    Over,
    /// The container has not been started yet: its image may be on its way.
    Begins,
}

/// A container of this worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The container, and the task that it was made for.
    pub container: Orphan,
    /// Whether that task runs; else the container is an orphan indeed.
    pub has_task: bool,
}

/// An image that the daemon has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Its full reference.
    pub reference: String,
    /// The daemon's id of it.
    pub id: String,
    /// Its bytes on the daemon's disk, what it shares with others included.
    pub bytes: u64,
    /// When it was made, in seconds since 1970.
    pub created_s: u64,
}

/// A command to run in a container that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The command and its arguments, without a shell.
    pub command: Vec<String>,
    /// Variables beside those of the container.
    pub environment: BTreeMap<String, String>,
    /// Where it works; `None` is where the container does.
    pub folder: Option<String>,
    /// As whom; `None` is as the container does.
    pub user: Option<String>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecOutput {
    /// Its exit code.
    pub exit_code: i64,
    /// What it wrote to standard output.
    pub stdout: Bytes,
    /// What it wrote to standard error.
    pub stderr: Bytes,
    /// Whether it wrote more than [`EXEC_OUTPUT_BYTES_MAX`](super::EXEC_OUTPUT_BYTES_MAX): the rest is lost.
    pub is_cut: bool,
}

/// What a container uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Nanoseconds of processor time since it has started.
    pub cpu_ns: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of memory at most; that of the machine where there is no limit.
    pub memory_bytes_max: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Bytes received over the network.
    pub received_bytes: u64,
    /// Bytes sent over the network.
    pub sent_bytes: u64,
}

/// A container of this worker that belongs to no task that runs: of an earlier boot, or kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// The daemon's id of it.
    pub container: String,
    /// Its image.
    pub image: String,
    /// The task that it was made for.
    pub task: String,
    /// Whether it runs.
    pub is_running: bool,
    /// Whether it was to be kept.
    pub is_kept: bool,
    /// When it was made, in seconds since 1970, by the daemon's clock.
    pub created_s: u64,
}
