//! Threads for the user's code, and more of them while all are blocked.
//!
//! A handler should wrap what blocks in `cx.blocking`. One that does not holds up the thread it is on; when that happens on
//! every thread, what comes next is started on a spare one. So work waits in a queue of its own until a thread has really
//! begun it, and whoever is there first takes it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use phalanx_base::Work;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::sleep;

/// How much work waits for a thread: every call and task that a worker takes at one time, a few times over. What finds no
/// room waits in the queue of the first threads.
const WAITING_MAX: usize = 65_536;

/// How many spare threads there are: whoever blocks more than these holds up others.
const SPARES_MAX: usize = 32;

/// How long work may wait before the threads count as blocked, and how often they are looked at then: what somebody hardly
/// notices, and far more than a busy thread needs to come to its next piece of work.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The threads. Dropping it ends them without waiting for what blocks.
pub(crate) struct UserThreads {
    system: Handle,
    shared: Arc<Shared>,
}

struct Shared {
    waiting: (Sender<Work>, Receiver<Work>),
    /// How much work has been begun.
    begun: AtomicU64,
    /// Whether somebody looks after it.
    is_watched: AtomicBool,
    /// Which of the pools takes what comes.
    present: AtomicUsize,
    pools: Mutex<Vec<Pool>>,
}

struct Pool {
    runtime: Runtime,
    /// Whether it has come to the last question for that.
    answers: Arc<AtomicBool>,
}

impl Pool {
    fn new(builder: &mut Builder) -> std::io::Result<Self> {
        let runtime = builder.thread_name("phalanx-user").enable_all().build()?;
        Ok(Self { runtime, answers: Arc::new(AtomicBool::new(true)) })
    }

    fn ask(&self) {
        self.answers.store(false, Ordering::Relaxed);
        let answers = self.answers.clone();
        self.runtime.spawn(async move { answers.store(true, Ordering::Relaxed) });
    }

    fn answers(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }
}

impl UserThreads {
    /// Starts one thread a core. What looks after them runs on `system`.
    pub(crate) fn start(system: Handle) -> std::io::Result<Self> {
        let first = Pool::new(&mut Builder::new_multi_thread())?;
        let shared = Shared {
            waiting: async_channel::bounded(WAITING_MAX),
            begun: AtomicU64::new(0),
            is_watched: AtomicBool::new(false),
            present: AtomicUsize::new(0),
            pools: Mutex::new(vec![first]),
        };
        Ok(Self { system, shared: Arc::new(shared) })
    }

    pub(crate) fn spawn(&self, work: Work) {
        let unplaced = self.shared.waiting.0.try_send(work).err();
        let present = self.shared.present.load(Ordering::Relaxed);
        {
            let pools = self.shared.pools();
            match unplaced {
                Some(work) => drop(pools[0].runtime.spawn(work.into_inner())),
                None => drop(pools[present].runtime.spawn(self.shared.clone().run_next())),
            }
        }
        if !self.shared.is_watched.swap(true, Ordering::AcqRel) {
            self.system.spawn(watch(self.shared.clone()));
        }
    }

    pub(crate) fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        drop(self.shared.pools()[0].runtime.spawn_blocking(work));
    }
}

impl Drop for UserThreads {
    fn drop(&mut self) {
        // A runtime must not be dropped where it would have to wait, which is where a node usually is.
        for pool in self.shared.pools().drain(..) {
            pool.runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn pools(&self) -> MutexGuard<'_, Vec<Pool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run_next(self: Arc<Self>) {
        if let Ok(work) = self.waiting.1.try_recv() {
            self.begun.fetch_add(1, Ordering::Relaxed);
            // Whoever looks after the threads may go before the work has ended.
            drop(self);
            work.await;
        }
    }

    /// The first pool that answers takes what comes, and what waits.
    fn choose(self: &Arc<Self>) {
        let mut pools = self.pools();
        let Some(answers) = pools.iter().position(Pool::answers).or_else(|| add(&mut pools)) else { return };
        self.present.store(answers, Ordering::Relaxed);
        for _ in 0..self.waiting.1.len() {
            drop(pools[answers].runtime.spawn(self.clone().run_next()));
        }
    }
}

/// Adds a spare pool; says which it is, unless there are too many or the system refuses.
fn add(pools: &mut Vec<Pool>) -> Option<usize> {
    // Before the first one there are none: the threads have ended.
    if pools.is_empty() || pools.len() > SPARES_MAX {
        return None;
    }
    let spare = Pool::new(Builder::new_multi_thread().worker_threads(1)).ok()?;
    pools.push(spare);
    tracing::warn!(
        spares = pools.len() - 1,
        "handlers block all threads for the user's code: wrap what blocks in `cx.blocking`"
    );
    Some(pools.len() - 1)
}

/// Looks after the threads while work waits or spare ones are in use.
async fn watch(shared: Arc<Shared>) {
    loop {
        let begun = shared.begun.load(Ordering::Relaxed);
        sleep(LOOK_INTERVAL).await;
        let (waits, present) = (!shared.waiting.1.is_empty(), shared.present.load(Ordering::Relaxed));
        if waits && shared.begun.load(Ordering::Relaxed) == begun {
            if let Some(pool) = shared.pools().get(present) {
                pool.ask();
            }
            shared.choose();
        } else if present > 0 {
            shared.choose();
        } else if !waits {
            shared.is_watched.store(false, Ordering::Release);
            // What came in between has seen that somebody looks after it.
            if shared.waiting.1.is_empty() || shared.is_watched.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Far more than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test(flavor = "multi_thread")]
    async fn what_comes_while_every_thread_blocks_runs_on_spare_ones() {
        let threads = UserThreads::start(Handle::current()).unwrap();
        let (release, blocked) = mpsc::sync_channel::<()>(0);
        let blocked = Arc::new(Mutex::new(blocked));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (done, ended) = async_channel::bounded(1_024);
        // More than there are threads, and than the first spare one.
        for _ in 0..cores + 2 {
            let (blocked, done) = (blocked.clone(), done.clone());
            threads.spawn(Box::pin(async move {
                let _ = blocked.lock().unwrap().recv();
                done.try_send("blocked").unwrap();
            }));
        }
        for _ in 0..3 {
            let done = done.clone();
            threads.spawn(Box::pin(async move { done.try_send("free").unwrap() }));
        }
        for _ in 0..3 {
            let first = tokio::time::timeout(PATIENCE, ended.recv()).await.unwrap();
            assert_eq!(first.unwrap(), "free");
        }
        drop(release);
        for _ in 0..cores + 2 {
            let last = tokio::time::timeout(PATIENCE, ended.recv()).await.unwrap();
            assert_eq!(last.unwrap(), "blocked");
        }
        let free = async {
            while threads.shared.present.load(Ordering::Relaxed) > 0
                || threads.shared.is_watched.load(Ordering::Relaxed)
            {
                sleep(LOOK_INTERVAL).await;
            }
        };
        tokio::time::timeout(PATIENCE, free)
            .await
            .expect("the first threads take over again, and nobody watches");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_looks_after_threads_that_have_nothing_to_do() {
        let threads = UserThreads::start(Handle::current()).unwrap();
        let (done, ended) = async_channel::bounded(1);
        threads.spawn(Box::pin(async move { done.try_send(()).unwrap() }));
        ended.recv().await.unwrap();
        let idle = async {
            while threads.shared.is_watched.load(Ordering::Relaxed) {
                sleep(LOOK_INTERVAL).await;
            }
        };
        tokio::time::timeout(PATIENCE, idle).await.unwrap();
        assert_eq!(threads.shared.pools().len(), 1, "and there is no spare one");
    }
}
