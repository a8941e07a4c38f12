//! A control node: it finds the other ones, shares the workers with them, and can be asked for anything.

use std::borrow::Borrow;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use phalanx_base::{Address, AddressList, Boot, NodeId, Role};
use phalanx_discovery::Resolver;
use phalanx_jobs::{
    ControlConfig, ControlService, Drain, DrainOptions, EventHandler, EventHandlers, JobClass, Nodes, Spawn,
    Tasks, WorkerHandle, WorkerInfo, WorkerService, WorkerSettings,
};
use phalanx_membership::driver::{MembershipHandle, RemoveFailed, drive};
use phalanx_membership::{ClusterView, LocalMember, Membership};
use phalanx_transport::Credential;
use tokio::sync::{mpsc, watch};

use crate::cluster::{self, Ownership};
use crate::dial::connect;
use crate::error::{ConnectError, StartError};
use crate::events::ClusterEvents;
use crate::gossip::Gossip;
use crate::mesh::Mesh;
use crate::node::{ControlSide, Node, Running, SHUTDOWN_GRACE};
use crate::setup::{Base, Setup, advertised, node_builder};

/// Where a control node listens unless it is told: every interface, the cluster's usual port.
const LISTEN: &str = "0.0.0.0:7000";

/// How many lost workers wait to be dialled.
const LOST_WORKERS_MAX: usize = 1_024;

/// A running control node. Cheap to clone; it stops when the last clone is dropped.
#[derive(Clone)]
pub struct Control {
    node: Arc<Running>,
    service: ControlService,
    membership: MembershipHandle,
    ownership: watch::Receiver<Ownership>,
    resolver: Arc<dyn Resolver>,
}

/// Makes a [`Control`].
#[must_use = "call start() to start the control node"]
pub struct ControlBuilder {
    setup: Setup,
    handlers: EventHandlers,
    addresses: Option<AddressList>,
    weight: u16,
    zone: String,
    expected_controls: usize,
}

impl Control {
    /// A control node of the cluster of this name, let in by its secret.
    pub fn builder(cluster: impl Into<String>, secret: impl Into<Credential>) -> ControlBuilder {
        ControlBuilder {
            setup: Setup::new(cluster.into(), secret.into(), LISTEN),
            handlers: EventHandlers::default(),
            addresses: None,
            weight: 1,
            zone: String::new(),
            expected_controls: 1,
        }
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

    /// A worker, by its name, wherever its proxy is. It does no I/O; a name that nobody knows is an error of the call.
    #[must_use]
    pub fn worker(&self, id: impl Borrow<NodeId>) -> WorkerHandle {
        self.service.worker(id.borrow().clone())
    }

    /// Links this node to the one at an address, by hand: for clusters without discovery. A control node there becomes part
    /// of the cluster, a worker gets its owner. Returns who it is; a link that exists already is kept. Dropping the future
    /// may leave the link or not.
    ///
    /// # Errors
    /// [`ConnectError`] says why there is no link; nothing has changed.
    pub async fn connect(&self, address: &str) -> Result<NodeId, ConnectError> {
        let address = Address::from_str(address)?;
        connect(&self.node, self.resolver.as_ref(), &address).await
    }

    /// Removes another control node from the cluster, such as one that will not come back: it does not count any more for
    /// what a majority is. Should it run, it ends; started anew it may join again. One that has only left needs no removal.
    ///
    /// # Errors
    /// [`RemoveFailed`] says why it was not removed; nothing has changed.
    pub async fn remove(&self, control: impl Borrow<NodeId>) -> Result<(), RemoveFailed> {
        self.membership.remove(control.borrow().clone()).await
    }

    /// Every worker that any control node of the cluster hosts, the control nodes' own ones among them; and which control
    /// nodes did not answer. A worker that has just been accepted, or that moves meanwhile, may be missing.
    pub async fn nodes(&self) -> Nodes {
        self.service.nodes().await
    }

    /// Every task that runs anywhere in the cluster, and who did not answer.
    pub async fn tasks(&self) -> Tasks {
        self.service.tasks().await
    }

    /// The workers that this node knows: those whose proxies it hosts, and those it has lately met.
    pub async fn workers(&self) -> Vec<WorkerInfo> {
        self.service.workers().await
    }

    /// The control nodes, as this one sees them, with notice of every change.
    #[must_use]
    pub fn cluster(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.membership.view()
    }

    /// Who owns which partition, as this node sees it, with notice of every change.
    #[must_use]
    pub fn ownership(&self) -> watch::Receiver<Ownership> {
        self.ownership.clone()
    }

    /// What happens from now on: to the control nodes, and to the workers whose proxies this node hosts.
    #[must_use]
    pub fn subscribe(&self) -> ClusterEvents {
        ClusterEvents::new(self.membership.subscribe(), self.service.subscribe())
    }

    /// Waits until the node has been told to stop. Cancellation safe.
    pub async fn stopped(&self) {
        self.node.spawn.stopped().await;
    }

    /// Gives all workers of this node to other control nodes, and takes no further one. There is no way back: the node stays
    /// in the cluster and can be asked for anything, until [`shutdown`](Self::shutdown) or a restart. Callers and handlers
    /// of events notice nothing of it. The [`Drain`] says how it goes, and what holds up the workers that are left; what is
    /// left at the deadline is released, and looks for its owner by itself. Workers that nobody is there to take stay.
    ///
    /// Returns when the others have been told. Dropping the future, or the [`Drain`], leaves the node draining.
    pub async fn drain(&self, options: DrainOptions) -> Drain {
        // A membership that has stopped has nobody to tell, and the workers are gone with it.
        if self.membership.drain().await.is_ok() {
            // The shards are told before everybody else is, so that whoever asks them from here on asks about the new plan.
            let _ = self.ownership.clone().wait_for(Ownership::is_leaving).await;
        }
        self.service.drain(options)
    }

    /// Leaves the cluster in order: hands every worker over to another control node, as [`drain`](Self::drain) does within a
    /// minute, lets the tasks of this node stop, waits for the calls that are under way, tells the others that it leaves,
    /// and closes every link. Who wants to give it another time, or to see how it goes, calls `drain` first.
    ///
    /// Dropping the future leaves the node on its way out; call it again to go on.
    pub async fn shutdown(&self) {
        let handed_over = async { self.drain(DrainOptions::default()).await.finished().await };
        tokio::join!(handed_over, self.node.stop_tasks(SHUTDOWN_GRACE));
        // A membership that has stopped has nobody to tell.
        let _ = self.membership.leave().await;
        self.node.stop().await;
    }
}

node_builder!(
    ControlBuilder,
    "Where to bind the socket: `0.0.0.0:7000` unless something else is given here."
);

impl ControlBuilder {
    /// Where others reach this node, best first. Without it, where the socket is bound.
    pub fn advertise(mut self, addresses: impl IntoIterator<Item = Address>) -> Self {
        match AddressList::new(addresses) {
            Ok(addresses) => self.addresses = Some(addresses),
            Err(error) => self.setup.mistake(error),
        }
        self
    }

    /// How many shares of the workers the node takes; 1 unless something else is given here.
    pub fn weight(mut self, weight: u16) -> Self {
        self.weight = weight;
        self
    }

    /// The failure zone of the node, such as a rack. Standbys of a worker are in other zones than its owner.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = zone.into();
        self
    }

    /// How many control nodes to wait for before this one takes its share of the workers; ten seconds at most. It never stops a cluster
    /// that runs.
    pub fn expected_controls(mut self, count: usize) -> Self {
        self.expected_controls = count;
        self
    }

    /// Says what becomes of the events of a job class.
    pub fn events<C: JobClass>(mut self, handler: impl EventHandler<C>) -> Self {
        let registered = self.handlers.register::<C, _>(handler);
        self.setup.note(registered);
        self
    }

    /// Starts the node. It goes on looking for the other ones for as long as it runs.
    ///
    /// # Errors
    /// [`StartError`]; nothing of the node remains.
    pub async fn start(self) -> Result<Control, StartError> {
        let Self { setup, handlers, addresses, weight, zone, expected_controls } = self;
        let base = setup.prepare(Role::Control)?;
        let addresses = addresses.unwrap_or_else(|| advertised(base.endpoint.local_addr()));
        let stored = cluster::stored_roster(base.environment.store.as_ref())?;
        let local = LocalMember { boot: base.boot.clone(), addresses, weight, zone, stored };
        let seed = base.environment.entropy.bits64();
        let now = tokio::time::Instant::now().into_std();
        let core = Membership::new(base.config.membership.clone(), local, seed, now)?;
        let gossip = Gossip::new();
        let (membership, driver) = drive(core, gossip.clone());
        base.spawn.spawn(Box::pin(driver));
        Ok(assemble(base, handlers, gossip, membership, expected_controls))
    }
}

/// Joins the parts of a control node, and starts what runs for as long as it lives.
fn assemble(
    base: Base,
    handlers: EventHandlers,
    gossip: Gossip,
    membership: MembershipHandle,
    expected_controls: usize,
) -> Control {
    let worker = WorkerService::start(WorkerSettings {
        identity: base.worker_identity(),
        config: base.config.jobs.clone(),
        jobs: base.jobs.clone(),
        spawn: base.spawn.clone(),
        observer: base.environment.observer.clone(),
        finder: None,
    });
    let ownership = Ownership::nobody(&membership.view().borrow());
    let service = ControlService::start(ControlConfig {
        boot: base.boot.clone(),
        config: base.config.jobs.clone(),
        shards: base.environment.cores.get(),
        handlers,
        owners: ownership.owners(),
        spawn: base.spawn.clone(),
    });
    let environment = base.environment;
    let (lost_workers, lost) = mpsc::channel(LOST_WORKERS_MAX);
    let node = Arc::new(Node {
        boot: base.boot,
        endpoint: base.endpoint,
        worker,
        control: Some(ControlSide { service: service.clone(), gossip, lost_workers }),
        links: base.links,
        spawn: base.spawn,
        store: environment.store.clone(),
    });
    let (owners_sender, ownership) = watch::channel(ownership);
    let start = |work| node.spawn.spawn(work);
    start(Box::pin(node.clone().accept_links()));
    start(Box::pin(node.clone().link_to_itself()));
    let view = membership.view();
    let mesh = Mesh::new(node.clone(), environment.resolver.clone(), base.strategies, view.clone(), lost);
    start(Box::pin(mesh.run()));
    start(Box::pin(cluster::follow_owners(
        view.clone(),
        service.clone(),
        environment.spawn.clone(),
        owners_sender,
        expected_controls,
    )));
    start(Box::pin(cluster::keep_roster(view.clone(), environment.store, environment.spawn)));
    start(Box::pin(cluster::end_when_expelled(membership.subscribe(), node.clone())));
    start(Box::pin(cluster::activate(view, membership.clone(), expected_controls)));
    let node = Arc::new(Running(node));
    Control { node, service, membership, ownership, resolver: environment.resolver }
}
