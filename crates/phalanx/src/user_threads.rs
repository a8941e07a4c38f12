//! Threads for the user's code, and more of them while all are blocked.
//!
//! Work waits in one queue, and a few *runners* take it from there: each begins a piece, and lets go of it when it does not end at
//! once, as a task of its own. So a handler that answers without waiting costs no task and no wake-up, and what comes
//! together is run together.
//!
//! A handler should wrap what blocks in `cx.blocking`. One that does not holds up the thread it is on, and only what it has
//! begun: what waits is taken by the other runners, and when all of them are blocked, by those of a spare thread.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use phalanx_base::Work;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::yield_now;
use tokio::time::sleep;

/// How much work waits for a thread: every call and task that a worker takes at one time, a few times over. What finds no
/// room becomes a task of the first threads.
const WAITING_MAX: usize = 65_536;

/// How many spare threads there are: whoever blocks more than these holds up others.
const SPARES_MAX: usize = 32;

/// How long work may wait before the threads count as blocked, and how often they are looked at then: what somebody hardly
/// notices, and far more than a busy thread needs to come to its next piece of work.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How much work a runner begins before it lets the tasks of its thread have their turn.
const BURST_MAX: usize = 32;

/// The threads. Dropping it ends them without waiting for what blocks.
pub(crate) struct UserThreads {
    system: Handle,
    shared: Arc<Shared>,
}

struct Shared {
    /// Taken before `pools` where both are.
    queue: Mutex<Queue>,
    pools: Mutex<Vec<Pool>>,
    /// Whether somebody looks after it.
    is_watched: AtomicBool,
}

struct Queue {
    waiting: VecDeque<Work>,
    /// How much work has been begun.
    begun: u64,
    /// Where runners are started.
    present: Handle,
    /// Which pool that is.
    present_number: usize,
    /// How many runners there may be on it: one a thread.
    runners_max: usize,
    /// How many of them there are, blocked or not.
    runners: usize,
    /// Grows when other threads take over: the runners of before are not counted any more.
    shift: u64,
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
        let queue = Queue {
            waiting: VecDeque::new(),
            begun: 0,
            present: first.runtime.handle().clone(),
            present_number: 0,
            runners_max: first.runtime.metrics().num_workers(),
            runners: 0,
            shift: 0,
        };
        let shared = Shared {
            queue: Mutex::new(queue),
            pools: Mutex::new(vec![first]),
            is_watched: AtomicBool::new(false),
        };
        Ok(Self { system, shared: Arc::new(shared) })
    }

    pub(crate) fn spawn(&self, work: Work) {
        {
            let mut queue = self.shared.queue();
            if queue.waiting.len() >= WAITING_MAX {
                drop(queue);
                drop(self.shared.pools()[0].runtime.spawn(work));
                return;
            }
            queue.waiting.push_back(work);
            self.shared.add_runner(&mut queue);
        }
        if !self.shared.is_watched.load(Ordering::Acquire)
            && !self.shared.is_watched.swap(true, Ordering::AcqRel)
        {
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
        let pools: Vec<Pool> = self.shared.pools().drain(..).collect();
        for pool in pools {
            pool.runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pools(&self) -> MutexGuard<'_, Vec<Pool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a runner for what waits, unless there are enough.
    fn add_runner(self: &Arc<Self>, queue: &mut Queue) {
        if !queue.waiting.is_empty() && queue.runners < queue.runners_max {
            queue.runners += 1;
            let runner = Runner { shared: self.clone(), shift: queue.shift, is_counted: true };
            drop(queue.present.spawn(runner.run()));
        }
    }

    /// The first pool that answers takes what comes, and what waits.
    fn choose(self: &Arc<Self>) {
        let mut queue = self.queue();
        let mut pools = self.pools();
        let Some(number) = pools.iter().position(Pool::answers).or_else(|| add(&mut pools)) else { return };
        let runtime = &pools[number].runtime;
        if queue.present_number != number {
            queue.present = runtime.handle().clone();
            queue.present_number = number;
            queue.runners_max = runtime.metrics().num_workers();
            queue.runners = 0;
            queue.shift += 1;
            self.add_runner(&mut queue);
        }
    }
}

/// Begins what waits.
struct Runner {
    shared: Arc<Shared>,
    shift: u64,
    is_counted: bool,
}

impl Runner {
    async fn run(mut self) {
        loop {
            for _ in 0..BURST_MAX {
                let Some(mut work) = self.next() else { return };
                if (&mut work).now_or_never().is_none() {
                    // It is polled once more there, which tells it whom to wake.
                    tokio::spawn(work);
                }
            }
            yield_now().await;
        }
    }

    /// What to do next; where there is nothing the runner ends. What waits behind it has another runner first, since this one
    /// may block.
    fn next(&mut self) -> Option<Work> {
        let shared = self.shared.clone();
        let mut queue = shared.queue();
        let Some(work) = queue.waiting.pop_front() else {
            self.uncount(&mut queue);
            return None;
        };
        queue.begun += 1;
        shared.add_runner(&mut queue);
        Some(work)
    }

    fn uncount(&mut self, queue: &mut Queue) {
        if std::mem::take(&mut self.is_counted) && queue.shift == self.shift {
            queue.runners -= 1;
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // One that a panic has ended leaves its place to another.
        if self.is_counted {
            let shared = self.shared.clone();
            let mut queue = shared.queue();
            self.uncount(&mut queue);
            shared.add_runner(&mut queue);
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
    let looked = |shared: &Shared| {
        let queue = shared.queue();
        (!queue.waiting.is_empty(), queue.present_number, queue.begun)
    };
    loop {
        let (.., begun) = looked(&shared);
        sleep(LOOK_INTERVAL).await;
        let (waits, present, begun_since) = looked(&shared);
        if waits && begun_since == begun {
            if let Some(pool) = shared.pools().get(present) {
                pool.ask();
            }
            shared.choose();
        } else if present > 0 {
            shared.choose();
        } else if !waits {
            shared.is_watched.store(false, Ordering::Release);
            // What came in between has seen that somebody looks after it.
            if shared.queue().waiting.is_empty() || shared.is_watched.swap(true, Ordering::AcqRel) {
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
            while threads.shared.queue().present_number > 0
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
