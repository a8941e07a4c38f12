//! The two halves of a job class that users write: the worker's [`JobHandler`] and the control node's [`EventHandler`].

use std::future::Future;
use std::ops::RangeInclusive;

use phalanx_base::{Generation, NodeId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::class::JobClass;
use crate::context::{RequestContext, TaskContext};
use crate::outcome::TaskError;
use crate::wire::{Instance, OnDisconnect, TaskId};

/// The worker's half of a job class.
///
/// Each method has a default that refuses, so that a handler writes only what its class has. A panic or an error ends
/// that request or task with a reason, and nothing else. The futures run on threads that are kept for user code: even a
/// handler that blocks delays no heartbeat, though it delays other handlers; wrap long blocking work in `cx.blocking`.
pub trait JobHandler<C: JobClass>: Send + Sync + 'static {
    /// Answers a request. The future is dropped at the deadline, or when the caller goes away.
    fn request(
        &self,
        cx: RequestContext,
        request: C::Request,
    ) -> impl Future<Output = Result<C::Reply, C::Error>> + Send {
        let _ = request;
        async move { cx.refuse().await }
    }

    /// Runs a task: the future *is* the task. It lives through lost links and moves of its proxy; it is dropped when
    /// it has not ended by itself some time after it was told to stop.
    fn task(
        &self,
        cx: TaskContext<C>,
        task: C::Task,
    ) -> impl Future<Output = Result<C::Output, C::Error>> + Send {
        let _ = task;
        async move { cx.refuse().await }
    }

    /// The tasks of earlier boots of this worker whose work goes on outside of its process, or has ended there unheard. The
    /// worker asks once, before it has an owner; it runs each of them by [`JobHandler::task`] under the id that it had, with
    /// [`TaskContext::is_kept`]. Every other task of an earlier boot is lost.
    ///
    /// A handler that takes longer than [`KEPT_TIMEOUT`](crate::KEPT_TIMEOUT), or panics, keeps none; the future is dropped
    /// then.
    fn kept(&self) -> impl Future<Output = Vec<Kept<C>>> + Send {
        async { Vec::new() }
    }
}

/// A task that has outlived the process of its worker.
#[derive(Debug, Clone)]
pub struct Kept<C: JobClass> {
    /// Its id, as the worker's earlier boot knew it.
    pub id: TaskId,
    /// What it does without an owner: [`TaskContext::on_disconnect`] of the earlier boot.
    pub on_disconnect: OnDisconnect,
    /// Which attempt of which instance of a job it is: [`TaskContext::instance`] of the earlier boot.
    pub instance: Option<Instance>,
    /// What [`JobHandler::task`] is given. It need not be all that the task was started with.
    pub task: C::Task,
}

/// What an event is about.
#[derive(Debug, Clone)]
pub struct EventContext {
    /// The worker that runs the task.
    pub worker: NodeId,
    /// The worker's boot: with the task and the sequence it names the event.
    pub generation: Generation,
    /// The task.
    pub task: TaskId,
    /// The number of the event in its task, from 1. After the crash of a control node an event may come again, with
    /// the same number.
    pub sequence: u64,
}

/// The control node's half of a job class: what becomes of events.
///
/// The events of one task come one after the other, in order. An event is acknowledged to the worker when the handler
/// has returned; so after a crash of the control node it comes again, rather than being lost.
pub trait EventHandler<C: JobClass>: Send + Sync + 'static {
    /// What the handler keeps for each task. It travels with the proxy, and a copy of it rests at the worker as a
    /// checkpoint while it is not larger than [`CHECKPOINT_BYTES_MAX`](crate::wire::CHECKPOINT_BYTES_MAX).
    type State: Default + Serialize + DeserializeOwned + Send + 'static;

    /// An event has come.
    fn event(
        &self,
        cx: &EventContext,
        state: &mut Self::State,
        event: C::Event,
    ) -> impl Future<Output = ()> + Send;

    /// These events did not fit the worker's outbox, and will not come.
    fn gap(
        &self,
        cx: &EventContext,
        state: &mut Self::State,
        missing: RangeInclusive<u64>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (cx, state, missing);
        async {}
    }

    /// The task has ended; nothing of it follows.
    fn ended(
        &self,
        cx: &EventContext,
        state: &mut Self::State,
        end: Result<C::Output, TaskError<C::Error>>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (cx, state, end);
        async {}
    }
}
