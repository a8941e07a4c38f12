//! A control node: it finds the other ones, shares the workers with them, and can be asked for anything.

use std::borrow::Borrow;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use phalanx_base::{Address, AddressList, Boot, Entropy, Labels, NodeId, Role};
use phalanx_discovery::{Announcement, Resolver};
use phalanx_jobs::wire::TaskId;
use phalanx_jobs::{
    ControlService, Directory, Drain, DrainOptions, EventHandler, EventHandlers, Forgotten, JobClass, Nodes,
    OperationError, Spawn, Stream, TaskHandle, Tasks, WorkerHandle, WorkerInfo,
};
use phalanx_membership::driver::{MembershipHandle, RemoveFailed, drive};
use phalanx_membership::{ClusterView, LocalMember, Membership};
use phalanx_transport::{ClusterId, Credential};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::assembly::{Leaving, Parts};
use crate::cluster::{self, Ownership};
use crate::dial::connect;
use crate::error::{ConnectError, StartError};
use crate::event_log::EventLog;
use crate::events::ClusterEvents;
use crate::formation::{FORM_DEADLINE, Formation, Forming, served_before};
use crate::gossip::Gossip;
use crate::jobs::Jobs;
use crate::labelling::{Labelling, LabelsChangeError};
use crate::locations::Locations;
use crate::mesh::DiscoveryView;
use crate::news::PublishError;
use crate::node::{Running, SHUTDOWN_GRACE};
use crate::operator::OperatorListener;
use crate::setup::{Setup, advertised, node_builder};

/// Where a control node listens unless it is told: every interface, the cluster's usual port.
const LISTEN: &str = "0.0.0.0:7000";

/// A running control node. Cheap to clone; it stops when the last clone is dropped.
#[derive(Clone)]
pub struct Control {
    pub(crate) node: Arc<Running>,
    pub(crate) service: ControlService,
    pub(crate) membership: MembershipHandle,
    pub(crate) ownership: watch::Receiver<Ownership>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) cluster: Arc<(String, ClusterId)>,
    pub(crate) formation: watch::Receiver<Formation>,
    pub(crate) discovery: watch::Receiver<Arc<DiscoveryView>>,
    pub(crate) log: EventLog,
    pub(crate) operators: OperatorListener,
    pub(crate) leaving: Arc<Leaving>,
    pub(crate) jobs: Jobs,
    pub(crate) labelling: Labelling,
    pub(crate) locations: Arc<Locations>,
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
    form_deadline: Duration,
}

/// How long the places where a node was published may take to take that back.
const WITHDRAWAL_MAX: Duration = Duration::from_secs(2);

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
            form_deadline: FORM_DEADLINE,
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

    /// The name of its cluster.
    #[must_use]
    pub fn cluster_name(&self) -> &str {
        &self.cluster.0
    }

    /// The id of its cluster, which follows from the name and the secret.
    #[must_use]
    pub fn cluster_id(&self) -> ClusterId {
        self.cluster.1
    }

    /// Whether the control nodes that were expected are there, with notice of every change.
    #[must_use]
    pub fn formation(&self) -> watch::Receiver<Formation> {
        self.formation.clone()
    }

    /// How it finds the others, with notice of every change.
    #[must_use]
    pub fn discovery(&self) -> watch::Receiver<Arc<DiscoveryView>> {
        self.discovery.clone()
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

    /// A handle to a task that somebody has started on a worker, here or at another control node: as
    /// [`WorkerHandle::task`]. Dropping the future cancels the question.
    ///
    /// # Errors
    /// [`OperationError`] where the worker has no such task (any more), or cannot be asked.
    pub async fn task<C: JobClass>(
        &self,
        worker: impl Borrow<NodeId>,
        task: &TaskId,
    ) -> Result<TaskHandle<C>, OperationError> {
        self.worker(worker).task(task).await
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

    /// The control node that hosts a worker, as the control nodes have written it down: known here without asking anybody, and
    /// behind by a moment where the worker moves. Who calls a worker need not know it.
    #[must_use]
    pub fn location_of(&self, worker: impl Borrow<NodeId>) -> Option<NodeId> {
        self.locations.location(worker.borrow())
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
        self.log.subscribe()
    }

    /// What has happened since an event that had this number at this node, as far as it is kept; 0 for all that is kept.
    /// Where something is missing, the reader is told so first: [`ClusterEvent::Missed`](crate::ClusterEvent::Missed) or
    /// [`ClusterEvent::Gap`](crate::ClusterEvent::Gap).
    #[must_use]
    pub fn subscribe_since(&self, number: u64) -> ClusterEvents {
        self.log.subscribe_since(number)
    }

    /// Tells every node of the cluster something of the user's own: whoever is there hears it once, as
    /// [`ClusterEvent::User`](crate::ClusterEvent::User), this node too. It is not kept for whoever is not there, and a node
    /// that is too busy may miss it.
    ///
    /// # Errors
    /// [`PublishError`]; nobody has heard of it.
    pub fn publish(&self, name: &str, payload: impl Into<Bytes>) -> Result<(), PublishError> {
        self.node.news.publish(name, payload.into())
    }

    /// The jobs of the cluster: tasks that are kept at the number that was asked for.
    #[must_use]
    pub fn jobs(&self) -> Jobs {
        self.jobs.clone()
    }

    /// Labels a worker, for good: it gets these labels a moment later, from whoever hosts it, and again each time it comes
    /// with others. So they go before its own configuration at each start, after a moment in which it has that; what it is
    /// labelled with otherwise, by itself or by its handle, lasts until it attaches anew at the latest. A worker that is not
    /// there gets them when it comes. All control nodes know of it, and their stores. Of two that label one worker at one
    /// time the later one wins.
    ///
    /// Returns once it is written down here; other control nodes know it a moment later. Dropping the future may leave it done
    /// or not.
    ///
    /// # Errors
    /// [`LabelsChangeError`]; nothing has changed.
    pub async fn set_labels(
        &self,
        worker: impl Borrow<NodeId>,
        labels: Labels,
    ) -> Result<(), LabelsChangeError> {
        self.labelling.set(worker.borrow(), &labels).await
    }

    /// Takes back what [`set_labels`](Self::set_labels) has said. The worker keeps the labels until it starts again; then it has
    /// those of its own configuration. Where nothing was said nothing changes. Dropping the future may leave it done or not.
    ///
    /// # Errors
    /// [`LabelsChangeError`]; nothing has changed.
    pub async fn clear_labels(&self, worker: impl Borrow<NodeId>) -> Result<(), LabelsChangeError> {
        self.labelling.clear(worker.borrow()).await
    }

    /// What [`set_labels`](Self::set_labels) has said of a worker, if anything, as this control node knows it. What the worker
    /// has is in [`nodes`](Self::nodes).
    pub async fn labels_of(&self, worker: impl Borrow<NodeId>) -> Option<Labels> {
        self.labelling.of(worker.borrow()).await
    }

    /// Drops what the control nodes keep for a worker that is lost and will not come back, on this node and on every other
    /// one: who asks for it learns at once that nobody hosts it. A worker that is connected is left alone. Should it come back
    /// after all, it is welcome. Also what [`set_labels`](Self::set_labels) has said of it is dropped, once it is certain that
    /// nobody hosts it. Says what became of it at this node. Dropping the future may leave it done or not.
    pub async fn forget(&self, worker: impl Borrow<NodeId>) -> Forgotten {
        let worker = worker.borrow();
        let here = self.service.forget(worker).await;
        if here != Forgotten::Connected {
            self.node.news.forget(worker.clone());
            if self.service.is_hosted(worker).await == Some(false)
                && let Err(error) = self.labelling.clear(worker).await
            {
                tracing::warn!(%worker, %error, "the labels of a forgotten worker stay");
            }
        }
        here
    }

    /// Serves one stream of a program that is no node and may do anything, such as an operator's: its calls enter the cluster
    /// here, and its transfers go through here. Returns when the stream has ended; dropping the future cancels its calls. The
    /// program's end is a [`Gateway`](phalanx_jobs::Gateway).
    pub async fn serve_gateway(&self, stream: Stream) {
        self.service.serve_gateway(stream).await;
    }

    /// The streams that operators open at this node, over the network. Until this is called they are refused.
    #[must_use]
    pub fn operators(&self) -> OperatorListener {
        self.operators.clone().listening()
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
        self.leaving.withdrawn.cancel();
        let handed_over = async { self.drain(DrainOptions::default()).await.finished().await };
        tokio::join!(handed_over, self.node.stop_tasks(SHUTDOWN_GRACE));
        self.leaving.dials_no_more.cancel();
        if let Some(control) = &self.node.control {
            control.metadata.store().await;
        }
        // A membership that has stopped has nobody to tell.
        let _ = self.membership.leave().await;
        if timeout(WITHDRAWAL_MAX, self.leaving.is_withdrawn.cancelled()).await.is_err() {
            tracing::warn!("this node is still published somewhere: it is forgotten there later");
        }
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

    /// How many control nodes, itself among them, to wait for before this one takes its share of the workers at the first
    /// start of a cluster; 1 unless something else is given here. It never stops a cluster that runs, nor keeps a node
    /// from one that does. See [`Control::formation`].
    pub fn expected_controls(mut self, count: usize) -> Self {
        self.expected_controls = count;
        self
    }

    /// How long to wait for them: a minute unless something else is given here. Then the node gives up and takes no
    /// workers until they come; one that has served before serves with whoever is there, after ten seconds at most.
    pub fn form_deadline(mut self, patience: Duration) -> Self {
        self.form_deadline = patience;
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
        let Self { setup, handlers, addresses, weight, zone, expected_controls, form_deadline } = self;
        let base = setup.prepare(Role::Control)?;
        let addresses = addresses.unwrap_or_else(|| advertised(base.endpoint.local_addr()));
        let store = base.environment.store.as_ref();
        let stored = cluster::stored_roster(store)?;
        let now = tokio::time::Instant::now();
        let forming = Forming::new(now, expected_controls, form_deadline, served_before(store));
        let announcement = Announcement { boot: base.boot.clone(), addresses: addresses.clone() };
        let local = LocalMember { boot: base.boot.clone(), addresses, weight, zone, stored };
        let seed = base.environment.entropy.bits64();
        let core = Membership::new(base.config.membership.clone(), local, seed, now.into_std())?;
        let gossip = Gossip::new();
        let (membership, driver) = drive(core, gossip.clone());
        base.spawn.spawn(Box::pin(driver));
        let parts = Parts { handlers, gossip, membership, announcement, expected_controls, forming };
        Ok(parts.assemble(base))
    }
}
