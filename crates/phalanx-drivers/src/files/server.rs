//! The worker's half of files.

use std::sync::Arc;
use std::time::Duration;

use phalanx_jobs::{CommandReply, JobHandler, Signal, TaskContext};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::claims::Claims;
use super::class::{Files, FilesCommand, FilesTask, PROGRESS_BYTES, Progress, Receipt};
use super::error::FilesError;
use super::policy::{FilesPolicy, FilesPolicyError, Opened};
use super::{getting, putting};

/// How long a call waits for the next word of its other end, which asks again after a lost link: longer than a worker
/// needs to find another owner.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The worker's half: register it with `.job::<Files>(FileServer::open(…)?)`. Nothing is allowed beyond its policy.
#[derive(Debug)]
pub struct FileServer {
    pub(super) policy: Opened,
    pub(super) claims: Claims,
    running: Arc<Semaphore>,
}

impl FileServer {
    /// Opens the roots of a policy. They stay the folders that they are now, wherever those are moved.
    ///
    /// # Errors
    /// [`FilesPolicyError`] when a root is no folder, or may not be opened.
    pub fn open(policy: &FilesPolicy) -> Result<Self, FilesPolicyError> {
        let policy = policy.open()?;
        let running = Arc::new(Semaphore::new(policy.transfers_max.min(Semaphore::MAX_PERMITS)));
        Ok(Self { policy, claims: Claims::default(), running })
    }
}

impl JobHandler<Files> for FileServer {
    async fn task(&self, cx: TaskContext<Files>, task: FilesTask) -> Result<Receipt, FilesError> {
        let busy = |_| FilesError::Busy { transfers_max: self.policy.transfers_max as u64 };
        let _running = self.running.try_acquire().map_err(busy)?;
        match task {
            FilesTask::Put { root, path, what } => putting::put(self, &cx, &root, &path, what).await,
            // With the buffers of a stream in it.
            FilesTask::Get { root, path } => Box::pin(getting::get(self, &cx, &root, &path)).await,
        }
    }
}

/// The next command, for as long as one may be waited for.
///
/// # Errors
/// [`FilesError::Interrupted`] when the other end is silent, or the task is to end.
pub(super) async fn next_command(
    cx: &TaskContext<Files>,
) -> Result<(FilesCommand, CommandReply<Files>), FilesError> {
    loop {
        match timeout(IDLE_MAX, cx.recv()).await {
            Ok(Some(Signal::Command(command, reply))) => return Ok((command, reply)),
            Ok(Some(Signal::Status(_))) => {}
            Ok(Some(Signal::Stop { .. }) | None) | Err(_) => return Err(FilesError::Interrupted),
        }
    }
}

/// Waits for something, and refuses every command meanwhile.
///
/// # Errors
/// As [`next_command`].
pub(super) async fn waiting_for<T>(
    cx: &TaskContext<Files>,
    what: impl Future<Output = T>,
) -> Result<T, FilesError> {
    let mut what = std::pin::pin!(what);
    loop {
        tokio::select! {
            biased;
            command = next_command(cx) => command?.1.send(Err(FilesError::OutOfTurn)).await,
            done = &mut what => return Ok(done),
        }
    }
}

/// Lets blocking work have a value, and gives it back. What the value holds, it holds until the work has ended, even when
/// nobody waits for it any more.
pub(super) async fn with<T: Send + 'static, R: Send + 'static>(
    cx: &TaskContext<Files>,
    mut value: T,
    work: impl FnOnce(&mut T) -> R + Send + 'static,
) -> Result<(T, R), FilesError> {
    let worked = cx.blocking(move || {
        let result = work(&mut value);
        (value, result)
    });
    worked.await.map_err(|_| panicked())
}

pub(super) fn panicked() -> FilesError {
    FilesError::System { path: String::new(), text: "the work on the disk panicked".to_owned() }
}

/// Tells the control node how far a call is, every so often.
pub(super) struct Telling<'a> {
    cx: &'a TaskContext<Files>,
    told: Option<u64>,
}

impl<'a> Telling<'a> {
    pub(super) fn new(cx: &'a TaskContext<Files>) -> Self {
        Self { cx, told: None }
    }

    pub(super) async fn tell(&mut self, progress: Progress) {
        let is_due = |told| progress.bytes >= told + PROGRESS_BYTES || progress.bytes == progress.bytes_total;
        if self.told != Some(progress.bytes) && self.told.is_none_or(is_due) {
            self.told = Some(progress.bytes);
            // A worker that shuts down tells nothing any more.
            let _ = self.cx.emit(progress).await;
        }
    }
}
