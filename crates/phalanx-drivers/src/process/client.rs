//! Running programs at a worker, from a control node.

use std::time::Duration;

use bytes::Bytes;
use phalanx_jobs::wire::TaskId;
use phalanx_jobs::{CallError, TaskError, TaskHandle, WorkerHandle};

use super::class::{Finished, Follow, PAGE_BYTES_MAX, Page, Process, ProcessError, Run, Tell, TerminalSize};

/// Why a question about a program has no answer.
pub type ProgramError = CallError<ProcessError>;

/// A program at a worker. Cheap to clone; dropping it leaves the program alone.
#[derive(Clone)]
pub struct Program {
    worker: WorkerHandle,
    task: TaskHandle<Process>,
}

/// Starts a program at a worker. What it says comes to the control node's handler of events for [`Process`], if it has one;
/// its log is there in any case.
///
/// # Errors
/// [`CallError`] says whether it may have started. What the worker's policy does not allow is an error of the task:
/// [`Program::finished`].
pub async fn run(worker: &WorkerHandle, run: Run) -> Result<Program, ProgramError> {
    let task = worker.start::<Process>(run).await?;
    Ok(Program { worker: worker.clone(), task })
}

/// Reads the log of a task from an offset on, during the task and after it; waits for so long (twenty seconds at most) when
/// there is nothing yet. The next page begins at [`Page::next`].
///
/// # Errors
/// [`ProcessError::NoSuchLog`] when the worker does not have it (any more). Asking again changes nothing.
pub async fn follow(
    worker: &WorkerHandle,
    task: &TaskId,
    from: u64,
    wait: Duration,
) -> Result<Page, ProgramError> {
    let bytes_max = u32::try_from(PAGE_BYTES_MAX).unwrap_or(u32::MAX);
    let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
    worker.request::<Process>(Follow { task: task.clone(), from, bytes_max, wait_ms }).await
}

impl Program {
    /// The program of a task that was started before.
    #[must_use]
    pub fn of(worker: &WorkerHandle, task: TaskHandle<Process>) -> Self {
        Self { worker: worker.clone(), task }
    }

    /// Its task.
    #[must_use]
    pub fn task(&self) -> &TaskHandle<Process> {
        &self.task
    }

    /// Writes to its standard input: at most [`WRITE_BYTES_MAX`](super::WRITE_BYTES_MAX) bytes. `Ok` means that they are queued.
    ///
    /// # Errors
    /// [`ProcessError::StdinFull`] when it does not read, [`ProcessError::StdinClosed`] when it never will.
    pub async fn write(&self, bytes: impl Into<Bytes>) -> Result<(), ProgramError> {
        self.task.command(Tell::Write(bytes.into())).await
    }

    /// Ends its standard input.
    ///
    /// # Errors
    /// [`CallError`] says whether the worker knows.
    pub async fn close_stdin(&self) -> Result<(), ProgramError> {
        self.task.command(Tell::CloseStdin).await
    }

    /// Sends a signal to its process group.
    ///
    /// # Errors
    /// [`ProcessError::NoSuchSignal`]; else [`CallError`] says whether the worker knows.
    pub async fn signal(&self, signal: i32) -> Result<(), ProgramError> {
        self.task.command(Tell::Signal(signal)).await
    }

    /// Gives its terminal another size.
    ///
    /// # Errors
    /// [`ProcessError::NoTerminal`]; else [`CallError`] says whether the worker knows.
    pub async fn resize(&self, rows: u16, columns: u16) -> Result<(), ProgramError> {
        self.task.command(Tell::Resize(TerminalSize { rows, columns })).await
    }

    /// Sends SIGTERM to its process group, and kills it with all that it has started after `grace`. Returns at once;
    /// [`Program::finished`] says how it ended.
    ///
    /// # Errors
    /// [`CallError`] says whether the worker knows.
    pub async fn stop(&self, grace: Duration) -> Result<(), ProgramError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.task.command(Tell::Stop { grace_ms }).await
    }

    /// Waits until it has ended, and says how. Cancellation safe.
    ///
    /// # Errors
    /// [`TaskError::Failed`] when it did not run; else as [`TaskHandle::output`].
    pub async fn finished(&self) -> Result<Finished, TaskError<ProcessError>> {
        self.task.output().await
    }

    /// As [`follow`].
    ///
    /// # Errors
    /// As [`follow`].
    pub async fn follow(&self, from: u64, wait: Duration) -> Result<Page, ProgramError> {
        follow(&self.worker, self.task.id(), from, wait).await
    }
}
