//! A worker: it finds its control node by itself, or waits to be linked to, runs jobs, and asks for nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use phalanx_base::{Boot, Labels, NodeId, NodeStatus, Role};
use phalanx_jobs::{Operation, OperationReply, Spawn, StopProgress, WorkerService, WorkerSettings};
use phalanx_transport::Credential;
use tokio::sync::watch;

use crate::dial::{WorkerDial, WorkerPeers};
use crate::discovery::Discovery;
use crate::error::StartError;
use crate::event_log::EventLog;
use crate::events::{ClusterEvents, record_worker};
use crate::news::News;
use crate::node::{Node, Running, SHUTDOWN_GRACE};
use crate::setup::{Setup, node_builder};

/// Where a worker listens: it dials, so any free port will do.
const LISTEN: &str = "0.0.0.0:0";

/// A running worker. It stops when the last clone is dropped.
#[derive(Clone)]
pub struct Worker {
    node: Arc<Running>,
    log: EventLog,
}

/// Makes a [`Worker`].
#[must_use = "call start() to start the worker"]
pub struct WorkerBuilder {
    setup: Setup,
}

impl Worker {
    /// A worker of the cluster of this name, let in by this credential: the cluster's secret, or only a worker's part
    /// of it.
    pub fn builder(cluster: impl Into<String>, credential: impl Into<Credential>) -> WorkerBuilder {
        WorkerBuilder { setup: Setup::new(cluster.into(), credential.into(), LISTEN) }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.node.boot.node
    }

    /// Its name and its boot.
    #[must_use]
    pub fn boot(&self) -> &Boot {
        &self.node.boot
    }

    /// Where its socket is bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.node.endpoint.local_addr()
    }

    /// How it is: `Connecting` while no control node hosts its proxy.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        self.node.worker.view().borrow().status
    }

    /// Which control node hosts its proxy.
    #[must_use]
    pub fn owner(&self) -> Option<NodeId> {
        self.node.worker.view().borrow().owner.clone()
    }

    /// Waits until the worker is in a state, as it sees itself, or until it stops; its owner learns of it a moment later.
    /// Cancellation safe.
    pub async fn wait_for(&self, status: NodeStatus) {
        // An error says that the worker has stopped.
        let _ = self.node.worker.view().wait_for(|view| view.status == status).await;
    }

    /// Lets the worker take no new task; those that run go on, and requests are answered. The cluster sees it `Standby`.
    pub async fn standby(&self) {
        self.operate(Operation::Standby).await;
    }

    /// Lets the worker take tasks again, after [`standby`](Self::standby) or [`stop`](Self::stop).
    pub async fn ready(&self) {
        self.operate(Operation::Ready).await;
    }

    /// Lets the worker take no new task, and tells each that runs to stop; what has not ended after `grace` is ended. The
    /// cluster sees it `Stopping`, then `Stopped`; it answers requests all the time. Returns when no task is left;
    /// [`stop_progress`](Self::stop_progress) says meanwhile what is. Dropping the future lets the tasks stop all the same.
    pub async fn stop(&self, grace: Duration) {
        self.node.stop_tasks(grace).await;
    }

    /// How far the worker is with stopping: which tasks still run, whether each was told to stop, and when it is ended.
    /// `None` when the worker has shut down. Cancellation safe.
    pub async fn stop_progress(&self) -> Option<StopProgress> {
        match self.node.worker.operate(Operation::Stopping).await {
            Some(OperationReply::Stopping(progress)) => Some(progress),
            _ => None,
        }
    }

    /// Labels the worker anew, until it starts again. The cluster learns of it at once.
    pub async fn set_labels(&self, labels: Labels) {
        self.operate(Operation::SetLabels(labels)).await;
    }

    async fn operate(&self, operation: Operation) {
        // A worker that has stopped has nothing to change.
        let _ = self.node.worker.operate(operation).await;
    }

    /// What happens from now on, as this worker sees it: its own status, and what control nodes publish to every node.
    #[must_use]
    pub fn subscribe(&self) -> ClusterEvents {
        self.log.subscribe()
    }

    /// What has happened since an event that had this number at this node, as far as it is kept; 0 for all that is kept.
    #[must_use]
    pub fn subscribe_since(&self, number: u64) -> ClusterEvents {
        self.log.subscribe_since(number)
    }

    /// Waits until the worker has stopped. Cancellation safe.
    pub async fn stopped(&self) {
        self.node.spawn.stopped().await;
    }

    /// Tells the tasks to stop, waits until they have (for ten seconds at most, then they are ended), and closes the links.
    /// The cluster sees the worker `Stopping`, then `Stopped`. Who wants to give the tasks another time calls
    /// [`stop`](Self::stop) first.
    pub async fn shutdown(&self) {
        self.node.stop_tasks(SHUTDOWN_GRACE).await;
        self.node.stop().await;
    }
}

node_builder!(
    WorkerBuilder,
    "Where to bind the socket: `0.0.0.0` and any free port unless something else is given here."
);

impl WorkerBuilder {
    /// Starts the worker. It goes on looking for its control node for as long as it runs.
    ///
    /// # Errors
    /// [`StartError`]; nothing of the worker remains.
    pub async fn start(self) -> Result<Worker, StartError> {
        let base = self.setup.prepare(Role::Worker)?;
        let dial = WorkerDial::new(base.environment.resolver.clone());
        let (connected, is_connected) = watch::channel(false);
        let (discovery, found) =
            Discovery::new(base.strategies.clone(), base.discover_context(), is_connected);
        let peers = WorkerPeers::new(found, connected, &base.environment);
        let log = EventLog::new(base.boot.generation, base.environment.wall_clock.clone());
        let (news, _) = News::new(base.boot.clone(), Role::Worker, log.clone());
        let worker = WorkerService::start(WorkerSettings {
            identity: base.identity,
            config: base.config.jobs.clone(),
            jobs: base.jobs.clone(),
            spawn: base.spawn.clone(),
            observer: base.environment.observer.clone(),
            finder: Some((base.config.finder.clone(), base.environment.entropy.bits64(), dial.clone())),
        });
        let node = Arc::new(Node {
            boot: base.boot,
            endpoint: base.endpoint,
            worker: worker.clone(),
            control: None,
            links: base.links,
            news,
            spawn: base.spawn,
            store: base.environment.store,
        });
        dial.set_node(&node);
        node.spawn.spawn(Box::pin(node.clone().accept_links()));
        node.spawn.spawn(Box::pin(record_worker(log.clone(), node.boot.node.clone(), worker.view())));
        node.start_meter(base.environment.meter);
        node.spawn.spawn(Box::pin(discovery.run()));
        node.spawn.spawn(Box::pin(peers.feed(worker)));
        Ok(Worker { node: Arc::new(Running(node)), log })
    }
}
