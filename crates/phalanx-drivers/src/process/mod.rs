//! Programs of a worker's machine as tasks. Linux only.
//!
//! A task runs one program, by its arguments and without a shell, in an environment that holds nothing but what is given.
//! Its output is told as events and kept in a bounded log that outlives the task; its input and signals are commands; its
//! exit code or signal is the task's output. A worker runs nothing until its own program says what, by a [`Policy`].
//!
//! Nothing is left behind. Each program is held by a supervisor, a small process that the worker starts; it kills the
//! program with all that it has started when the task is dropped, when the node stops, and when the worker's process dies,
//! however it dies. See [`supervise_if_asked`]. Unless the program is kept, as [`WhenAgentEnds::Keep`] says: then the supervisor
//! waits for the worker's next process, which goes on with the task.
//!
//! What this is not: a sandbox. A program that is allowed may do what its user may; [`Policy::run_as`] and limits are all
//! that holds it.

mod again;
mod cgroup;
mod class;
mod client;
mod finish;
mod folders;
mod handler;
mod launch;
mod log;
mod obey;
mod policy;
mod protocol;
mod record;
mod running;
mod supervise;
mod supervisor;
mod telling;
mod terminal;
mod tree;

pub use class::{
    ARGUMENT_BYTES_MAX, ARGUMENTS_BYTES_MAX, ARGUMENTS_MAX, Chunk, Exit, Finished, Follow, Gap, InForce,
    LAST_LINE_BYTES_MAX, LAST_LINES, Limits, LogState, Means, PAGE_BYTES_MAX, PAGE_CHUNKS_MAX, Page, Process,
    ProcessError, Run, STDIN_WRITES_MAX, Said, Stream, Tell, TerminalSize, WRITE_BYTES_MAX, WhenAgentEnds,
};
pub use client::{Program, ProgramError, follow, run};
pub use handler::Programs;
pub use policy::{Policy, PolicyError};
pub use supervisor::{Supervisor, supervise_if_asked};
