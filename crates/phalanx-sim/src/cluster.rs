//! What a scenario holds in its hands: the cluster, its nodes, and what goes wrong with them.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use phalanx::{Control, Worker};
use phalanx_base::Work;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::faults::{Episode, Fault, inject};
use crate::history::{Entry, History};
use crate::properties::name;
use crate::sampler::{disagreement, misplaced};
use crate::world::{Running, World};

/// How often a condition is looked at while it is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How soon after the last fault the views of all control nodes agree.
const VIEWS_AGREE_WITHIN: Duration = Duration::from_secs(30);

/// How soon after it every worker has a proxy.
const PROXIES_WITHIN: Duration = Duration::from_secs(60);

/// How soon after it every worker is at its owner by the ring: the settle time and the moves come after.
const AT_HOME_WITHIN: Duration = Duration::from_secs(90);

/// A simulated cluster. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) world: Arc<World>,
    next: Arc<AtomicU64>,
    /// The scenario's own faults, which may outlast it.
    under_way: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Cluster {
    pub(crate) fn new(world: Arc<World>) -> Self {
        // The numbers below belong to the episodes of the schedule.
        Self { world, next: Arc::new(AtomicU64::new(1 << 32)), under_way: Arc::default() }
    }

    /// The control node of that number, from 1; `None` while it does not run.
    #[must_use]
    pub fn control(&self, number: usize) -> Option<Control> {
        match self.world.process(&format!("control-{number}"))?.node {
            Running::Control(control) => Some(*control),
            Running::Worker(_) => None,
        }
    }

    /// The worker of that number, from 1; `None` while it does not run.
    #[must_use]
    pub fn worker(&self, number: usize) -> Option<Worker> {
        match self.world.process(&format!("worker-{number}"))?.node {
            Running::Worker(worker) => Some(worker),
            Running::Control(_) => None,
        }
    }

    /// A control node that runs and is not paused, the first of them.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn any_control(&self) -> Control {
        let mut running = self.world.controls().into_iter().filter(|(process, _)| process.gate.is_running());
        running.next().map(|(_, control)| control).expect("a control node runs")
    }

    /// The history, for entries of your own and for what was broken.
    #[must_use]
    pub fn history(&self) -> &Arc<History> {
        &self.world.history
    }

    /// The simulated time since the begin.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.world.clock.elapsed()
    }

    /// A number that differs in each call, the same in each run of a seed.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs work as a part of a node: it is paused with it, and dies with it. Nothing happens where the node does not run.
    pub fn run_on(&self, node: &str, work: impl Future<Output = ()> + Send + 'static) {
        let work: Work = Box::pin(work);
        if let Some(process) = self.world.process(node) {
            World::run_in(&process, work);
        }
    }

    /// Lets a fault happen for a while, beginning now, beside whatever else goes on.
    pub fn fault(&self, fault: Fault, length: Duration) {
        let episode = Episode { begin: self.elapsed(), length, fault };
        let injected = tokio::spawn(inject(self.world.clone(), self.number(), vec![episode]));
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).push(injected);
    }

    /// The same, and waits until it is over.
    pub async fn during(&self, fault: Fault, length: Duration) {
        let episode = Episode { begin: self.elapsed(), length, fault };
        inject(self.world.clone(), self.number(), vec![episode]).await;
    }

    /// Waits until all of the scenario's own faults are over.
    pub(crate) async fn faults_over(&self) {
        let under_way = std::mem::take(&mut *self.under_way.lock().unwrap_or_else(PoisonError::into_inner));
        for fault in under_way {
            // A task that does not panic and is not aborted ends well.
            let _ = fault.await;
        }
    }

    /// Waits for so long.
    pub async fn sleep(&self, time: Duration) {
        sleep(time).await;
    }

    /// Waits until something is so, for `limit` at most.
    ///
    /// # Panics
    /// When it is not so in time, with `what` in its message.
    pub async fn wait_for(&self, what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
        let waiting = async {
            while !is_so() {
                sleep(LOOK_INTERVAL).await;
            }
        };
        if timeout(limit, waiting).await.is_err() {
            panic!("not within {limit:?}: {what}");
        }
    }

    /// Waits until all control nodes see each other, and every worker has a proxy.
    ///
    /// # Panics
    /// When that takes longer than a minute.
    pub async fn formed(&self) {
        let limit = self.elapsed() + Duration::from_secs(60);
        loop {
            let missing = match disagreement(&self.world) {
                Some(disagreement) => Some(disagreement),
                None => misplaced(&self.world, false).await,
            };
            let Some(missing) = missing else { return };
            assert!(self.elapsed() < limit, "the cluster has not formed: {missing}");
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Nothing goes wrong from now on. Checks what must hold in the end, each within its time, for 90 seconds.
    pub async fn settle(&self) {
        self.world.history.record(&Entry::Quiet);
        let begin = self.elapsed();
        self.agrees_by(begin + VIEWS_AGREE_WITHIN).await;
        self.placed_by(begin + PROXIES_WITHIN, false, name::ONE_PROXY).await;
        self.placed_by(begin + AT_HOME_WITHIN, true, name::AT_OWNER).await;
    }

    /// Checks at the end of the quiet time that what held once holds still.
    pub(crate) async fn still_settled(&self) {
        let now = self.elapsed();
        self.agrees_by(now).await;
        self.placed_by(now, true, name::AT_OWNER).await;
    }

    async fn agrees_by(&self, limit: Duration) {
        while let Some(disagreement) = disagreement(&self.world) {
            if self.elapsed() >= limit {
                return self.world.history.violated(name::VIEWS_AGREE, disagreement);
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    async fn placed_by(&self, limit: Duration, at_home: bool, property: &'static str) {
        while let Some(misplaced) = misplaced(&self.world, at_home).await {
            if self.elapsed() >= limit {
                return self.world.history.violated(property, misplaced);
            }
            sleep(LOOK_INTERVAL).await;
        }
    }
}
