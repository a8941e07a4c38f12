//! Running containers at a worker, from a control node.

use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use phalanx_jobs::wire::TaskId;
use phalanx_jobs::{CallError, Reason, TaskError, TaskHandle, WorkerHandle};

use super::class::{
    Answer, Ask, Docker, Done, Exec, ExecOutput, Finished, ImageInfo, Listed, Orphan, Page, Stats, Tell, Work,
};
use super::error::DockerError;
use super::run::Run;

/// Why a question about a container has no answer.
pub type ContainerError = CallError<DockerError>;

/// Why an image is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The task did not start, or nobody can say.
    #[error("the image's task did not start: {0}")]
    Start(ContainerError),
    /// It started, and ended without the image.
    #[error("the image's task ended without it: {}", why(.0))]
    Task(TaskError<DockerError>),
}

/// The task's own error says more than that it has one.
fn why(error: &TaskError<DockerError>) -> &dyn Display {
    match error {
        TaskError::Failed(error) => error,
        error => error,
    }
}

/// A container at a worker. Cheap to clone; dropping it leaves the container alone.
#[derive(Clone)]
pub struct Container {
    worker: WorkerHandle,
    task: TaskHandle<Docker>,
}

/// Runs a container at a worker. What it writes comes to the control node's handler of events for [`Docker`], if it has one.
///
/// # Errors
/// [`CallError`] says whether it may have started. What the worker's policy does not allow is an error of the task:
/// [`Container::finished`].
pub async fn run(worker: &WorkerHandle, run: Run) -> Result<Container, ContainerError> {
    let task = worker.start::<Docker>(Work::Run(Box::new(run))).await?;
    Ok(Container { worker: worker.clone(), task })
}

/// Pulls an image at a worker, and says the daemon's id of it. Dropping the future leaves the pull alone.
///
/// # Errors
/// [`ImageError`]; pulling again changes nothing.
pub async fn pull(worker: &WorkerHandle, image: impl Into<String>) -> Result<String, ImageError> {
    let task = worker.start::<Docker>(Work::Pull(image.into())).await.map_err(ImageError::Start)?;
    match task.output().await.map_err(ImageError::Task)? {
        Done::Pulled(image) => Ok(image),
        _ => Err(ImageError::Task(malformed())),
    }
}

/// Sends an image archive, as `docker save` writes it, to a worker, and loads it there. Says the full references of its
/// images. Dropping the future ends it; the images may be there then.
///
/// # Errors
/// [`ImageError`]; sending it again changes nothing.
pub async fn load<E: Display>(
    worker: &WorkerHandle,
    chunks: impl Stream<Item = Result<Bytes, E>> + Send,
) -> Result<Vec<String>, ImageError> {
    let task = worker.start::<Docker>(Work::Load).await.map_err(ImageError::Start)?;
    let mut output = pin!(task.output());
    // A task that ends before it has all says why; so does one whose transfer breaks off.
    let end = tokio::select! {
        biased;
        end = &mut output => end,
        _ = task.send(chunks) => output.await,
    };
    match end.map_err(ImageError::Task)? {
        Done::Loaded(images) => Ok(images),
        _ => Err(ImageError::Task(malformed())),
    }
}

/// As [`load`], for an archive that is in memory.
///
/// # Errors
/// As [`load`].
pub async fn load_bytes(worker: &WorkerHandle, archive: impl Into<Bytes>) -> Result<Vec<String>, ImageError> {
    let chunk: Result<Bytes, std::convert::Infallible> = Ok(archive.into());
    load(worker, stream::iter([chunk])).await
}

/// The containers of a worker that belong to no task that runs: of an earlier boot, or kept.
///
/// # Errors
/// [`DockerError::DaemonAbsent`]; else [`CallError`] says why.
pub async fn orphans(worker: &WorkerHandle) -> Result<Vec<Orphan>, ContainerError> {
    match worker.request::<Docker>(Ask::Orphans).await? {
        Answer::Orphans(orphans) => Ok(orphans),
        _ => Err(CallError::Aborted(Reason::Malformed)),
    }
}

/// All containers of a worker, the oldest first.
///
/// # Errors
/// As [`orphans`].
pub async fn containers(worker: &WorkerHandle) -> Result<Vec<Listed>, ContainerError> {
    match worker.request::<Docker>(Ask::Containers).await? {
        Answer::Containers(containers) => Ok(containers),
        _ => Err(CallError::Aborted(Reason::Malformed)),
    }
}

/// The images that a worker's daemon has and that its policy allows, in the order of their references.
///
/// # Errors
/// As [`orphans`].
pub async fn images(worker: &WorkerHandle) -> Result<Vec<ImageInfo>, ContainerError> {
    match worker.request::<Docker>(Ask::Images).await? {
        Answer::Images(images) => Ok(images),
        _ => Err(CallError::Aborted(Reason::Malformed)),
    }
}

/// Reads what the container of a task has written from an offset on, while it runs and for a while after; waits for so long
/// (twenty seconds at most) when there is nothing yet. The next page begins at [`Page::next`]. Of a container that is not
/// [attached](super::Run::attached) the newest [`BACKLOG_BYTES_MAX`](super::BACKLOG_BYTES_MAX) are there.
///
/// # Errors
/// [`DockerError::NoSuchOutput`] when the worker does not have it (any more). Asking again changes nothing.
pub async fn follow(
    worker: &WorkerHandle,
    task: &TaskId,
    from: u64,
    wait: Duration,
) -> Result<Page, ContainerError> {
    let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
    match worker.request::<Docker>(Ask::Output { task: task.clone(), from, wait_ms }).await? {
        Answer::Output(page) => Ok(page),
        _ => Err(CallError::Aborted(Reason::Malformed)),
    }
}

/// Removes one of a worker's orphans, by the daemon's id of it; killed first where it runs.
///
/// # Errors
/// [`DockerError::NoSuchContainer`] when it is none; else [`CallError`] says whether it may be gone.
pub async fn remove(worker: &WorkerHandle, container: impl Into<String>) -> Result<(), ContainerError> {
    match worker.request::<Docker>(Ask::Remove(container.into())).await? {
        Answer::Removed => Ok(()),
        _ => Err(CallError::Aborted(Reason::Malformed)),
    }
}

fn malformed() -> TaskError<DockerError> {
    TaskError::Aborted(Reason::Malformed)
}

impl Container {
    /// The container of a task that was started before.
    #[must_use]
    pub fn of(worker: &WorkerHandle, task: TaskHandle<Docker>) -> Self {
        Self { worker: worker.clone(), task }
    }

    /// Its task.
    #[must_use]
    pub fn task(&self) -> &TaskHandle<Docker> {
        &self.task
    }

    /// Sends a signal to its first process.
    ///
    /// # Errors
    /// [`DockerError::NoSuchSignal`]; else [`CallError`] says whether the worker knows.
    pub async fn signal(&self, signal: i32) -> Result<(), ContainerError> {
        self.task.command(Tell::Signal(signal)).await
    }

    /// Sends it the stop signal of its image, and kills it after `grace`. Returns at once; [`Container::finished`] says how it
    /// ended.
    ///
    /// # Errors
    /// [`CallError`] says whether the worker knows.
    pub async fn stop(&self, grace: Duration) -> Result<(), ContainerError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.task.command(Tell::Stop { grace_ms }).await
    }

    /// Runs a command in it, and waits for its end. At the deadline of the request the command is left alone and goes on.
    ///
    /// # Errors
    /// [`DockerError::NotRunning`]; else [`CallError`] says whether it may have run.
    pub async fn exec(&self, exec: Exec) -> Result<ExecOutput, ContainerError> {
        let task = self.task.id().clone();
        match self.worker.request::<Docker>(Ask::Exec { task, exec }).await? {
            Answer::Exec(output) => Ok(output),
            _ => Err(CallError::Aborted(Reason::Malformed)),
        }
    }

    /// What it uses now.
    ///
    /// # Errors
    /// [`DockerError::NotRunning`]; else [`CallError`] says why.
    pub async fn stats(&self) -> Result<Stats, ContainerError> {
        match self.worker.request::<Docker>(Ask::Stats(self.task.id().clone())).await? {
            Answer::Stats(stats) => Ok(stats),
            _ => Err(CallError::Aborted(Reason::Malformed)),
        }
    }

    /// Waits until it has ended, and says how. Cancellation safe.
    ///
    /// # Errors
    /// [`TaskError::Failed`] when it did not run; else as [`TaskHandle::output`].
    pub async fn finished(&self) -> Result<Finished, TaskError<DockerError>> {
        match self.task.output().await? {
            Done::Ended(finished) => Ok(finished),
            _ => Err(malformed()),
        }
    }
}
