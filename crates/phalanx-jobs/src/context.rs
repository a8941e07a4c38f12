//! What a worker's handler holds in its hands: the context of a request, and that of a task.
//!
//! Contexts talk to the worker's driver through bounded channels that need no runtime, so that a handler can be driven
//! by any executor, and tested without one.

use std::convert::Infallible;
use std::future::pending;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use phalanx_base::{Boot, NodeId, NodeStatus, Spawn};

use crate::class::JobClass;
use crate::codec;
use crate::outcome::{Outcome, Reason, TaskEnd};
use crate::session::LinkId;
use crate::task_logs::lines_of;
use crate::transfer::{OutgoingTransfer, Transfer};
use crate::wire::{CallId, Instance, OnDisconnect, TaskId};

/// What user code, and what carries its transfers, tells the worker's driver.
#[derive(Debug)]
pub(crate) enum FromUser {
    TransferEnd(LinkId),
    Emit(TaskId, Bytes),
    /// Lines, each within its cap.
    Log(TaskId, Vec<String>),
    Answer(CallId, Outcome),
    TaskEnd(TaskId, TaskEnd),
    Outlives(TaskId, bool),
}

/// What the worker's driver tells a task.
#[derive(Debug)]
pub(crate) enum ToTask {
    Command(CallId, Bytes),
    Status(NodeStatus),
    Stop(Instant),
}

/// Set by a handler that does not take a kind of call; looked at by whoever polls it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusal(Arc<AtomicBool>);

impl Refusal {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Never returns: whoever polls the handler sees the mark and drops it.
    async fn set<T>(self) -> T {
        self.0.store(true, Ordering::Relaxed);
        let never: Infallible = pending().await;
        match never {}
    }
}

/// Blocking work that panicked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the blocking work panicked")]
pub struct BlockingPanicked;

async fn blocking<T: Send + 'static>(
    spawn: &dyn Spawn,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlockingPanicked> {
    let (sender, receiver) = async_channel::bounded(1);
    spawn.spawn_blocking(Box::new(move || {
        // Whoever asked may be gone; then nobody wants the answer.
        let _ = sender.send_blocking(work());
    }));
    receiver.recv().await.map_err(|_| BlockingPanicked)
}

/// What a request's handler knows of it.
pub struct RequestContext {
    pub(crate) call: CallId,
    pub(crate) worker: NodeId,
    pub(crate) deadline: Instant,
    pub(crate) refusal: Refusal,
    pub(crate) spawn: Arc<dyn Spawn>,
}

impl RequestContext {
    /// The worker that runs the request: this node.
    #[must_use]
    pub fn worker(&self) -> &NodeId {
        &self.worker
    }

    /// The boot of the control node where the request entered.
    #[must_use]
    pub fn caller(&self) -> &Boot {
        &self.call.caller
    }

    /// When the handler is dropped if it has not answered.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Runs blocking work on threads that are kept for it, and waits for its answer. Dropping the future does not stop
    /// the work.
    ///
    /// # Errors
    /// [`BlockingPanicked`] when the work panics.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BlockingPanicked> {
        blocking(self.spawn.as_ref(), work).await
    }

    /// Ends the request as not supported. The future never completes: the handler is dropped. Call it before any
    /// effect.
    pub async fn refuse<T>(self) -> T {
        self.refusal.set().await
    }
}

/// What a task is told.
pub enum Signal<C: JobClass> {
    /// A command, and the way to answer it.
    Command(C::Command, CommandReply<C>),
    /// The worker's state has changed.
    Status(NodeStatus),
    /// The task is to end by then, or it is dropped.
    Stop {
        /// By when.
        deadline: Instant,
    },
}

/// The way to answer a command. Dropped without an answer, the caller learns that there will be none.
pub struct CommandReply<C> {
    call: Option<CallId>,
    answers: Sender<FromUser>,
    class: PhantomData<fn() -> C>,
}

impl<C: JobClass> CommandReply<C> {
    /// Answers the command. Waits while the worker's inbox is full; dropping the future gives no answer.
    pub async fn send(mut self, answer: Result<C::CommandReply, C::Error>) {
        if let Some(call) = self.call.take() {
            let outcome = match &answer {
                Ok(reply) => codec::encode(reply).map(Outcome::Done),
                Err(error) => codec::encode(error).map(Outcome::Failed),
            };
            let outcome = outcome.unwrap_or_else(Outcome::Aborted);
            // The worker shuts down when its inbox is closed: the caller learns that by the lost link.
            let _ = self.answers.send(FromUser::Answer(call, outcome)).await;
        }
    }
}

impl<C> Drop for CommandReply<C> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            // Where the inbox is full, the deadline of the command says the same a little later.
            let _ = self.answers.try_send(FromUser::Answer(call, Outcome::Aborted(Reason::NoReply)));
        }
    }
}

/// Why an event was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// The event is too large or refuses to be serialised; it has no number.
    #[error("the event is not sent: {0}")]
    Refused(Reason),
    /// The worker shuts down.
    #[error("the worker shuts down")]
    ShuttingDown,
}

/// How a task stands to the boot of its worker.
#[derive(Debug, Clone)]
pub(crate) struct TaskLife {
    pub(crate) kept: bool,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) told_to_stop: Arc<AtomicBool>,
}

/// What a task holds in its hands.
pub struct TaskContext<C: JobClass> {
    pub(crate) task: TaskId,
    pub(crate) instance: Option<Instance>,
    pub(crate) worker: NodeId,
    pub(crate) signals: Receiver<ToTask>,
    pub(crate) transfers: Receiver<Transfer>,
    pub(crate) outgoing: Receiver<OutgoingTransfer>,
    pub(crate) answers: Sender<FromUser>,
    pub(crate) refusal: Refusal,
    pub(crate) spawn: Arc<dyn Spawn>,
    pub(crate) life: TaskLife,
    pub(crate) class: PhantomData<fn() -> C>,
}

impl<C: JobClass> TaskContext<C> {
    /// The task's name in the cluster.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.task
    }

    /// Which attempt of which instance of a job this task is, if it was started as one. Whoever keeps something under the
    /// instance's name can fence it by the attempt, which is greater than that of each run before.
    #[must_use]
    pub fn instance(&self) -> Option<&Instance> {
        self.instance.as_ref()
    }

    /// The worker that runs the task: this node.
    #[must_use]
    pub fn worker(&self) -> &NodeId {
        &self.worker
    }

    /// Whether the task was started in an earlier boot of the worker, and [`JobHandler::kept`](crate::JobHandler::kept) has
    /// named it.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.life.kept
    }

    /// What the task does when its worker has no owner, as whoever started it has said.
    #[must_use]
    pub fn on_disconnect(&self) -> OnDisconnect {
        self.life.on_disconnect
    }

    /// Whether the task was told to stop. A task that is dropped without it is dropped because its worker ends: work that
    /// outlives the worker's process goes on then.
    #[must_use]
    pub fn is_told_to_stop(&self) -> bool {
        self.life.told_to_stop.load(Ordering::Relaxed)
    }

    /// Says whether the task's work goes on when the worker's process ends, so that the next boot will be told of it by
    /// [`JobHandler::kept`](crate::JobHandler::kept). A worker that stops as a whole leaves such a task alone, while one that
    /// is told to stop by itself stops. Cancellation safe: it is said or not.
    pub async fn outlive_worker(&self, outlives: bool) {
        // A worker that has stopped does not stop its tasks any more.
        let _ = self.answers.send(FromUser::Outlives(self.task.clone(), outlives)).await;
    }

    /// Waits for the next command or change of state; `None` when the worker shuts down. Cancellation safe. Take what
    /// comes in time: a task with [`COMMANDS_MAX`](crate::COMMANDS_MAX) waiting commands gets no further one.
    pub async fn recv(&self) -> Option<Signal<C>> {
        loop {
            match self.signals.recv().await.ok()? {
                ToTask::Status(status) => return Some(Signal::Status(status)),
                ToTask::Stop(deadline) => return Some(Signal::Stop { deadline }),
                ToTask::Command(call, body) => match codec::decode(&body) {
                    Ok(command) => {
                        let answers = self.answers.clone();
                        return Some(Signal::Command(
                            command,
                            CommandReply { call: Some(call), answers, class: PhantomData },
                        ));
                    }
                    Err(reason) => {
                        let _ = self.answers.send(FromUser::Answer(call, Outcome::Aborted(reason))).await;
                    }
                },
            }
        }
    }

    /// Tells the control node's [`EventHandler`](crate::EventHandler) something. It waits for the worker's own inbox, never
    /// for the network: what does not fit the outbox pushes out the oldest, as a gap with its bounds.
    ///
    /// # Errors
    /// [`EmitError`]: the event has no number and will not come.
    pub async fn emit(&self, event: C::Event) -> Result<(), EmitError> {
        let body = codec::encode(&event).map_err(EmitError::Refused)?;
        let message = FromUser::Emit(self.task.clone(), body);
        self.answers.send(message).await.map_err(|_| EmitError::ShuttingDown)
    }

    /// Writes a line down, or several: the worker keeps the last [`LOG_LINES_MAX`](crate::LOG_LINES_MAX) of each task, also
    /// for a while after its end, for whoever asks what it was about (`WorkerHandle::task_details`). A line longer than
    /// [`LOG_LINE_BYTES_MAX`](crate::LOG_LINE_BYTES_MAX) is cut. It waits for the worker's own inbox, never for the network;
    /// dropping the future may leave it written or not.
    pub async fn log(&self, text: impl AsRef<str>) {
        let lines = lines_of(text.as_ref());
        // A worker that shuts down keeps nothing.
        let _ = self.answers.send(FromUser::Log(self.task.clone(), lines)).await;
    }

    /// Waits for the next transfer into this task; `None` when the worker shuts down. Cancellation safe.
    pub async fn transfer(&self) -> Option<Transfer> {
        self.transfers.recv().await.ok()
    }

    /// Waits until bytes of this task are asked for; `None` when the worker shuts down. Cancellation safe. Several may be
    /// answered side by side.
    pub async fn outgoing(&self) -> Option<OutgoingTransfer> {
        self.outgoing.recv().await.ok()
    }

    /// As [`RequestContext::blocking`].
    ///
    /// # Errors
    /// [`BlockingPanicked`] when the work panics.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BlockingPanicked> {
        blocking(self.spawn.as_ref(), work).await
    }

    /// Ends the task as not supported. The future never completes: the handler is dropped. Call it before any effect.
    pub async fn refuse<T>(self) -> T {
        self.refusal.set().await
    }
}
