//! A worker, as a user of a control node sees it.

use std::time::Duration;

use bytes::Bytes;
use phalanx_base::{Generation, NodeId};

use super::call::Called;
use super::entrance::Entrance;
use super::operations::OperationError;
use super::task_handle::TaskHandle;
use crate::attempts::CallOptions;
use crate::class::{JobClass, Nothing};
use crate::codec;
use crate::operations::{Operation, OperationReply, Operations};
use crate::outcome::{CallError, Outcome, Reason};
use crate::wire::{ClassName, Instance, OnDisconnect, TaskId, Verb};

/// A worker, by its name. Cheap to clone; making and dropping it does nothing.
#[derive(Clone)]
pub struct WorkerHandle {
    service: Entrance,
    worker: NodeId,
    options: CallOptions,
    on_disconnect: OnDisconnect,
    instance: Option<Instance>,
}

impl WorkerHandle {
    pub(super) fn new(service: Entrance, worker: NodeId) -> Self {
        let (options, on_disconnect) = (CallOptions::default(), OnDisconnect::default());
        Self { service, worker, options, on_disconnect, instance: None }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.worker
    }

    /// The same worker, called with other options.
    #[must_use]
    pub fn with(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// The same worker; tasks started through this handle do so when their worker loses its owner.
    #[must_use]
    pub fn on_disconnect(mut self, on_disconnect: OnDisconnect) -> Self {
        self.on_disconnect = on_disconnect;
        self
    }

    /// The same worker; a task started through this handle is this attempt of an instance of a job.
    ///
    /// The worker fences by it: an attempt that is not later than each that it has seen of the instance, in this boot of it,
    /// is refused as [`Reason::Superseded`] before anything runs. A later one is accepted at once: an earlier one that still
    /// runs there is told to stop, with [`SUPERSEDED_GRACE`](crate::SUPERSEDED_GRACE), and the new one is
    /// [`Starting`](crate::TaskState::Starting) until that has ended.
    #[must_use]
    pub fn for_instance(mut self, instance: Instance) -> Self {
        self.instance = Some(instance);
        self
    }

    /// Asks the worker something. The question runs at most once; dropping the future cancels it.
    ///
    /// # Errors
    /// [`CallError`] says whether it ran, and what to do.
    pub async fn request<C: JobClass>(&self, request: C::Request) -> Result<C::Reply, CallError<C::Error>> {
        let body = codec::encode(&request).map_err(CallError::NotExecuted)?;
        let verb = Verb::Request { class: codec::class_name::<C>(), body };
        self.service.call(&self.worker, verb, None, &self.options).await.outcome.typed()
    }

    /// Starts a task. It starts at most once; dropping the future does not stop a task that has started.
    ///
    /// # Errors
    /// [`CallError`] says whether it may have started.
    pub async fn start<C: JobClass>(&self, task: C::Task) -> Result<TaskHandle<C>, CallError<C::Error>> {
        let body = codec::encode(&task).map_err(CallError::NotExecuted)?;
        let called = self.start_body(codec::class_name::<C>(), body, None).await;
        match (called.outcome, called.generation) {
            (Outcome::Done(_), Some(generation)) => Ok(self.handle_of(generation, TaskId(called.id))),
            (outcome, _) => match outcome.typed::<(), C::Error>() {
                Err(error) => Err(error),
                Ok(()) => Err(CallError::Unknown(Reason::OtherGeneration)),
            },
        }
    }

    /// A handle to a task of this worker that somebody else has started, here or at another control node; also to one that has
    /// ended, while the worker keeps its end. Dropping the future cancels the question.
    ///
    /// # Errors
    /// [`CallError`] with [`Reason::NoSuchTask`] where the worker has no task of that name, or it is of another class;
    /// [`Reason::OtherVersion`] where it is of another version; else why the worker could not be asked.
    pub async fn task<C: JobClass>(&self, task: &TaskId) -> Result<TaskHandle<C>, OperationError> {
        let body = codec::encode(&Operation::Task { task: task.clone() }).map_err(CallError::NotExecuted)?;
        let verb = Verb::Request { class: codec::class_name::<Operations>(), body };
        let called = self.service.call(&self.worker, verb, None, &self.options).await;
        let (reply, generation) = (called.outcome.typed::<OperationReply, Nothing>()?, called.generation);
        let (OperationReply::Task(details), Some(generation)) = (reply, generation) else {
            return Err(CallError::Unknown(Reason::Malformed));
        };
        let class = details.ok_or(CallError::NotExecuted(Reason::NoSuchTask))?.class;
        if class.name != C::NAME {
            return Err(CallError::NotExecuted(Reason::NoSuchTask));
        }
        if class.version != C::VERSION {
            let other = Reason::OtherVersion { ours: C::VERSION, theirs: class.version };
            return Err(CallError::NotExecuted(other));
        }
        Ok(self.handle_of(generation, task.clone()))
    }

    /// Tells a task to stop, and ends it after `grace` if it has not; one that has ended is left as it is. Returns when the
    /// worker has taken that over. It needs no handle, and so not the class either.
    ///
    /// # Errors
    /// [`CallError`] says whether the worker knows; [`Reason::NoSuchTask`] where it has no such task (any more).
    pub async fn stop_task(&self, task: &TaskId, grace: Duration) -> Result<(), OperationError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.tell(Verb::Stop { task: task.clone(), grace_ms }).await
    }

    /// Ends a task now: its future is dropped, and it has ended as killed. One that has ended is left as it is.
    ///
    /// # Errors
    /// As [`stop_task`](Self::stop_task).
    pub async fn kill_task(&self, task: &TaskId) -> Result<(), OperationError> {
        self.tell(Verb::Kill { task: task.clone() }).await
    }

    async fn tell(&self, verb: Verb) -> Result<(), OperationError> {
        match self.service.call(&self.worker, verb, None, &self.options).await.outcome {
            Outcome::Done(_) => Ok(()),
            outcome => outcome.typed(),
        }
    }

    pub(super) async fn start_body(
        &self,
        class: ClassName,
        body: Bytes,
        bound: Option<Generation>,
    ) -> Called {
        let (on_disconnect, instance) = (self.on_disconnect, self.instance.clone());
        let verb = Verb::Start { class, body, on_disconnect, instance };
        self.service.call(&self.worker, verb, bound, &self.options).await
    }

    pub(super) fn handle_of<C: JobClass>(&self, generation: Generation, task: TaskId) -> TaskHandle<C> {
        let (service, worker, options) = (self.service.clone(), self.worker.clone(), self.options.clone());
        TaskHandle::new(service, worker, generation, task, options)
    }
}
