//! A worker, as a user of a control node sees it.

use phalanx_base::NodeId;

use super::entrance::Entrance;
use super::task_handle::TaskHandle;
use crate::attempts::CallOptions;
use crate::class::JobClass;
use crate::codec;
use crate::outcome::{CallError, Outcome};
use crate::wire::{OnDisconnect, TaskId, Verb};

/// A worker, by its name. Cheap to clone; making and dropping it does nothing.
#[derive(Clone)]
pub struct WorkerHandle {
    service: Entrance,
    worker: NodeId,
    options: CallOptions,
    on_disconnect: OnDisconnect,
}

impl WorkerHandle {
    pub(super) fn new(service: Entrance, worker: NodeId) -> Self {
        Self { service, worker, options: CallOptions::default(), on_disconnect: OnDisconnect::default() }
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
        let verb = Verb::Start { class: codec::class_name::<C>(), body, on_disconnect: self.on_disconnect };
        let called = self.service.call(&self.worker, verb, None, &self.options).await;
        match (called.outcome, called.generation) {
            (Outcome::Done(_), Some(generation)) => {
                let (service, worker, options) =
                    (self.service.clone(), self.worker.clone(), self.options.clone());
                Ok(TaskHandle::new(service, worker, generation, TaskId(called.id), options))
            }
            (outcome, _) => match outcome.typed::<(), C::Error>() {
                Err(error) => Err(error),
                Ok(()) => Err(CallError::Unknown(crate::outcome::Reason::OtherGeneration)),
            },
        }
    }
}
