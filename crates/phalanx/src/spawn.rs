//! How work is started: the framework's on the runtime it is on, the user's on one of its own; and how all work of a
//! node is stopped.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use phalanx_base::{Spawn, Work};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::user_threads::UserThreads;

/// Starts the framework's work on the runtime where this value was made, and the user's on threads of its own: one a core,
/// and up to 32 spare ones while handlers block all of these.
pub struct TokioSpawn {
    system: Handle,
    user: UserThreads,
}

impl TokioSpawn {
    /// Starts the threads for the user's code.
    ///
    /// # Errors
    /// When they cannot be started, or outside of a tokio runtime.
    pub fn new() -> std::io::Result<Self> {
        let system = Handle::try_current().map_err(std::io::Error::other)?;
        let user = UserThreads::start(system.clone())?;
        Ok(Self { system, user })
    }
}

impl Spawn for TokioSpawn {
    fn spawn(&self, work: Work) {
        self.system.spawn(work);
    }

    fn spawn_user(&self, work: Work) {
        self.user.spawn(work);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.user.spawn_blocking(work);
    }
}

/// The work of one node: what is started through it stops with the node.
pub(crate) struct NodeSpawn {
    inner: Arc<dyn Spawn>,
    life: Arc<Life>,
}

#[derive(Default)]
struct Life {
    tracker: TaskTracker,
    stop: CancellationToken,
    /// As the token says, but without a lock.
    is_stopping: AtomicBool,
}

impl Life {
    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.stop.cancel();
        self.tracker.close();
    }
}

impl NodeSpawn {
    pub(crate) fn new(inner: Arc<dyn Spawn>) -> Self {
        Self { inner, life: Arc::default() }
    }

    fn until_stopped(&self, mut work: Work) -> Work {
        let life = self.life.clone();
        Box::pin(self.life.tracker.track_future(async move {
            // Most work ends when it is first polled, and need not listen for the stop.
            if life.is_stopping() || poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_ready())).await {
                return;
            }
            // Whether the work was cut short matters to nobody.
            let _ = life.stop.run_until_cancelled(work).await;
        }))
    }

    /// Ends all work, and waits until it has ended. The user's blocking work runs to its end on its own.
    pub(crate) async fn stop(&self) {
        self.life.stop();
        self.life.tracker.wait().await;
    }

    /// Ends all work soon, without waiting for it.
    pub(crate) fn stop_soon(&self) {
        self.life.stop();
    }

    /// Whether the node has been told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.life.is_stopping()
    }

    /// Resolves when the node has been told to stop.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        self.life.stop.clone().cancelled_owned()
    }
}

impl Spawn for NodeSpawn {
    fn spawn(&self, work: Work) {
        self.inner.spawn(self.until_stopped(work));
    }

    fn spawn_user(&self, work: Work) {
        self.inner.spawn_user(self.until_stopped(work));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.inner.spawn_blocking(work);
    }
}
