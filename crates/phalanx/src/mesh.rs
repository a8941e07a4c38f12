//! Keeps a control node linked to every other one: it dials what discovery finds, what the roster names, and what was
//! known before the last restart, for as long as it lives. It dials workers whose links were cut, too, for a while: one
//! that can be reached need not find out by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use phalanx_base::{Address, NodeId, RosterState, planted};
use phalanx_discovery::{DynDiscover, Resolver};
use phalanx_jobs::LOST_PROXY_KEPT;
use phalanx_membership::ClusterView;
use phalanx_transport::DialError;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::dial::{log_failure, sockets};
use crate::lookup::{Found, REFRESH_WHEN_CONNECTED, look_up};
use crate::node::{LostWorker, Node};

/// How often the mesh looks whether somebody is missing.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The pauses between dials of one socket.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long a worker whose link was cut may take to dial by itself before it is dialled.
const WORKER_PAUSE: Duration = Duration::from_secs(2);

/// How many sockets are known before no lost worker is added: far more than control nodes there can be.
const SOCKETS_MAX: usize = 4_096;

/// How many dials run at one time.
const DIALS_MAX: usize = 32;

/// What is known of one socket.
struct Socket {
    /// Who answered there last.
    node: Option<NodeId>,
    pause: Duration,
    due_at: Instant,
    dialling: bool,
    /// Until when it is dialled; `None`: for ever.
    until: Option<Instant>,
}

pub(crate) struct Mesh {
    node: Arc<Node>,
    resolver: Arc<dyn Resolver>,
    strategies: Arc<[DynDiscover]>,
    view: watch::Receiver<Arc<ClusterView>>,
    sockets: BTreeMap<SocketAddr, Socket>,
    lost_workers: mpsc::Receiver<LostWorker>,
    refresh_at: Instant,
}

pub(crate) type Dialled = (SocketAddr, Result<NodeId, DialError>);

impl Mesh {
    pub(crate) fn new(
        node: Arc<Node>,
        resolver: Arc<dyn Resolver>,
        strategies: Vec<DynDiscover>,
        view: watch::Receiver<Arc<ClusterView>>,
        lost_workers: mpsc::Receiver<LostWorker>,
    ) -> Self {
        let (sockets, refresh_at) = (BTreeMap::new(), Instant::now());
        let strategies = strategies.into();
        Self { node, resolver, strategies, view, sockets, lost_workers, refresh_at }
    }

    pub(crate) async fn run(mut self) {
        let mut dials = FuturesUnordered::new();
        // Looking up is slow where DNS is dead, so that it goes on beside the dials.
        let mut lookups = FuturesUnordered::new();
        loop {
            if lookups.is_empty() && Instant::now() >= self.refresh_at {
                lookups.push(look_up(self.strategies.clone(), self.resolver.clone()));
            }
            self.learn_from_roster().await;
            for socket in self.due(DIALS_MAX.saturating_sub(dials.len())) {
                let node = self.node.clone();
                dials.push(async move { dial(node, socket).await });
            }
            tokio::select! {
                biased;
                Some(dialled) = dials.next() => self.handle_dialled(dialled),
                Some(found) = lookups.next() => self.handle_found(found),
                Some(lost) = self.lost_workers.recv() => self.handle_lost_worker(lost),
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    fn handle_found(&mut self, found: Found) {
        for socket in found.sockets {
            self.learn(socket, None);
        }
        let formed = self.view.borrow().members.len() > 1;
        self.refresh_at = Instant::now() + if formed { REFRESH_WHEN_CONNECTED } else { found.refresh };
    }

    /// Learns where the other members are. Who has left is not dialled; who is down is, so that a partition heals.
    async fn learn_from_roster(&mut self) {
        if !self.view.has_changed().unwrap_or(false) && !self.sockets.is_empty() {
            return;
        }
        let view = self.view.borrow_and_update().clone();
        let me = self.node.boot.node.clone();
        let wanted = view.roster.entries().iter().filter(|entry| {
            entry.node != me && (entry.state != RosterState::Gone || view.is_alive(&entry.node))
        });
        for entry in wanted {
            for address in &entry.addresses {
                self.learn_address(address, &entry.node).await;
            }
        }
    }

    async fn learn_address(&mut self, address: &Address, node: &NodeId) {
        for socket in sockets(address, self.resolver.as_ref()).await {
            self.learn(socket, Some(node.clone()));
        }
    }

    fn learn(&mut self, socket: SocketAddr, node: Option<NodeId>) {
        let known = self.sockets.entry(socket).or_insert_with(|| Socket {
            node: None,
            pause: PAUSE_MIN,
            due_at: Instant::now(),
            dialling: false,
            until: None,
        });
        if node.is_some() {
            known.node = node;
        }
    }

    /// A worker's link was cut. Its own dial comes first, most likely; this one helps where it cannot reach this node.
    fn handle_lost_worker(&mut self, lost: LostWorker) {
        let now = Instant::now();
        if self.sockets.len() < SOCKETS_MAX {
            let until = Some(now + LOST_PROXY_KEPT);
            let (node, pause, due_at) = (Some(lost.node), PAUSE_MIN, now + WORKER_PAUSE);
            self.sockets.entry(lost.socket).or_insert(Socket { node, pause, due_at, dialling: false, until });
        }
    }

    /// The sockets to dial now: nobody who is linked, nobody twice at one time.
    fn due(&mut self, room: usize) -> Vec<SocketAddr> {
        let now = Instant::now();
        self.sockets.retain(|_, known| known.dialling || known.until.is_none_or(|until| now < until));
        let view = self.view.borrow();
        let forgotten = |known: &Socket| {
            planted!("no-redial") && known.node.as_ref().is_some_and(|node| !view.is_alive(node))
        };
        let links = self.node.links.lock();
        let mut busy: BTreeSet<NodeId> = self
            .sockets
            .values()
            .filter(|known| known.dialling)
            .filter_map(|known| known.node.clone())
            .collect();
        busy.insert(self.node.boot.node.clone());
        let mut due = Vec::new();
        for (socket, known) in &mut self.sockets {
            let reached = known.node.as_ref().is_some_and(|node| links.has(node) || busy.contains(node));
            if due.len() < room && !known.dialling && known.due_at <= now && !reached && !forgotten(known) {
                known.dialling = true;
                busy.extend(known.node.clone());
                due.push(*socket);
            }
        }
        due
    }

    fn handle_dialled(&mut self, (socket, result): Dialled) {
        let Some(known) = self.sockets.get_mut(&socket) else { return };
        known.dialling = false;
        match result {
            // A worker that was found is looked for no more.
            Ok(_) if known.until.is_some() => known.until = Some(Instant::now()),
            Ok(node) => {
                known.node = Some(node);
                known.pause = PAUSE_MIN;
            }
            Err(DialError::Myself) => known.node = Some(self.node.boot.node.clone()),
            Err(error) => {
                log_failure(socket, &error);
                known.pause = (known.pause * 2).min(PAUSE_MAX);
            }
        }
        known.due_at = Instant::now() + known.pause;
    }
}

pub(crate) async fn dial(node: Arc<Node>, socket: SocketAddr) -> Dialled {
    let dialled = node.endpoint.dial(socket).await;
    if let Err(DialError::Stale { known }) = &dialled {
        node.end_as_stale(*known);
    }
    let result = dialled.map(|link| {
        let peer = link.peer().boot.node.clone();
        node.adopt(link);
        peer
    });
    (socket, result)
}
