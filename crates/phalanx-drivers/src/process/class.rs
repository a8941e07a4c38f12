//! The contract of running programs: what travels between who asks and the worker.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use phalanx_jobs::JobClass;
use phalanx_jobs::wire::TaskId;
use serde::{Deserialize, Serialize};

pub use crate::output::{Chunk, Gap, LAST_LINE_BYTES_MAX, LAST_LINES, Stream};

/// The job class of programs: a task is one run of one program.
#[derive(Debug)]
pub struct Process;

impl JobClass for Process {
    const NAME: &'static str = "process";
    const VERSION: u32 = 1;
    type Request = Follow;
    type Reply = Page;
    type Task = Run;
    type Output = Finished;
    type Command = Tell;
    type CommandReply = ();
    type Event = Said;
    type Error = ProcessError;
}

/// How many arguments a program gets, and how many variables its environment has, at most: as many as any build or
/// shell script needs; the kernel's own limit is on their bytes.
pub const ARGUMENTS_MAX: usize = 4_096;

/// The bytes of all arguments and of the environment together, at most: half of what the kernel takes with the smallest
/// usual stack.
pub const ARGUMENTS_BYTES_MAX: usize = 512 << 10;

/// The bytes of one argument or variable, at most: the kernel's `MAX_ARG_STRLEN`.
pub const ARGUMENT_BYTES_MAX: usize = (128 << 10) - 1;

/// The bytes of one write to a program's standard input, at most: with [`STDIN_WRITES_MAX`] of them waiting, four megabytes.
pub const WRITE_BYTES_MAX: usize = 64 << 10;

/// How many writes wait for a program that does not read.
pub const STDIN_WRITES_MAX: usize = 64;

/// The bytes of a page of a log, at most: half of what a reply may have.
pub const PAGE_BYTES_MAX: usize = 512 << 10;

/// The chunks of a page, at most: each takes some twenty bytes of its own, so that a page fits a reply.
pub const PAGE_CHUNKS_MAX: usize = 16_384;

/// A program to run, without a shell: nothing in its arguments is expanded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The program: a name, or an absolute path, exactly as the worker's policy allows it.
    pub program: String,
    /// Its arguments, without its own name.
    pub arguments: Vec<String>,
    /// Its whole environment: nothing is inherited.
    pub environment: BTreeMap<String, String>,
    /// Where it works: an absolute path below one of the roots of the policy. `None` is the first of these.
    pub folder: Option<String>,
    /// What it may use, where that is less than the policy says.
    pub limits: Limits,
    /// Whether its standard input stays open for [`Tell::Write`]; else it is at its end from the start.
    pub stdin_open: bool,
    /// Whether its output is told as events; else it is in the log only.
    pub output_events: bool,
    /// What becomes of it when the worker's process ends.
    pub when_agent_ends: WhenAgentEnds,
    /// A terminal of its own, of this size, in the place of its three streams; all that it writes is standard output then, and
    /// it can always be written to.
    pub terminal: Option<TerminalSize>,
    /// Whether any end of its own but exit code 0 is a failure of its task, as [`ProcessError::ExitedBadly`].
    pub must_succeed: bool,
}

/// What becomes of a program when the process of its worker ends, however it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhenAgentEnds {
    /// It is killed with all that it has started, and its task is lost.
    #[default]
    Kill,
    /// It goes on, and its task with it in the worker's next boot: under the same id, with its output, its input, and its exact
    /// end, also where that came in between. The worker's policy must allow it. Once it was told to stop it is not kept.
    Keep,
}

/// How large a terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

impl Run {
    /// A program without arguments, environment or input, whose output is told.
    #[must_use]
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            folder: None,
            limits: Limits::default(),
            stdin_open: false,
            output_events: true,
            when_agent_ends: WhenAgentEnds::Kill,
            terminal: None,
            must_succeed: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment, which is empty by default.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Where it works.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<String>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// What it may use at most.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Leaves its standard input open.
    #[must_use]
    pub fn open_stdin(mut self) -> Self {
        self.stdin_open = true;
        self
    }

    /// Keeps it when the worker's process ends.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.when_agent_ends = WhenAgentEnds::Keep;
        self
    }

    /// Gives it a terminal of so many rows and columns.
    #[must_use]
    pub fn terminal(mut self, rows: u16, columns: u16) -> Self {
        self.terminal = Some(TerminalSize { rows, columns });
        self
    }

    /// Tells no output as events: it is in the log only.
    #[must_use]
    pub fn without_output_events(mut self) -> Self {
        self.output_events = false;
        self
    }

    /// Makes an end with another exit code than 0 a failure of its task, such as for a job that restarts what has failed. Not
    /// when it was told to stop. Its last lines and its exit are in the task's own log then.
    #[must_use]
    pub fn must_succeed(mut self) -> Self {
        self.must_succeed = true;
        self
    }
}

/// What a program and all that it starts may use. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory: of all processes together under a control group, else of the address space of each.
    pub memory_bytes: Option<u64>,
    /// Processes and threads: of this task under a control group, else of the user in all, and then not of root.
    pub processes: Option<u64>,
    /// Hundredths of one core: 150 is one and a half. Under a control group only.
    pub cpu_percent: Option<u32>,
    /// Seconds of processor time of each process.
    pub cpu_seconds: Option<u64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
}

impl Limits {
    /// The smaller of each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        fn smaller<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
            match (one, other) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            }
        }
        Self {
            memory_bytes: smaller(self.memory_bytes, other.memory_bytes),
            processes: smaller(self.processes, other.processes),
            cpu_percent: smaller(self.cpu_percent, other.cpu_percent),
            cpu_seconds: smaller(self.cpu_seconds, other.cpu_seconds),
            open_files: smaller(self.open_files, other.open_files),
        }
    }
}

/// What holds a program to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Means {
    /// A control group of the task's own.
    Cgroup,
    /// A resource limit of each process.
    Rlimit,
    /// Nothing: this worker cannot, and the limit is not in force.
    Nothing,
}

/// Which limits are in force, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// The limits: the smaller of what was asked for and what the policy says.
    pub limits: Limits,
    /// What holds the memory.
    pub memory: Means,
    /// What holds the number of processes.
    pub processes: Means,
    /// What holds the share of a core.
    pub cpu_percent: Means,
    /// What holds the processor time and the open files.
    pub others: Means,
}

/// What a running program's task tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// The first event: the program is being started.
    Started {
        /// The process at the head of its group, by the number that the worker's machine knows it by.
        pid: u32,
        /// The real path of the folder where it works.
        folder: String,
        /// What holds it.
        in_force: InForce,
    },
    /// It has written something.
    Output(Chunk),
    /// It has written more than may be told: these offsets are in the log only, while they last.
    Skipped {
        /// The first offset.
        from: u64,
        /// The offset behind the last.
        to: u64,
    },
    /// It has closed its standard input; what was still to be written is lost.
    StdinClosed,
    /// The worker's process is another one than the program was started from: the first event of that boot. Output comes from
    /// this offset on, some of which may have been told before, by the same offsets; what lies between the last one that was
    /// told and this one is in the log.
    Kept {
        /// The process at the head of its group; `None` where it has ended in between.
        pid: Option<u32>,
        /// The first offset.
        from: u64,
    },
}

/// What a running program can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tell {
    /// Write this to its standard input: at most [`WRITE_BYTES_MAX`]. The answer means *queued*.
    Write(Bytes),
    /// End its standard input, once what was queued before has been read. A terminal has no end: it is sent the character that
    /// says so (Ctrl-D), which a program that reads lines takes for it.
    CloseStdin,
    /// Send this signal to its process group.
    Signal(i32),
    /// Send SIGTERM to its process group, and SIGHUP before it where it has a terminal; after this many milliseconds, kill it
    /// and all that it has started.
    Stop {
        /// The time it has.
        grace_ms: u64,
    },
    /// Its terminal has another size now: it gets SIGWINCH.
    Resize(TerminalSize),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it ended by itself with code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// How the run of a program ended: the output of its task, whatever its exit code, unless the program [must
/// succeed](Run::must_succeed).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// The last [`LAST_LINES`] lines of both streams, in the order in which they were read; what is no UTF-8 is replaced.
    pub last_lines: Vec<String>,
    /// How many bytes it wrote to standard output.
    pub stdout_bytes: u64,
    /// How many bytes it wrote to standard error.
    pub stderr_bytes: u64,
    /// Whether the kernel has killed a process of it for want of memory. Known where a control group holds its memory.
    pub out_of_memory: bool,
}

/// A question for a part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// Whose log.
    pub task: TaskId,
    /// From this offset on.
    pub from: u64,
    /// At most so many bytes; [`PAGE_BYTES_MAX`] in any case.
    pub bytes_max: u32,
    /// How many milliseconds to wait when there is nothing yet and the program runs. At most twenty seconds.
    pub wait_ms: u32,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The offsets before the first chunk that the log does not have any more.
    pub gap: Option<Gap>,
    /// What the program has written, without a gap.
    pub chunks: Vec<Chunk>,
    /// Where the next page begins.
    pub next: u64,
    /// Whether more will come.
    pub state: LogState,
}

/// Whether a log goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogState {
    /// There is more, or may be.
    GoesOn,
    /// The page reaches the end of the output of a program that has ended so.
    Ended(Exit),
    /// The page reaches the end of what there is, and what wrote it is gone without a word: the machine has failed, or
    /// somebody has killed the supervisor.
    Lost,
}

/// What can go wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ProcessError {
    /// The policy does not name this program. Nothing was started.
    #[error(
        "the worker's policy does not allow the program {0:?}: name it as the policy does, or allow it there"
    )]
    ProgramNotAllowed(String),
    /// The policy does not name a root of this folder, or the folder is not there. Nothing was started.
    #[error(
        "no folder {0:?} below a root that the worker's policy allows: choose another one, or allow its root there"
    )]
    FolderNotAllowed(String),
    /// A part of the question is larger than its cap, or not what a program can be given. Nothing was started.
    #[error("the program cannot be given this: {0}")]
    Invalid(String),
    /// So many programs run already. Nothing was started.
    #[error("{0} programs run at this worker, as many as its policy allows: try again when one has ended")]
    TooMany(u32),
    /// The logs of the programs that run could not be kept. Nothing was started.
    #[error(
        "the logs of the running programs fill the {0} bytes that the worker's policy has for logs: try again later"
    )]
    LogsFull(u64),
    /// The program could not be started.
    #[error("the program cannot be started: {0}")]
    CannotStart(String),
    /// The program does not read. Nothing was queued.
    #[error("{STDIN_WRITES_MAX} writes wait for the program to read: try again when it has")]
    StdinFull,
    /// The program reads no more, or never did. Nothing was queued.
    #[error("the standard input of the program is closed: start it with `open_stdin` to write to it")]
    StdinClosed,
    /// There is no such signal.
    #[error("there is no signal {0}")]
    NoSuchSignal(i32),
    /// What held the program has gone, and the program was killed with it.
    #[error(
        "the supervisor of the program has gone ({0}): look at the worker's machine, then start it again"
    )]
    SupervisorLost(String),
    /// The worker has no log of this task (any more).
    #[error("the worker has no log of this task (any more)")]
    NoSuchLog,
    /// The worker's disk failed.
    #[error("the worker's disk failed: {0}")]
    Disk(String),
    /// The worker shuts down.
    #[error("the worker shuts down")]
    ShuttingDown,
    /// The policy does not allow that a program goes on when the worker's process ends. Nothing was started.
    #[error(
        "the worker's policy keeps no program when its process ends: run it without that, or allow it there"
    )]
    KeepNotAllowed,
    /// The program has no terminal whose size could change.
    #[error("the program has no terminal: start it with one")]
    NoTerminal,
    /// The program has ended so, and was asked for with [`Run::must_succeed`].
    #[error("the program has ended with {}", .0.exit)]
    ExitedBadly(Box<Finished>),
}
