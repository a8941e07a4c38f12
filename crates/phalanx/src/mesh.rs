//! Keeps a control node linked to every other one: it dials what discovery finds, what the roster names, and what was
//! known before the last restart, for as long as it lives. It dials workers whose links were cut, too, for a while: one
//! that can be reached need not find out by itself.
//!
//! What discovery does not list any more is dialled for a while longer, and then forgotten unless a member is there: else a
//! node in a place where addresses come and go would dial more and more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use phalanx_base::{Address, NodeId, RosterState, planted};
use phalanx_discovery::Resolver;
use phalanx_jobs::LOST_PROXY_KEPT;
use phalanx_membership::ClusterView;
use phalanx_transport::DialError;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::dial::{log_failure, place, places};
use crate::discovery::{Found, StrategyView};
use crate::node::{LostWorker, Node};
use crate::place::Place;

/// How often the mesh looks whether somebody is missing.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The pauses between dials of one socket.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long a worker whose link was cut may take to dial by itself before it is dialled.
const WORKER_PAUSE: Duration = Duration::from_secs(2);

/// How many sockets are known before no lost worker is added: far more than control nodes there can be.
const SOCKETS_MAX: usize = 4_096;

/// How many sockets are known before discovery adds none: several times as many as it may list at one time.
const DISCOVERED_MAX: usize = 8_192;

/// How long a socket is dialled that discovery does not list any more.
const UNLISTED_KEPT: Duration = Duration::from_secs(600);

/// How often the names of members are looked up anew: a member that is started elsewhere keeps its name.
const NAMES_INTERVAL: Duration = Duration::from_secs(30);

/// How many dials run at one time.
const DIALS_MAX: usize = 32;

/// How many sockets a [`DiscoveryView`] shows.
const SHOWN_MAX: usize = 512;

/// How a control node finds the others, for people to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiscoveryView {
    /// Each strategy, in the order in which they were given.
    pub strategies: Vec<StrategyView>,
    /// Where other nodes may be; the first 512.
    pub sockets: Vec<SocketView>,
}

/// A place where another node may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketView {
    /// Where.
    pub socket: SocketAddr,
    /// Who answered there last, or is said to be there.
    pub node: Option<NodeId>,
    /// Why the last dial failed, if it did.
    pub error: Option<String>,
}

/// What is known of one socket.
struct Socket {
    /// Who answered there last.
    node: Option<NodeId>,
    pause: Duration,
    due_at: Instant,
    dialling: bool,
    /// Until when it is dialled; `None`: for ever.
    until: Option<Instant>,
    /// Whether a member is said to be there.
    is_member: bool,
    /// Why the last dial failed, if it did.
    error: Option<String>,
}

pub(crate) struct Mesh {
    node: Arc<Node>,
    resolver: Arc<dyn Resolver>,
    found: Found,
    view: watch::Receiver<Arc<ClusterView>>,
    sockets: BTreeMap<Place, Socket>,
    lost_workers: mpsc::Receiver<LostWorker>,
    names_at: Instant,
    tell_at: Instant,
    told: MeshTold,
}

/// Whom the mesh tells how it does.
pub(crate) struct MeshTold {
    /// Whether the node is connected to another control node.
    pub(crate) connected: watch::Sender<bool>,
    pub(crate) discovery: watch::Sender<Arc<DiscoveryView>>,
}

pub(crate) type Dialled = (Place, Result<NodeId, DialError>);

impl Mesh {
    pub(crate) fn new(
        node: Arc<Node>,
        resolver: Arc<dyn Resolver>,
        found: Found,
        view: watch::Receiver<Arc<ClusterView>>,
        lost_workers: mpsc::Receiver<LostWorker>,
        told: MeshTold,
    ) -> Self {
        let (sockets, now) = (BTreeMap::new(), Instant::now());
        Self { node, resolver, found, view, sockets, lost_workers, names_at: now, tell_at: now, told }
    }

    pub(crate) async fn run(mut self) {
        let mut dials = FuturesUnordered::new();
        // Looking up is slow where DNS is dead, so that it goes on beside the dials.
        let mut lookups = FuturesUnordered::new();
        let mut names = self.learn_from_roster();
        loop {
            if self.view.has_changed().unwrap_or(false) {
                names = self.learn_from_roster();
            }
            if lookups.is_empty() && Instant::now() >= self.names_at && !names.is_empty() {
                lookups.push(look_up(names.clone(), self.resolver.clone()));
            }
            for place in self.due(DIALS_MAX.saturating_sub(dials.len())) {
                let node = self.node.clone();
                dials.push(async move { dial(node, place).await });
            }
            self.tell();
            tokio::select! {
                biased;
                Some(dialled) = dials.next() => self.handle_dialled(dialled),
                Some(found) = lookups.next() => self.handle_names(found),
                Some(()) = self.found.next() => self.handle_found(),
                Some(lost) = self.lost_workers.recv() => self.handle_lost_worker(lost),
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    fn handle_found(&mut self) {
        let listed = self.found.places();
        let unlisted_until = Instant::now() + UNLISTED_KEPT;
        for (place, known) in &mut self.sockets {
            if known.until.is_none() && !known.is_member && !listed.contains(place) {
                known.until = Some(unlisted_until);
            }
        }
        for place in listed {
            if self.sockets.len() < DISCOVERED_MAX || self.sockets.contains_key(&place) {
                self.learn(place).until = None;
            }
        }
    }

    /// Learns where the other members are, and returns the names among their addresses. Who has left is not dialled; who is
    /// down is, so that a partition heals.
    fn learn_from_roster(&mut self) -> Vec<(Address, NodeId)> {
        self.names_at = Instant::now();
        let view = self.view.borrow_and_update().clone();
        let me = self.node.boot.node.clone();
        let mut names = Vec::new();
        for known in self.sockets.values_mut() {
            known.is_member = false;
        }
        for entry in view.roster.entries() {
            if entry.node == me || (entry.state == RosterState::Gone && !view.is_alive(&entry.node)) {
                continue;
            }
            for address in &entry.addresses {
                match place(address) {
                    Some(place) => self.learn_member(place, &entry.node),
                    None => names.push((address.clone(), entry.node.clone())),
                }
            }
        }
        names
    }

    fn handle_names(&mut self, found: Vec<(Place, NodeId)>) {
        self.names_at = Instant::now() + NAMES_INTERVAL;
        for (place, node) in found {
            self.learn_member(place, &node);
        }
    }

    fn learn_member(&mut self, place: Place, node: &NodeId) {
        let known = self.learn(place);
        known.node = Some(node.clone());
        known.is_member = true;
        known.until = None;
    }

    fn learn(&mut self, place: Place) -> &mut Socket {
        self.sockets.entry(place).or_insert_with(|| Socket {
            node: None,
            pause: PAUSE_MIN,
            due_at: Instant::now(),
            dialling: false,
            until: None,
            is_member: false,
            error: None,
        })
    }

    /// Tells how discovery does, where that has changed; now and then, since it costs a look at everything.
    fn tell(&mut self) {
        if Instant::now() < self.tell_at {
            return;
        }
        self.tell_at = Instant::now() + LOOK_INTERVAL;
        let connected = {
            let links = self.node.links.lock();
            let view = self.view.borrow();
            view.roster.entries().iter().any(|entry| links.has(&entry.node))
        };
        self.told.connected.send_if_modified(|told| std::mem::replace(told, connected) != connected);
        let shown = self.sockets.iter().filter(|(_, known)| known.until.is_none()).take(SHOWN_MAX);
        let view = DiscoveryView {
            strategies: self.found.views().to_vec(),
            sockets: shown
                .map(|(place, known)| SocketView {
                    socket: place.socket,
                    node: known.node.clone(),
                    error: known.error.clone(),
                })
                .collect(),
        };
        self.told.discovery.send_if_modified(|told| {
            let changes = **told != view;
            if changes {
                *told = Arc::new(view);
            }
            changes
        });
    }

    /// A worker's link was cut. Its own dial comes first, most likely; this one helps where it cannot reach this node.
    fn handle_lost_worker(&mut self, lost: LostWorker) {
        let now = Instant::now();
        if self.sockets.len() < SOCKETS_MAX {
            let until = Some(now + LOST_PROXY_KEPT);
            let (node, pause, due_at) = (Some(lost.node), PAUSE_MIN, now + WORKER_PAUSE);
            let (dialling, is_member, error) = (false, false, None);
            let new = Socket { node, pause, due_at, dialling, until, is_member, error };
            self.sockets.entry(lost.socket.into()).or_insert(new);
        }
    }

    /// The sockets to dial now: nobody who is linked, nobody twice at one time.
    fn due(&mut self, room: usize) -> Vec<Place> {
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
        for (place, known) in &mut self.sockets {
            let reached = known.node.as_ref().is_some_and(|node| links.has(node) || busy.contains(node));
            if due.len() < room && !known.dialling && known.due_at <= now && !reached && !forgotten(known) {
                known.dialling = true;
                busy.extend(known.node.clone());
                due.push(*place);
            }
        }
        due
    }

    fn handle_dialled(&mut self, (place, result): Dialled) {
        let Some(known) = self.sockets.get_mut(&place) else { return };
        known.dialling = false;
        match result {
            // A worker that was found is looked for no more.
            Ok(_) if known.until.is_some() => known.until = Some(Instant::now()),
            Ok(node) => {
                known.node = Some(node);
                known.pause = PAUSE_MIN;
                known.error = None;
            }
            Err(DialError::Myself) => known.node = Some(self.node.boot.node.clone()),
            Err(error) => {
                log_failure(place, &error);
                known.error = Some(error.to_string());
                known.pause = (known.pause * 2).min(PAUSE_MAX);
            }
        }
        known.due_at = Instant::now() + known.pause;
    }
}

/// The sockets of members that are known by name.
async fn look_up(names: Vec<(Address, NodeId)>, resolver: Arc<dyn Resolver>) -> Vec<(Place, NodeId)> {
    let mut found = Vec::new();
    for (address, node) in names {
        let places = places(&address, resolver.as_ref()).await;
        found.extend(places.into_iter().map(|place| (place, node.clone())));
    }
    found
}

pub(crate) async fn dial(node: Arc<Node>, place: Place) -> Dialled {
    let dialled = place.dial(&node.endpoint).await;
    if let Err(DialError::Stale { known }) = &dialled {
        node.end_as_stale(*known);
    }
    let result = dialled.map(|link| {
        let peer = link.peer().boot.node.clone();
        node.adopt(link);
        peer
    });
    (place, result)
}
