//! What a node has handlers for: typed on the outside, bytes on the inside.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, poll_fn};
use phalanx_base::{NodeId, Spawn};
use serde::Serialize;

use crate::class::{CLASS_NAME_BYTES_MAX, JOB_CLASSES_MAX, JobClass};
use crate::codec;
use crate::context::{FromUser, Refusal, RequestContext, TaskContext, TaskLife, ToTask};
use crate::handler::{EventContext, EventHandler, JobHandler, Kept};
use crate::outcome::{Outcome, Reason, TaskEnd, panic_text};
use crate::transfer::{OutgoingTransfer, Transfer};
use crate::wire::{CHECKPOINT_BYTES_MAX, ClassName, EventBody, Instance, OnDisconnect, TaskId};

/// Why a handler cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// A class of that name has a handler already.
    #[error("the job class {0:?} has a handler already: register each class once")]
    Twice(&'static str),
    /// The name is empty or longer than [`CLASS_NAME_BYTES_MAX`].
    #[error("the job class name {0:?} is empty or longer than {CLASS_NAME_BYTES_MAX} bytes")]
    Name(&'static str),
    /// The name begins as those of the built-in classes do.
    #[error("the job class name {0:?} begins with \"phalanx.\", which is kept for the built-in classes")]
    Reserved(&'static str),
    /// There are [`JOB_CLASSES_MAX`] classes already.
    #[error("the job class {0:?} is one more than the {JOB_CLASSES_MAX} that a worker can have: join some")]
    TooMany(&'static str),
}

/// How the names of the built-in classes begin.
const BUILTIN_PREFIX: &str = "phalanx.";

fn check_name(name: &'static str, taken: bool) -> Result<(), RegisterError> {
    if name.is_empty() || name.len() > CLASS_NAME_BYTES_MAX {
        return Err(RegisterError::Name(name));
    }
    if name.starts_with(BUILTIN_PREFIX) {
        return Err(RegisterError::Reserved(name));
    }
    if taken { Err(RegisterError::Twice(name)) } else { Ok(()) }
}

/// The job classes that a worker runs.
#[derive(Clone, Default)]
pub struct Jobs {
    classes: BTreeMap<&'static str, Arc<dyn AnyJob>>,
}

impl Jobs {
    /// Adds the worker's half of a class.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing has changed then.
    pub fn register<C: JobClass, H: JobHandler<C>>(&mut self, handler: H) -> Result<(), RegisterError> {
        check_name(C::NAME, self.classes.contains_key(C::NAME))?;
        if self.classes.len() >= JOB_CLASSES_MAX {
            return Err(RegisterError::TooMany(C::NAME));
        }
        self.classes.insert(C::NAME, Arc::new(Job { handler: Arc::new(handler), class: PhantomData }));
        Ok(())
    }

    /// Adds a class that every worker has; it counts for no cap.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "the driver has the built-in classes"))]
    pub(crate) fn register_builtin<C: JobClass, H: JobHandler<C>>(&mut self, handler: H) -> ClassName {
        let job = Job { handler: Arc::new(handler), class: PhantomData };
        let name = job.name();
        self.classes.insert(C::NAME, Arc::new(job));
        name
    }

    /// Names and versions of the classes.
    #[must_use]
    pub fn names(&self) -> Vec<ClassName> {
        self.classes.values().map(|job| job.name()).collect()
    }

    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "the driver runs jobs"))]
    pub(crate) fn class(&self, name: &str) -> Option<Arc<dyn AnyJob>> {
        self.classes.get(name).cloned()
    }

    /// All classes, in the order of their names.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "the driver runs jobs"))]
    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<dyn AnyJob>> + '_ {
        self.classes.values().cloned()
    }
}

/// The job classes whose events a control node handles.
#[derive(Clone, Default)]
pub struct EventHandlers {
    classes: BTreeMap<&'static str, Arc<dyn AnyEvents>>,
}

impl EventHandlers {
    /// Adds the control node's half of a class.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing has changed then.
    pub fn register<C: JobClass, H: EventHandler<C>>(&mut self, handler: H) -> Result<(), RegisterError> {
        check_name(C::NAME, self.classes.contains_key(C::NAME))?;
        self.classes.insert(C::NAME, Arc::new(Events { handler: Arc::new(handler), class: PhantomData }));
        Ok(())
    }

    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "the driver hands events over"))]
    pub(crate) fn class(&self, class: &ClassName) -> Option<Arc<dyn AnyEvents>> {
        self.classes.get(&*class.name).filter(|events| events.name().version == class.version).cloned()
    }
}

/// The ends of a task's channels, before its class is known.
pub(crate) struct TaskParts {
    pub(crate) task: TaskId,
    pub(crate) instance: Option<Instance>,
    pub(crate) worker: NodeId,
    pub(crate) signals: Receiver<ToTask>,
    pub(crate) transfers: Receiver<Transfer>,
    pub(crate) outgoing: Receiver<OutgoingTransfer>,
    pub(crate) answers: Sender<FromUser>,
    pub(crate) spawn: Arc<dyn Spawn>,
    pub(crate) life: TaskLife,
}

/// A task that a handler has kept, before its class is known.
pub(crate) struct AnyKept {
    pub(crate) id: TaskId,
    pub(crate) class: ClassName,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) instance: Option<Instance>,
    pub(crate) body: Bytes,
}

/// A worker's half without its types.
pub(crate) trait AnyJob: Send + Sync {
    fn name(&self) -> ClassName;
    fn request(&self, cx: RequestContext, body: Bytes) -> BoxFuture<'static, Outcome>;
    fn task(&self, parts: TaskParts, body: Bytes) -> BoxFuture<'static, TaskEnd>;
    /// The tasks of earlier boots that go on; none of a handler that panics.
    fn kept(&self) -> BoxFuture<'static, Vec<AnyKept>>;
}

struct Job<C, H> {
    handler: Arc<H>,
    class: PhantomData<fn() -> C>,
}

/// How a handler's future has ended.
enum Ran<T> {
    Returned(T),
    Refused,
    Panicked(Reason),
}

/// Polls a handler to its end, and survives its panic.
async fn run<T>(handler: impl Future<Output = T>, refusal: Refusal) -> Ran<T> {
    let mut handler = pin!(AssertUnwindSafe(handler).catch_unwind());
    poll_fn(|cx| match handler.as_mut().poll(cx) {
        Poll::Ready(Ok(value)) => Poll::Ready(Ran::Returned(value)),
        Poll::Ready(Err(panic)) => Poll::Ready(Ran::Panicked(Reason::Panicked(panic_text(panic.as_ref())))),
        Poll::Pending if refusal.is_set() => Poll::Ready(Ran::Refused),
        Poll::Pending => Poll::Pending,
    })
    .await
}

impl<C: JobClass, H: JobHandler<C>> AnyJob for Job<C, H> {
    fn name(&self) -> ClassName {
        codec::class_name::<C>()
    }

    fn request(&self, cx: RequestContext, body: Bytes) -> BoxFuture<'static, Outcome> {
        let handler = self.handler.clone();
        async move {
            let request = match codec::decode(&body) {
                Ok(request) => request,
                Err(reason) => return Outcome::Aborted(reason),
            };
            let refusal = cx.refusal.clone();
            let outcome = match run(async { handler.request(cx, request).await }, refusal).await {
                Ran::Returned(Ok(reply)) => codec::encode(&reply).map(Outcome::Done),
                Ran::Returned(Err(error)) => codec::encode(&error).map(Outcome::Failed),
                Ran::Refused => Err(Reason::NotSupported),
                Ran::Panicked(reason) => Err(reason),
            };
            outcome.unwrap_or_else(Outcome::Aborted)
        }
        .boxed()
    }

    fn task(&self, parts: TaskParts, body: Bytes) -> BoxFuture<'static, TaskEnd> {
        let handler = self.handler.clone();
        async move {
            let task = match codec::decode(&body) {
                Ok(task) => task,
                Err(reason) => return TaskEnd::Aborted(reason),
            };
            let refusal = Refusal::default();
            let TaskParts { task: id, instance, worker, signals, transfers, outgoing, answers, spawn, life } =
                parts;
            let cx: TaskContext<C> = TaskContext {
                task: id,
                instance,
                worker,
                signals,
                transfers,
                outgoing,
                answers,
                refusal: refusal.clone(),
                spawn,
                life,
                class: PhantomData,
            };
            let end = match run(async { handler.task(cx, task).await }, refusal).await {
                Ran::Returned(Ok(output)) => codec::encode(&output).map(TaskEnd::Done),
                Ran::Returned(Err(error)) => codec::encode(&error).map(TaskEnd::Failed),
                Ran::Refused => Err(Reason::NotSupported),
                Ran::Panicked(reason) => Err(reason),
            };
            end.unwrap_or_else(TaskEnd::Aborted)
        }
        .boxed()
    }

    fn kept(&self) -> BoxFuture<'static, Vec<AnyKept>> {
        let handler = self.handler.clone();
        async move {
            let named = match AssertUnwindSafe(async { handler.kept().await }).catch_unwind().await {
                Ok(named) => named,
                Err(panic) => {
                    let panic = panic_text(panic.as_ref());
                    tracing::error!(class = C::NAME, panic, "a handler panicked: its kept tasks are lost");
                    return Vec::new();
                }
            };
            let erase = |Kept { id, on_disconnect, instance, task }: Kept<C>| {
                let encoded = codec::encode(&task);
                let body = encoded.inspect_err(
                    |reason| tracing::error!(class = C::NAME, task = %id, %reason, "a kept task is lost"),
                );
                let class = codec::class_name::<C>();
                Some(AnyKept { id, class, on_disconnect, instance, body: body.ok()? })
            };
            named.into_iter().filter_map(erase).collect()
        }
        .boxed()
    }
}

/// A handler's state for one task, without its type.
pub(crate) type AnyState = Box<dyn Any + Send>;

/// A control node's half without its types.
pub(crate) trait AnyEvents: Send + Sync {
    fn name(&self) -> ClassName;
    /// The state that a checkpoint holds, or the first one.
    fn restore(&self, checkpoint: Option<&[u8]>) -> AnyState;
    /// The bytes of a state, however many; `None` where it does not encode.
    fn save(&self, state: &AnyState) -> Option<Bytes>;
    /// Hands entries over in order; returns the state, and its checkpoint where it fits.
    fn handle(
        &self,
        cx: EventContext,
        state: AnyState,
        entries: Vec<(u64, EventBody)>,
    ) -> BoxFuture<'static, (AnyState, Option<Bytes>)>;
}

struct Events<C, H> {
    handler: Arc<H>,
    class: PhantomData<fn() -> C>,
}

impl<C: JobClass, H: EventHandler<C>> Events<C, H> {
    async fn one(handler: &H, cx: &EventContext, state: &mut H::State, body: EventBody) {
        match body {
            EventBody::Emitted(body) => match codec::decode(&body) {
                Ok(event) => handler.event(cx, state, event).await,
                Err(_) => tracing::error!(
                    class = C::NAME, task = %cx.task, sequence = cx.sequence,
                    "an event does not decode: the two ends disagree on its type"
                ),
            },
            EventBody::Gap { through } => handler.gap(cx, state, cx.sequence..=through).await,
            EventBody::Ended(end) => handler.ended(cx, state, end.typed()).await,
        }
    }
}

impl<C: JobClass, H: EventHandler<C>> AnyEvents for Events<C, H> {
    fn name(&self) -> ClassName {
        codec::class_name::<C>()
    }

    fn restore(&self, checkpoint: Option<&[u8]>) -> AnyState {
        let state: H::State = match checkpoint.map(postcard::from_bytes) {
            Some(Ok(state)) => state,
            Some(Err(_)) => {
                tracing::error!(
                    class = C::NAME,
                    "a checkpoint does not decode: its task begins with the first state"
                );
                H::State::default()
            }
            None => H::State::default(),
        };
        Box::new(state)
    }

    fn save(&self, state: &AnyState) -> Option<Bytes> {
        let state = state.downcast_ref::<H::State>()?;
        postcard::to_stdvec(state).ok().map(Bytes::from)
    }

    fn handle(
        &self,
        mut cx: EventContext,
        state: AnyState,
        entries: Vec<(u64, EventBody)>,
    ) -> BoxFuture<'static, (AnyState, Option<Bytes>)> {
        let handler = self.handler.clone();
        async move {
            let mut state = state.downcast::<H::State>().unwrap_or_default();
            for (sequence, body) in entries {
                cx.sequence = sequence;
                let one = AssertUnwindSafe(Self::one(&handler, &cx, &mut state, body)).catch_unwind().await;
                if let Err(panic) = one {
                    tracing::error!(
                        class = C::NAME, task = %cx.task, sequence, panic = panic_text(panic.as_ref()),
                        "an event handler panicked: the event counts as handled"
                    );
                }
            }
            let checkpoint = checkpoint(state.as_ref());
            (state as AnyState, checkpoint)
        }
        .boxed()
    }
}

/// The bytes of a state, where they fit what a worker keeps.
fn checkpoint<S: Serialize>(state: &S) -> Option<Bytes> {
    let bytes = postcard::to_stdvec(state).ok()?;
    (bytes.len() <= CHECKPOINT_BYTES_MAX).then(|| bytes.into())
}
