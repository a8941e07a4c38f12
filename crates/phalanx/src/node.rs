//! What a control node and a worker have in common: an endpoint, links, and what becomes of a link.
//!
//! The difference is data: a control node has a [`ControlSide`], a worker has none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use phalanx_base::{Boot, Generation, NodeId, Role, TransportKind};
use phalanx_jobs::{Accepted, Carrier, ControlService, Operation, Spawn, Stream, WorkerService, accept};
use phalanx_transport::{CloseReason, Endpoint, Link, LinkLost, Peer};
use tokio::sync::mpsc;

use crate::carrier::{carrier, link_id, stream};
use crate::gossip::Gossip;
use crate::links::{SharedLinks, retire};
use crate::metadata::MetadataHandle;
use crate::meter::Meter;
use crate::news::News;
use crate::operator::Operators;
use crate::setup::stored;
use crate::spawn::NodeSpawn;
use crate::store::Store;

/// How long the tasks of a node that shuts down may take to stop.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// How long peers may take to receive what was sent to them before the links close.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// What only a control node has.
pub(crate) struct ControlSide {
    pub(crate) service: ControlService,
    pub(crate) gossip: Gossip,
    /// Where workers were whose links are lost, for whoever dials them.
    pub(crate) lost_workers: mpsc::Sender<LostWorker>,
    pub(crate) operators: Operators,
    pub(crate) metadata: MetadataHandle,
}

/// A worker whose link is lost, and where it was.
pub(crate) struct LostWorker {
    pub(crate) node: NodeId,
    pub(crate) socket: SocketAddr,
}

pub(crate) struct Node {
    pub(crate) boot: Boot,
    pub(crate) endpoint: Endpoint,
    pub(crate) worker: WorkerService,
    pub(crate) control: Option<ControlSide>,
    pub(crate) links: SharedLinks,
    pub(crate) news: News,
    pub(crate) spawn: Arc<NodeSpawn>,
    pub(crate) store: Arc<dyn Store>,
}

impl Node {
    /// Takes in the links of those who dial, until the endpoint is closed.
    pub(crate) async fn accept_links(self: Arc<Self>) {
        while let Some(link) = self.endpoint.accept().await {
            self.clone().adopt(link);
        }
    }

    /// Takes a new link into use, or closes it when a better one to the same peer is there.
    pub(crate) fn adopt(self: Arc<Self>, link: Link) {
        if link.peer().role == Role::Operator {
            return self.serve_operator(link);
        }
        let inserted = self.links.lock().insert(link.clone());
        match inserted {
            Ok(None) => {}
            Ok(Some(replaced)) => self.spawn.spawn(Box::pin(retire(replaced, link.peer().boot.clone()))),
            Err(refused) => return refused.close(CloseReason::Duplicate),
        }
        let spawn = self.spawn.clone();
        spawn.spawn(Box::pin(async move { self.run_link(link).await }));
    }

    fn serve_operator(&self, link: Link) {
        match &self.control {
            Some(control) => self.spawn.spawn(Box::pin(control.operators.clone().serve(link))),
            // The handshake lets none through to a worker.
            None => link.close(CloseReason::Violation),
        }
    }

    /// Tells everybody of a link, serves it until it is lost, and tells everybody of that.
    async fn run_link(self: Arc<Self>, link: Link) {
        let peer = link.peer().clone();
        tracing::debug!(peer = %peer.boot, role = %peer.role, "a link is up");
        let carrier = carrier(link.clone());
        if !self.links.tell_of(&link, self.tell_up(&link, &carrier)).await {
            tracing::debug!(peer = %peer.boot, "a link was replaced before anybody knew of it");
            return link.close(CloseReason::Duplicate);
        }
        let lost = self.serve(&link, &carrier).await;
        tracing::debug!(peer = %peer.boot, %lost, "a link is lost");
        self.links.lock().remove(&link);
        self.worker.link_lost(carrier.id()).await;
        self.news.link_lost(carrier.id());
        if let Some(control) = &self.control {
            let left = matches!(lost, LinkLost::ClosedByPeer(CloseReason::Shutdown));
            control.service.link_lost(&peer.boot.node, carrier.id(), left).await;
            // Over TCP the socket of a worker that dialled is none that it listens on.
            if let (Role::Worker, Some(socket), Some(TransportKind::Quic)) =
                (peer.role, peer.remote, link.transport())
                && was_cut(&lost)
            {
                // The worker dials too, so that one whom this queue has no room for is found as well.
                let _ = control.lost_workers.try_send(LostWorker { node: peer.boot.node.clone(), socket });
            }
            control.gossip.link_lost(&peer.boot, carrier.id(), &lost).await;
            if peer.role == Role::Control {
                control.metadata.link_lost(&peer.boot.node, carrier.id()).await;
            }
        }
    }

    async fn tell_up(&self, link: &Link, carrier: &Arc<dyn Carrier>) {
        let is_control = link.peer().role == Role::Control;
        if is_control {
            self.worker.link_up(carrier.clone()).await;
        }
        let Some(control) = &self.control else { return };
        self.spawn.spawn(Box::pin(self.news.link_up(carrier.clone())));
        control.service.link_up(carrier.clone()).await;
        if is_control {
            let syncs = control.gossip.link_up(link.clone(), carrier.clone()).await;
            self.spawn.spawn(Box::pin(syncs));
            self.spawn.spawn(Box::pin(control.metadata.link_up(carrier.clone()).await));
        }
    }

    /// Takes in the streams and datagrams of a link until it is lost.
    async fn serve(self: &Arc<Self>, link: &Link, carrier: &Arc<dyn Carrier>) -> LinkLost {
        loop {
            tokio::select! {
                biased;
                accepted = link.accept() => match accepted {
                    Ok((lane, sender, receiver)) => {
                        let (node, link, carrier) = (self.clone(), link.clone(), carrier.clone());
                        let stream = stream(sender, receiver);
                        self.spawn.spawn(Box::pin(async move { node.take_stream(&link, &carrier, lane, stream).await }));
                    }
                    Err(lost) => return lost,
                },
                datagram = link.recv_datagram() => match (datagram, &self.control) {
                    (Ok(bytes), Some(control)) if link.peer().role == Role::Control => {
                        control.gossip.datagram(&link.peer().boot.node, bytes);
                    }
                    // Datagrams are gossip, and gossip is between control nodes.
                    (Ok(_), _) => {}
                    (Err(lost), _) => return lost,
                },
            }
        }
    }

    async fn take_stream(
        &self,
        link: &Link,
        carrier: &Arc<dyn Carrier>,
        lane: phalanx_base::Lane,
        stream: Stream,
    ) {
        let control = self.control.as_ref();
        let service = control.map(|control| &control.service);
        match (accept(carrier, lane, stream, &self.worker, service, self.spawn.as_ref()).await, control) {
            (Accepted::Taken, _) => {}
            (Accepted::Gossip(stream), Some(control)) => {
                control.gossip.clone().read(link.peer().boot.node.clone(), stream.0).await;
            }
            (Accepted::Metadata(stream), Some(control)) => {
                control.metadata.clone().read(link.peer().boot.node.clone(), stream.0).await;
            }
            (Accepted::News(stream), _) => self.news.clone().read(carrier.id(), stream.0).await,
            (Accepted::Gossip(_) | Accepted::Metadata(_) | Accepted::Refused, _) => {
                tracing::warn!(peer = %link.peer().boot, ?lane, "closing a link whose peer opened a stream it must not");
                link.close(CloseReason::Violation);
            }
        }
    }

    /// Links a control node to its own worker, in memory, for as long as the node lives.
    pub(crate) async fn link_to_itself(self: Arc<Self>) {
        loop {
            let end =
                Peer { boot: self.boot.clone(), role: Role::Control, remote: None, dialled: true, wire: 1 };
            let (control_end, worker_end) = Link::pair(end.clone(), end);
            let (control_carrier, worker_carrier) =
                (carrier(control_end.clone()), carrier(worker_end.clone()));
            self.worker.link_up(worker_carrier.clone()).await;
            if let Some(control) = &self.control {
                control.service.link_up(control_carrier).await;
            }
            let lost = self.serve(&worker_end, &worker_carrier).await;
            if self.spawn.is_stopping() {
                return;
            }
            tracing::warn!(%lost, "the link to this node's own worker is lost, and made anew");
            self.worker.link_lost(link_id(&worker_end)).await;
            if let Some(control) = &self.control {
                control.service.link_lost(&self.boot.node, link_id(&control_end), false).await;
            }
        }
    }

    /// Tells the tasks of this node to stop, but for those that outlive its process, and waits until they have; what has not
    /// ended in time is ended.
    pub(crate) async fn stop_tasks(&self, grace: Duration) {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        if self.worker.operate(Operation::Stop { grace_ms }).await.is_some() {
            // An error says that the worker has stopped altogether.
            let _ = self.worker.view().wait_for(|view| view.tasks == view.outliving).await;
        }
    }

    /// A peer knows a later boot of this node: another process runs under its name, or its clock and its store are behind. It
    /// ends, and whoever starts it again gives it a generation above that one.
    pub(crate) fn end_as_stale(self: &Arc<Self>, known: Generation) {
        tracing::error!(
            node = %self.boot, %known,
            "a peer knows a later boot of this node: it ends; start it anew, and only one of its name at a time"
        );
        let node = self.clone();
        self.spawn.spawn_blocking(Box::new(move || {
            if let Err(error) = node.store.write(stored::GENERATION, &known.as_u64().to_le_bytes()) {
                tracing::warn!(%error, "the later boot was not stored");
            }
            node.end();
        }));
    }

    /// Ends the node at once. Not in order: whoever counts on it has lost it.
    pub(crate) fn end(&self) {
        self.endpoint.close(CloseReason::Dropped);
        self.spawn.stop_soon();
    }

    /// Tells how full the machine is, for as long as the node runs.
    pub(crate) fn start_meter(&self, meter: Option<Arc<dyn Meter>>) {
        if let Some(meter) = meter {
            let work = crate::meter::report(self.worker.clone(), meter, self.spawn.clone());
            self.spawn.spawn(Box::pin(work));
        }
    }

    /// Closes every link once its peer has what was sent to it, and ends all work of this node.
    pub(crate) async fn stop(&self) {
        if !self.endpoint.close_flushed(CloseReason::Shutdown, FLUSH_MAX).await {
            tracing::debug!("not every peer has taken what was sent to it last");
        }
        self.endpoint.wait_idle().await;
        self.spawn.stop().await;
    }
}

/// Whether a link was cut, rather than closed by one of its ends for a reason; so it is where a peer was dropped.
fn was_cut(lost: &LinkLost) -> bool {
    match lost {
        LinkLost::ClosedByPeer(reason) => *reason == CloseReason::Dropped,
        LinkLost::ClosedHere(_) => false,
        _ => true,
    }
}

/// What a user holds of a node. The node's own work holds the node too, so that its end is the end of this value.
pub(crate) struct Running(pub(crate) Arc<Node>);

impl std::ops::Deref for Running {
    type Target = Arc<Node>;
    fn deref(&self) -> &Arc<Node> {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.end();
    }
}
