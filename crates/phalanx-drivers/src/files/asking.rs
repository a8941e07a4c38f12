//! What becomes of a question to a running call, and of the call.

use std::time::Duration;

use phalanx_jobs::{CallError, Reason, TaskError, TaskHandle};
use tokio::time::timeout;

use super::class::{Files, FilesCommand, FilesReply, FilesTask};
use super::client::{Call, Ended, FilesClientError};
use super::error::FilesError;

/// How long a call that broke off is asked for its own word about it: a worker that is there says it at once.
const LAST_WORD_MAX: Duration = Duration::from_secs(3);

/// Starts a call at the worker. Who was never there is not waited for.
pub(super) async fn start(call: &Call, task: FilesTask, is_first: bool) -> Result<TaskHandle<Files>, Ended> {
    call.worker.start::<Files>(task).await.map_err(|error| match error.reason() {
        Some(reason) if is_first => Ended::Finally(FilesClientError::Call(reason.clone())),
        _ => match of_call(error) {
            Ended::Again(why) => Ended::Away(why),
            ended => ended,
        },
    })
}

/// Asks something, and where there is no answer, why not.
pub(super) async fn ask(task: &TaskHandle<Files>, command: FilesCommand) -> Result<FilesReply, Ended> {
    match task.command(command).await {
        Ok(reply) => Ok(reply),
        Err(CallError::Failed(error)) => Err(of_worker(error)),
        Err(error) => Err(last_word(task, of_call(error)).await),
    }
}

/// What the task itself says of its end, if it says something; else what is known without it.
pub(super) async fn last_word(task: &TaskHandle<Files>, known: Ended) -> Ended {
    match timeout(LAST_WORD_MAX, task.output()).await {
        Ok(Err(error)) => of_task(error),
        Ok(Ok(_)) | Err(_) => known,
    }
}

pub(super) fn of_task(error: TaskError<FilesError>) -> Ended {
    match error {
        TaskError::Failed(error) => of_worker(error),
        TaskError::Aborted(reason) => of_reason(reason),
        TaskError::Unknown(reason) => Ended::Again(reason.to_string()),
        TaskError::Stopped | TaskError::Killed | TaskError::Lost => Ended::Again(error.to_string()),
    }
}

fn of_call(error: CallError<FilesError>) -> Ended {
    match error {
        CallError::Failed(error) => of_worker(error),
        CallError::Aborted(reason) | CallError::NotExecuted(reason) | CallError::Unknown(reason) => {
            of_reason(reason)
        }
    }
}

fn of_worker(error: FilesError) -> Ended {
    if error.may_pass() {
        Ended::Again(error.to_string())
    } else {
        Ended::Finally(FilesClientError::Worker(error))
    }
}

/// Whether another try may go otherwise.
fn of_reason(reason: Reason) -> Ended {
    match reason {
        Reason::NoSuchClass
        | Reason::OtherVersion { .. }
        | Reason::NotSupported
        | Reason::Malformed
        | Reason::TooLarge { .. }
        | Reason::Panicked(_) => Ended::Finally(FilesClientError::Call(reason)),
        reason => Ended::Again(reason.to_string()),
    }
}

/// An answer of the wrong kind.
pub(super) fn unexpected() -> Ended {
    Ended::Finally(FilesClientError::Worker(FilesError::OutOfTurn))
}
