//! Joins the parts of a control node, and starts what runs for as long as it lives.

use std::sync::Arc;

use phalanx_base::{NodeId, Role};
use phalanx_discovery::{Announcement, DiscoverContext, DynDiscover};
use phalanx_jobs::{
    ControlConfig, ControlService, EventHandlers, Spawn, Work, WorkerService, WorkerSettings,
};
use phalanx_membership::driver::MembershipHandle;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::cluster::{self, Ownership};
use crate::control::Control;
use crate::discovery::{self, Discovery};
use crate::environment::Environment;
use crate::event_log::EventLog;
use crate::events::record_control;
use crate::formation::{Formation, Forming, follow};
use crate::gossip::Gossip;
use crate::jobs::{Jobs, Surroundings};
use crate::labelling::{self, Applying, Labelling, Written};
use crate::locations::{self, Locating, Locations};
use crate::mesh::{DiscoveryView, Mesh, MeshTold};
use crate::metadata::{self, MetadataHandle};
use crate::news::News;
use crate::node::{ControlSide, LostWorker, Node, Running};
use crate::operator::{OperatorListener, Operators};
use crate::setup::Base;
use crate::tables::Mirrors;

/// How many lost workers wait to be dialled.
const LOST_WORKERS_MAX: usize = 1_024;

/// What a control node is made of, besides what every node has.
pub(crate) struct Parts {
    pub(crate) handlers: EventHandlers,
    pub(crate) gossip: Gossip,
    pub(crate) membership: MembershipHandle,
    pub(crate) announcement: Announcement,
    pub(crate) expected_controls: usize,
    pub(crate) forming: Forming,
}

/// How a node that leaves tells its own parts.
#[derive(Clone, Default)]
pub(crate) struct Leaving {
    /// It is found no more.
    pub(crate) withdrawn: CancellationToken,
    /// It has been taken back wherever it was published.
    pub(crate) is_withdrawn: CancellationToken,
    /// It dials no more.
    pub(crate) dials_no_more: CancellationToken,
}

/// What comes out of a node, for whoever deals with it.
struct Outlets {
    log: EventLog,
    service: ControlService,
    operators: OperatorListener,
    forgotten: mpsc::Receiver<NodeId>,
    lost_workers: mpsc::Receiver<LostWorker>,
}

/// How it finds the others.
struct Finding {
    strategies: Vec<DynDiscover>,
    context: DiscoverContext,
    announcement: Announcement,
    lost_workers: mpsc::Receiver<LostWorker>,
}

impl Parts {
    /// Joins the parts, and starts them.
    pub(crate) fn assemble(self, mut base: Base) -> Control {
        let nobody = Ownership::nobody(&self.membership.view().borrow());
        let cluster = Arc::new((base.cluster.clone(), base.cluster_id));
        let (context, strategies) = (base.discover_context(), std::mem::take(&mut base.strategies));
        let environment = base.environment.clone();
        let (locations, labels_written) = (locations::directory(), Arc::<Written>::default());
        let mirrors = Mirrors::default()
            .with(locations::TABLE, locations.clone())
            .with(labelling::TABLE, labels_written.clone());
        let (metadata, keeper) = metadata::start(&base, self.membership.view(), mirrors);
        let known = (metadata.clone(), locations.clone());
        let (node, outlets) = node(base, self.handlers, self.gossip, known, &nobody);
        let Outlets { log, service, operators, forgotten, lost_workers } = outlets;
        let start = |work: Work| node.spawn.spawn(work);
        let (members, workers) = (self.membership.subscribe(), service.subscribe());
        start(Box::pin(record_control(log.clone(), members, workers)));
        let labelling = follow_hosted(&node, &metadata, &service, labels_written);
        start(Box::pin(node.clone().accept_links()));
        start(Box::pin(node.clone().link_to_itself()));
        start(Box::pin(keeper.run()));
        node.start_meter(environment.meter.clone());
        start(Box::pin(cluster::end_when_expelled(self.membership.subscribe(), node.clone())));
        let finding = Finding { strategies, context, announcement: self.announcement, lost_workers };
        let (discovery, leaving) = finding.start(&node, &environment, &self.membership);
        let (ownership, formation) = own(
            (self.forming, self.expected_controls),
            nobody,
            &self.membership,
            &service,
            &node,
            &environment,
        );
        let around = Surroundings {
            service: service.clone(),
            ownership: ownership.clone(),
            view: self.membership.view(),
            log: log.clone(),
            entropy: environment.entropy.clone(),
        };
        let (jobs, supervising) = Jobs::new(metadata, around);
        node.spawn.spawn(Box::pin(supervising.run()));
        node.spawn.spawn(Box::pin(forget_workers(forgotten, service.clone(), jobs.clone())));
        Control {
            node: Arc::new(Running(node)),
            jobs,
            labelling,
            locations,
            service,
            membership: self.membership,
            ownership,
            resolver: environment.resolver,
            entropy: environment.entropy,
            cluster,
            formation,
            discovery,
            log,
            operators,
            leaving: Arc::new(leaving),
        }
    }
}

/// Writes down whom this node hosts, and labels them: from before its first link on.
fn follow_hosted(
    node: &Arc<Node>,
    metadata: &MetadataHandle,
    service: &ControlService,
    labels_written: Arc<Written>,
) -> Labelling {
    let labelling = Labelling::new(metadata.clone());
    let locating = Locating::new(metadata.clone(), service.clone());
    let applying = Applying::new(labelling.clone(), service.clone(), labels_written);
    node.spawn.spawn(Box::pin(locating.run()));
    node.spawn.spawn(Box::pin(applying.run()));
    labelling
}

/// The node itself.
fn node(
    base: Base,
    handlers: EventHandlers,
    gossip: Gossip,
    (metadata, directory): (MetadataHandle, Arc<Locations>),
    nobody: &Ownership,
) -> (Arc<Node>, Outlets) {
    let service = ControlService::start(ControlConfig {
        boot: base.boot.clone(),
        config: base.config.jobs.clone(),
        shards: base.environment.cores.get(),
        handlers,
        owners: nobody.owners(),
        directory,
        spawn: base.spawn.clone(),
    });
    let worker = WorkerService::start(WorkerSettings {
        identity: base.identity,
        config: base.config.jobs,
        jobs: base.jobs,
        spawn: base.spawn.clone(),
        observer: base.environment.observer,
        finder: None,
    });
    let log = EventLog::new(base.boot.generation, base.environment.wall_clock);
    let (news, forgotten) = News::new(base.boot.clone(), Role::Control, log.clone());
    let (lost_sender, lost_workers) = mpsc::channel(LOST_WORKERS_MAX);
    let (sender, operators) = Operators::new();
    let service_of_node = service.clone();
    let control = ControlSide {
        service: service_of_node,
        gossip,
        lost_workers: lost_sender,
        operators: sender,
        metadata,
    };
    let node = Arc::new(Node {
        boot: base.boot,
        endpoint: base.endpoint,
        worker,
        control: Some(control),
        links: base.links,
        news,
        spawn: base.spawn,
        store: base.environment.store,
    });
    (node, Outlets { log, service, operators, forgotten, lost_workers })
}

impl Finding {
    /// Looks for the others, links to them, and lets itself be found, until the node leaves.
    fn start(
        self,
        node: &Arc<Node>,
        environment: &Environment,
        membership: &MembershipHandle,
    ) -> (watch::Receiver<Arc<DiscoveryView>>, Leaving) {
        let (discovery_sender, discovery) = watch::channel(Arc::default());
        let (connected, is_connected) = watch::channel(false);
        let leaving = Leaving::default();
        let (looks, found) = Discovery::new(self.strategies.clone(), self.context.clone(), is_connected);
        let told = MeshTold { connected, discovery: discovery_sender };
        let (resolver, view) = (environment.resolver.clone(), membership.view());
        let mesh = Mesh::new(node.clone(), resolver, found, view, self.lost_workers, told);
        let start = |work: Work| node.spawn.spawn(work);
        start(Box::pin(until(leaving.dials_no_more.clone(), mesh.run())));
        start(Box::pin(until(leaving.dials_no_more.clone(), looks.run())));
        start(Box::pin(leaving.clone().announce(self.strategies, self.context, self.announcement)));
        (discovery, leaving)
    }
}

/// Takes the node's share of the workers once the cluster has formed, and keeps what a restart needs.
fn own(
    (forming, expected_controls): (Forming, usize),
    nobody: Ownership,
    membership: &MembershipHandle,
    service: &ControlService,
    node: &Arc<Node>,
    environment: &Environment,
) -> (watch::Receiver<Ownership>, watch::Receiver<Formation>) {
    let (owners_sender, ownership) = watch::channel(nobody);
    let (formation_sender, formation) = watch::channel(forming.formation());
    let view = membership.view();
    let (store, spawn) = (environment.store.clone(), environment.spawn.clone());
    let start = |work: Work| node.spawn.spawn(work);
    let expected = (formation.clone(), expected_controls);
    start(Box::pin(cluster::follow_owners(
        view.clone(),
        service.clone(),
        spawn.clone(),
        owners_sender,
        expected,
    )));
    start(Box::pin(cluster::keep_roster(view.clone(), store.clone(), spawn.clone())));
    start(Box::pin(follow(forming, view, formation_sender, membership.clone(), (store, spawn))));
    (ownership, formation)
}

impl Leaving {
    /// Publishes the node until it leaves.
    async fn announce(self, strategies: Vec<DynDiscover>, context: DiscoverContext, who: Announcement) {
        discovery::announce(strategies, context, who, self.withdrawn).await;
        self.is_withdrawn.cancel();
    }
}

/// Runs something until the node stops doing it.
async fn until(stops: CancellationToken, work: impl Future<Output = ()>) {
    // Whether it was cut short matters to nobody.
    let _ = stops.run_until_cancelled(work).await;
}

/// Carries out what operators at other control nodes wish.
async fn forget_workers(mut workers: mpsc::Receiver<NodeId>, service: ControlService, jobs: Jobs) {
    while let Some(worker) = workers.recv().await {
        let forgotten = service.forget(&worker).await;
        jobs.forget(worker.clone());
        tracing::debug!(%worker, ?forgotten, "an operator says that a worker will not come back");
    }
}
