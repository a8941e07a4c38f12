//! A running task, as a user of a control node sees it.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream as ChunkStream, stream};
use phalanx_base::{Generation, NodeId};
use tokio::time::sleep;

use super::call::Called;
use super::entrance::Entrance;
use super::fetch::Fetch;
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

/// The worker runs in another boot than the one that was asked for, and has surely done nothing.
const OTHER_BOOT: Outcome = Outcome::NotExecuted(Reason::OtherGeneration);

/// A boot that does not know a task of an earlier one has not kept it.
const NOT_KEPT: Outcome = Outcome::NotExecuted(Reason::NoSuchTask);

/// A task on a worker. Cheap to clone; dropping it leaves the task alone.
pub struct TaskHandle<C> {
    service: Entrance,
    worker: NodeId,
    task: TaskId,
    options: CallOptions,
    shared: Arc<Mutex<Shared>>,
    class: PhantomData<fn() -> C>,
}

impl<C> Clone for TaskHandle<C> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            worker: self.worker.clone(),
            task: self.task.clone(),
            options: self.options.clone(),
            shared: self.shared.clone(),
            class: PhantomData,
        }
    }
}

/// What this handle and its clones know together.
struct Shared {
    /// The boot of the worker that runs the task: a later one than at first where the task has outlived that.
    generation: Generation,
    /// The numbers of the commands that were sent.
    stream: CommandStream,
    next: u64,
    /// How many of these were answered.
    answered: u64,
}

/// One command's place among the others.
struct Place {
    stream: CommandStream,
    sequence: u64,
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
        let shared = Arc::new(Mutex::new(Shared { generation, stream, next: 0, answered: 0 }));
        Self { service, worker, task, options, shared, class: PhantomData }
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
        let mut attempts = Attempts::new(now(), &self.options, true);
        let boot = Some(self.generation());
        let (called, alone) = self.send_command(boot, body.clone(), &mut attempts).await;
        // Where others were under way, one of them may have been sent before, and must not come after this one.
        if !alone || called.outcome != OTHER_BOOT {
            return called.outcome.typed();
        }
        let mut attempts = attempts.anew(now());
        let (again, _) = self.send_command(None, body, &mut attempts).await;
        self.take_later(called, again).typed()
    }

    /// Sends a command to a boot of the worker, or to the present one. Says besides whether no other one was under way when its
    /// answer came.
    async fn send_command(
        &self,
        boot: Option<Generation>,
        body: Bytes,
        attempts: &mut Attempts,
    ) -> (Called, bool) {
        let place = self.begin_command();
        let (task, stream) = (self.task.clone(), place.stream.clone());
        let verb = Verb::Command { task, stream, sequence: place.sequence, body };
        let called = self.service.call_in(&self.worker, verb, boot, attempts).await;
        let alone = self.end_command(&place, &called.outcome);
        (called, alone)
    }

    /// What a call has come to that was refused by an earlier boot of the worker and made again to the present one.
    fn take_later(&self, first: Called, again: Called) -> Outcome {
        if again.outcome == NOT_KEPT {
            return first.outcome;
        }
        // What it did not take says nothing of whether it has the task.
        if !matches!(again.outcome, Outcome::NotExecuted(_) | Outcome::Unknown(_)) {
            self.go_on_in(again.generation);
        }
        again.outcome
    }

    fn begin_command(&self) -> Place {
        let mut shared = self.shared();
        let sequence = shared.next;
        shared.next += 1;
        Place { stream: shared.stream.clone(), sequence }
    }

    /// A command has its answer. Where it was not taken a number is missing, so that what follows begins a stream of its own.
    fn end_command(&self, place: &Place, outcome: &Outcome) -> bool {
        let mut shared = self.shared();
        if shared.stream != place.stream {
            return false;
        }
        let alone = shared.answered == place.sequence && shared.next == place.sequence + 1;
        shared.answered += 1;
        if matches!(outcome, Outcome::NotExecuted(_) | Outcome::Unknown(_)) {
            shared.stream = CommandStream(self.service.new_id());
            (shared.next, shared.answered) = (0, 0);
        }
        alone
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn generation(&self) -> Generation {
        self.shared().generation
    }

    /// The task runs in this boot of its worker.
    fn go_on_in(&self, boot: Option<Generation>) {
        let mut shared = self.shared();
        shared.generation = boot.map_or(shared.generation, |boot| shared.generation.max(boot));
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
        let mut boot = Some(self.generation());
        loop {
            let verb = Verb::Output { task: self.task.clone() };
            let called = self.service.call_in(&self.worker, verb, boot, &mut attempts).await;
            match called.outcome {
                Outcome::Done(body) => {
                    self.go_on_in(called.generation);
                    return codec::decode_end(&body).map_err(TaskError::Aborted)?.typed();
                }
                // It runs there, and has not ended.
                Outcome::Aborted(Reason::DeadlineExceeded) => {
                    self.go_on_in(called.generation);
                    boot = called.generation;
                }
                Outcome::Unknown(Reason::DeadlineExceeded) => {}
                Outcome::NotExecuted(Reason::OtherGeneration) | Outcome::Unknown(Reason::OtherGeneration) => {
                    // The present boot may have kept it; where that one is over too, the next one.
                    if boot.take().is_none() {
                        sleep(ROUND_PAUSE).await;
                    }
                    attempts = attempts.anew(now());
                }
                // A boot that does not know what an earlier one has run.
                Outcome::NotExecuted(Reason::NoSuchTask) | Outcome::Unknown(Reason::NoSuchTask)
                    if called.generation != Some(self.generation()) =>
                {
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
        match self.call(Verb::Stop { task: self.task.clone(), grace_ms }).await {
            Outcome::Done(_) => Ok(()),
            outcome => outcome.typed(),
        }
    }

    /// Ends the task now: its future is dropped, and it has ended as killed. One that has ended is left as it is.
    ///
    /// # Errors
    /// [`CallError`] says whether the worker knows.
    pub async fn kill(&self) -> Result<(), CallError<C::Error>> {
        match self.call(Verb::Kill { task: self.task.clone() }).await {
            Outcome::Done(_) => Ok(()),
            outcome => outcome.typed(),
        }
    }

    /// Sends bytes of any length into the task, on a stream of their own. What arrives was counted and hashed by the
    /// worker, and the receipt says so. `chunks` is asked for the first one when the worker has said that it takes the transfer, and
    /// nothing is sent twice. Dropping the future ends the transfer for the task too.
    ///
    /// # Errors
    /// [`TransferError`]; the task has seen that the transfer is not whole, or nothing of it at all when it was refused.
    pub async fn send<E: std::fmt::Display>(
        &self,
        chunks: impl ChunkStream<Item = Result<Bytes, E>> + Send,
    ) -> Result<Receipt, TransferError> {
        self.service.send(&self.worker, self.generation(), &self.task, chunks).await
    }

    /// As [`TaskHandle::send`], for bytes that are in memory.
    ///
    /// # Errors
    /// As [`TaskHandle::send`].
    pub async fn send_bytes(&self, bytes: impl Into<Bytes>) -> Result<Receipt, TransferError> {
        let chunk: Result<Bytes, std::convert::Infallible> = Ok(bytes.into());
        self.send(stream::iter([chunk])).await
    }

    /// Asks for bytes of the task, of any length, on a stream of their own. `note` says which, in the words of the class; the
    /// task finds it in [`OutgoingTransfer::note`](crate::OutgoingTransfer::note). It returns when the task has begun to
    /// answer; dropping the future ends the transfer for the task too.
    ///
    /// # Errors
    /// [`TransferError`]: nothing comes. It is refused with [`Reason::TooLarge`] for a note above
    /// [`FETCH_NOTE_BYTES_MAX`](crate::wire::FETCH_NOTE_BYTES_MAX).
    pub async fn fetch(&self, note: impl Into<Bytes>) -> Result<Fetch, TransferError> {
        self.service.fetch(&self.worker, self.generation(), &self.task, note.into()).await
    }

    /// Makes a call about the task: to the boot of its worker that ran it, and to the present one where that is another.
    async fn call(&self, verb: Verb) -> Outcome {
        let mut attempts = Attempts::new(now(), &self.options, true);
        let boot = Some(self.generation());
        let called = self.service.call_in(&self.worker, verb.clone(), boot, &mut attempts).await;
        if called.outcome != OTHER_BOOT {
            return called.outcome;
        }
        let mut attempts = attempts.anew(now());
        let again = self.service.call_in(&self.worker, verb, None, &mut attempts).await;
        self.take_later(called, again)
    }
}
