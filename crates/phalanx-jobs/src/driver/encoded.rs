//! Tasks in their encoded form: for those who keep them running, and need not know their classes.

use bytes::Bytes;
use phalanx_base::Generation;

use super::operations::OperationError;
use super::worker_handle::WorkerHandle;
use crate::operations::Operations;
use crate::outcome::{CallError, Outcome, Reason, TaskError};
use crate::wire::{ClassName, TaskId};

impl WorkerHandle {
    /// Starts a task of any class in one boot of the worker, and in no other. It starts at most once; dropping the future does
    /// not stop a task that has started.
    ///
    /// # Errors
    /// [`CallError`] says whether it may have started.
    pub async fn start_encoded(
        &self,
        class: ClassName,
        body: Bytes,
        generation: Generation,
    ) -> Result<TaskId, OperationError> {
        let called = self.start_body(class, body, Some(generation)).await;
        match called.outcome {
            Outcome::Done(_) => Ok(TaskId(called.id)),
            outcome => match outcome.typed() {
                Err(error) => Err(error),
                Ok(()) => Err(CallError::Unknown(Reason::Malformed)),
            },
        }
    }

    /// Waits until a task has ended, however that takes, through lost links and moves of its proxy. How it ended is said by
    /// [`task_details`](Self::task_details). Cancellation safe.
    ///
    /// # Errors
    /// [`TaskError::Lost`] when it ended with the boot of its worker, and [`TaskError::Unknown`] when the worker is not there
    /// to be asked.
    pub async fn task_ended(
        &self,
        task: &TaskId,
        generation: Generation,
    ) -> Result<(), TaskError<crate::Nothing>> {
        match self.handle_of::<Operations>(generation, task.clone()).output().await {
            Err(error @ (TaskError::Lost | TaskError::Unknown(_))) => Err(error),
            // An output of another class does not decode here, and is nobody's business.
            _ => Ok(()),
        }
    }
}
