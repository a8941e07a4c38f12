//! A cluster in one process: each node with a socket, a runtime and a store of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use phalanx::{
    Config, Control, ControlBuilder, NodeId, Secret, StaticPeers, SystemEntropy, Worker, WorkerBuilder,
    WorkerHandle,
};

use crate::ledger::Ledger;
use crate::logs::Logs;
use crate::probe::{Probe, Prober};
use crate::record::{Record, Recorder};
use crate::wait::until;

/// The name of every cluster here. The secrets differ, and so do the ports.
pub const CLUSTER_NAME: &str = "scenario";

/// Where nodes listen that come back to the same port. Where the whole of 127.0.0.0/8 is this machine, nobody else asks for
/// free ports of this address, so that none is taken between the two runs.
pub const OWN_ADDRESS: &str = if cfg!(target_os = "linux") { "127.0.77.1:0" } else { "127.0.0.1:0" };

/// How long the roster settles here before workers move.
const SETTLE: Duration = Duration::from_secs(1);

/// A cluster.
pub struct Cluster {
    /// Its secret.
    pub secret: Secret,
    /// What its control nodes have heard.
    pub record: Record,
    /// What its workers have begun.
    pub ledger: Ledger,
    config: Config,
    controls: BTreeMap<String, Control>,
    workers: BTreeMap<String, Worker>,
}

impl Cluster {
    /// Starts control nodes and workers of these names, and waits until they have formed a cluster.
    pub async fn start(controls: &[&str], workers: &[&str]) -> Self {
        Self::start_with(Self::config(), controls, workers).await
    }

    /// The configuration of the nodes here: the default one, but that they settle sooner.
    #[must_use]
    pub fn config() -> Config {
        let mut config = Config::default();
        config.jobs.settle = SETTLE;
        config
    }

    /// The same with other timing or caps on every node.
    pub async fn start_with(config: Config, controls: &[&str], workers: &[&str]) -> Self {
        Logs::get();
        let mut cluster = Self {
            secret: Secret::generate(&SystemEntropy::new()),
            record: Record::default(),
            ledger: Ledger::default(),
            config,
            controls: BTreeMap::new(),
            workers: BTreeMap::new(),
        };
        for name in controls {
            let builder = cluster.control_builder(name).expected_controls(controls.len());
            cluster.adopt_control(builder.start().await.expect("a control node on loopback starts"));
        }
        cluster.control_nodes_formed().await;
        for name in workers {
            cluster.add_worker(name).await;
        }
        cluster.formed().await;
        cluster
    }

    /// Where control nodes of this cluster are.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.controls.values().map(Control::local_addr).collect()
    }

    /// The builder of one more control node.
    pub fn control_builder(&self, name: &str) -> ControlBuilder {
        Control::builder(CLUSTER_NAME, &self.secret)
            .id(name)
            .listen("127.0.0.1:0")
            .discover(StaticPeers::new(self.addresses()))
            .config(self.config.clone())
            .job::<Probe>(Prober::new(&self.ledger))
            .events::<Probe>(Recorder::new(name, &self.record))
    }

    /// The builder of one more worker. It has a worker's part of the secret only.
    pub fn worker_builder(&self, name: &str) -> WorkerBuilder {
        Worker::builder(CLUSTER_NAME, self.secret.worker_credential())
            .id(name)
            .listen("127.0.0.1:0")
            .discover(StaticPeers::new(self.addresses()))
            .config(self.config.clone())
            .job::<Probe>(Prober::new(&self.ledger))
    }

    /// Starts one more control node. It is there at once, and part of the cluster a little later.
    pub async fn add_control(&mut self, name: &str) {
        let control = self.control_builder(name).start().await.expect("a control node on loopback starts");
        self.adopt_control(control);
    }

    /// Takes in a control node that the scenario has built itself.
    pub fn adopt_control(&mut self, control: Control) {
        self.controls.insert(control.id().to_string(), control);
    }

    /// Starts one more worker, or a new boot of one that was taken out before.
    pub async fn add_worker(&mut self, name: &str) {
        let worker = self.worker_builder(name).start().await.expect("a worker on loopback starts");
        self.adopt_worker(worker);
    }

    /// Takes in a worker that the scenario has built itself.
    pub fn adopt_worker(&mut self, worker: Worker) {
        self.workers.insert(worker.id().to_string(), worker);
    }

    /// The control node of this name.
    #[must_use]
    pub fn control(&self, name: &str) -> &Control {
        self.controls.get(name).unwrap_or_else(|| panic!("the scenario has started no control node {name}"))
    }

    /// The worker of this name.
    #[must_use]
    pub fn worker(&self, name: &str) -> &Worker {
        self.workers.get(name).unwrap_or_else(|| panic!("the scenario has started no worker {name}"))
    }

    /// Takes a control node out of this value; dropping it is as near to a crash as one process allows.
    pub fn take_control(&mut self, name: &str) -> Control {
        self.controls
            .remove(name)
            .unwrap_or_else(|| panic!("the scenario has started no control node {name}"))
    }

    /// Takes a worker out of this value.
    pub fn take_worker(&mut self, name: &str) -> Worker {
        self.workers.remove(name).unwrap_or_else(|| panic!("the scenario has started no worker {name}"))
    }

    /// All control nodes.
    pub fn controls(&self) -> impl Iterator<Item = &Control> {
        self.controls.values()
    }

    /// All workers, without those that control nodes are.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// A worker, asked through a control node. Both by their names.
    #[must_use]
    pub fn through(&self, control: &str, worker: &str) -> WorkerHandle {
        self.control(control).worker(id(worker))
    }

    /// The name of the control node that should own a worker, as the first of them sees it.
    #[must_use]
    pub fn ring_owner(&self, worker: &str) -> String {
        let control = self.controls.values().next().expect("a cluster has a control node");
        let owner = control.ownership().borrow().acting_owner(&id(worker));
        owner.expect("a cluster that has formed has owners").to_string()
    }

    /// The name of a control node that does not own a worker.
    #[must_use]
    pub fn bystander(&self, worker: &str) -> String {
        let owner = self.ring_owner(worker);
        let other = self.controls.keys().find(|name| **name != owner);
        other.expect("the scenario has two control nodes").clone()
    }

    /// The names of two control nodes by which a worker can be asked: its owner, and another one.
    #[must_use]
    pub fn both_ways(&self, worker: &str) -> [String; 2] {
        [self.ring_owner(worker), self.bystander(worker)]
    }

    /// Waits until the control nodes see each other active and alive, and nobody else.
    pub async fn control_nodes_formed(&self) {
        until("the control nodes form", async || {
            self.controls.values().all(|control| self.sees_all(control))
        })
        .await;
    }

    fn sees_all(&self, control: &Control) -> bool {
        let view = control.cluster().borrow().clone();
        let active: Vec<String> = view.roster.active().map(|entry| entry.node.to_string()).collect();
        let alive = view.members.iter().filter(|member| member.liveness.is_alive()).count();
        alive == self.controls.len() && active.iter().eq(self.controls.keys())
    }

    /// Waits until every worker, control nodes among them, has its proxy where every control node computes it.
    pub async fn formed(&self) {
        self.control_nodes_formed().await;
        self.settled().await;
    }

    /// Waits until every worker has its proxy at its acting owner, on which all control nodes agree.
    pub async fn settled(&self) {
        until("every worker is at its owner", async || {
            for name in self.controls.keys().chain(self.workers.keys()) {
                if !self.is_at_owner(name).await {
                    return false;
                }
            }
            true
        })
        .await;
    }

    async fn is_at_owner(&self, worker: &str) -> bool {
        let worker = id(worker);
        let acting = |control: &Control| control.ownership().borrow().acting_owner(&worker);
        let mut owners: Vec<Option<NodeId>> = self.controls.values().map(acting).collect();
        owners.dedup();
        let [Some(owner)] = owners.as_slice() else { return false };
        let Some(control) = self.controls.get(owner.as_str()) else { return false };
        let hosted =
            control.workers().await.into_iter().any(|info| info.worker == worker && info.hosted.is_some());
        let there = self.workers.get(worker.as_str()).is_none_or(|it| it.owner().as_ref() == Some(owner));
        hosted && there
    }

    /// Stops every node, side by side, and checks that none of them broke the protocol.
    pub async fn shutdown(self) {
        let Self { controls, workers, .. } = self;
        let workers: Vec<Worker> = workers.into_values().collect();
        let controls: Vec<Control> = controls.into_values().collect();
        futures_util::future::join_all(workers.iter().map(Worker::shutdown)).await;
        futures_util::future::join_all(controls.iter().map(Control::shutdown)).await;
        assert_no_violation(controls.iter().map(Control::id).chain(workers.iter().map(Worker::id)));
    }
}

/// Checks that no line of the log says of these nodes, or of one without a name, that it broke the protocol.
fn assert_no_violation<'a>(nodes: impl Iterator<Item = &'a NodeId>) {
    let mut broken = Logs::get().with(&["breaks the protocol"]);
    broken.extend(Logs::get().with(&["opened a stream it must not"]));
    let names: Vec<String> = nodes.map(|node| format!("={node}")).collect();
    broken.retain(|line| {
        let is_named = line.contains("worker=") || line.contains("peer=");
        !is_named || names.iter().any(|name| line.contains(name))
    });
    assert!(broken.is_empty(), "{broken:#?}");
}

fn id(name: &str) -> NodeId {
    name.parse().expect("the scenario's names are valid")
}
