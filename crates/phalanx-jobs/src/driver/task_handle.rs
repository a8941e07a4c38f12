//! A running task, as a user of a control node sees it.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream as ChunkStream, stream};
use phalanx_base::{Generation, NodeId};
use tokio::time::sleep;

use super::entrance::Entrance;
use super::now;
use crate::attempts::{Attempts, CallOptions};
use crate::class::JobClass;
use crate::codec;
use crate::outcome::{CallError, Outcome, Reason, TaskError};
use crate::transfer::TransferError;
use crate::wire::{CommandStream, Receipt, TaskId, Verb};

/// How long one question for a task's end waits at the worker before it is asked anew.
const OUTPUT_ROUND: Duration = Duration::from_secs(60);

/// The pause before a question that was refused is asked in another round: the refusal may have come at once.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// How long the question for a task's end waits for a new owner of its worker: a control node that was killed is found
/// out, and its workers attach elsewhere, in less.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(30);

/// A task on a worker. Cheap to clone; dropping it leaves the task alone.
pub struct TaskHandle<C> {
    service: Entrance,
    worker: NodeId,
    generation: Generation,
    task: TaskId,
    options: CallOptions,
    commands: Arc<Mutex<Commands>>,
    class: PhantomData<fn() -> C>,
}

impl<C> Clone for TaskHandle<C> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            worker: self.worker.clone(),
            generation: self.generation,
            task: self.task.clone(),
            options: self.options.clone(),
            commands: self.commands.clone(),
            class: PhantomData,
        }
    }
}

/// The numbers of the commands that this handle and its clones have sent.
struct Commands {
    stream: CommandStream,
    next: u64,
}

impl<C: JobClass> TaskHandle<C> {
    pub(super) fn new(
        service: Entrance,
        worker: NodeId,
        generation: Generation,
        task: TaskId,
        options: CallOptions,
    ) -> Self {
        let stream = CommandStream(service.new_id());
        let commands = Arc::new(Mutex::new(Commands { stream, next: 0 }));
        Self { service, worker, generation, task, options, commands, class: PhantomData }
    }

    /// Its name in the cluster.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.task
    }

    /// The worker that runs it.
    #[must_use]
    pub fn worker(&self) -> &NodeId {
        &self.worker
    }

    /// Tells the task something. Commands of one handle and its clones arrive in the order in which they were sent, or
    /// not at all: after one that failed, those that were under way behind it fail too. Dropping the future stops the
    /// waiting, not the command.
    ///
    /// # Errors
    /// [`CallError`] says whether the task has the command.
    pub async fn command(&self, command: C::Command) -> Result<C::CommandReply, CallError<C::Error>> {
        let body = codec::encode(&command).map_err(CallError::NotExecuted)?;
        let (stream, sequence) = self.next_command();
        let verb = Verb::Command { task: self.task.clone(), stream: stream.clone(), sequence, body };
        let outcome = self.call(verb, &self.options).await;
        if matches!(outcome, Outcome::NotExecuted(_) | Outcome::Unknown(_)) {
            self.begin_new_stream(&stream);
        }
        outcome.typed()
    }

    fn next_command(&self) -> (CommandStream, u64) {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = commands.next;
        commands.next += 1;
        (commands.stream.clone(), sequence)
    }

    /// A number is missing now, so what follows begins a stream of its own.
    fn begin_new_stream(&self, failed: &CommandStream) {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        if commands.stream == *failed {
            *commands = Commands { stream: CommandStream(self.service.new_id()), next: 0 };
        }
    }

    /// Waits for the end of the task, however long that takes, through lost links and moves of its proxy. Cancellation
    /// safe: it can be asked again, by anyone, while the worker keeps the end.
    ///
    /// # Errors
    /// [`TaskError`] says how the task ended; `Unknown` when its worker is not there to be asked.
    pub async fn output(&self) -> Result<C::Output, TaskError<C::Error>> {
        let patience = self.options.patience.max(OUTPUT_PATIENCE);
        let options = CallOptions { deadline: OUTPUT_ROUND, patience, idempotent: true };
        let mut attempts = Attempts::new(now(), &options, true);
        loop {
            let verb = Verb::Output { task: self.task.clone() };
            let called = self.service.call_in(&self.worker, verb, Some(self.generation), &mut attempts).await;
            match called.outcome {
                Outcome::Done(body) => {
                    return codec::decode_end(&body).map_err(TaskError::Aborted)?.typed();
                }
                Outcome::Aborted(Reason::DeadlineExceeded) | Outcome::Unknown(Reason::DeadlineExceeded) => {}
                Outcome::NotExecuted(Reason::OtherGeneration) | Outcome::Unknown(Reason::OtherGeneration) => {
                    return Err(TaskError::Lost);
                }
                Outcome::Failed(_) => return Err(TaskError::Unknown(Reason::Malformed)),
                Outcome::NotExecuted(reason) | Outcome::Unknown(reason)
                    if attempts.waits_for(now(), &reason) =>
                {
                    sleep(ROUND_PAUSE).await;
                }
                Outcome::Aborted(reason) | Outcome::NotExecuted(reason) | Outcome::Unknown(reason) => {
                    return Err(TaskError::Unknown(reason));
                }
            }
            attempts.begin_round(now() + OUTPUT_ROUND);
        }
    }

    /// Tells the task to stop, and ends it after `grace` if it has not. Returns when the worker has taken that over;
    /// [`TaskHandle::output`] says when the task has ended.
    ///
    /// # Errors
    /// [`CallError`] says whether the worker knows.
    pub async fn stop(&self, grace: Duration) -> Result<(), CallError<C::Error>> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        match self.call(Verb::Stop { task: self.task.clone(), grace_ms }, &self.options).await {
            Outcome::Done(_) => Ok(()),
            outcome => outcome.typed(),
        }
    }

    /// Sends bytes of any length into the task, on a stream of their own. What arrives was counted and hashed by the
    /// worker, and the receipt says so. Dropping the future ends the transfer for the task too.
    ///
    /// # Errors
    /// [`TransferError`]; the task has seen that the transfer is not whole.
    pub async fn send<E: std::fmt::Display>(
        &self,
        chunks: impl ChunkStream<Item = Result<Bytes, E>> + Send,
    ) -> Result<Receipt, TransferError> {
        self.service.send(&self.worker, self.generation, &self.task, chunks).await
    }

    /// As [`TaskHandle::send`], for bytes that are in memory.
    ///
    /// # Errors
    /// As [`TaskHandle::send`].
    pub async fn send_bytes(&self, bytes: impl Into<Bytes>) -> Result<Receipt, TransferError> {
        let chunk: Result<Bytes, std::convert::Infallible> = Ok(bytes.into());
        self.send(stream::iter([chunk])).await
    }

    async fn call(&self, verb: Verb, options: &CallOptions) -> Outcome {
        self.service.call(&self.worker, verb, Some(self.generation), options).await.outcome
    }
}
