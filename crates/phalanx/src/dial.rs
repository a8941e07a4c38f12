//! Dialling: addresses become places, places become links.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};

use futures_util::future::BoxFuture;
use phalanx_base::{Address, AddressList, Host, NodeId};
use phalanx_discovery::Resolver;
use phalanx_jobs::{Dial, Spawn, Target, WorkerService};
use phalanx_transport::{CloseReason, DialError};
use tokio::sync::watch;

use crate::discovery::Found;
use crate::environment::Environment;
use crate::error::ConnectError;
use crate::mesh::dial;
use crate::node::Node;
use crate::place::Place;
use crate::setup::stored;
use crate::store::Store;

/// How many sockets one address may stand for.
const SOCKETS_PER_ADDRESS_MAX: usize = 8;

/// The place of an address, where that is an IP address.
pub(crate) fn place(address: &Address) -> Option<Place> {
    address.socket_addr().map(|socket| Place { socket, transport: address.transport() })
}

/// The places of an address; a name that cannot be resolved has none.
pub(crate) async fn places(address: &Address, resolver: &dyn Resolver) -> Vec<Place> {
    let place = |ip| {
        let socket = SocketAddr::new(ip, address.port());
        Place { socket, transport: address.transport() }
    };
    match address.host() {
        Host::Ip(ip) => vec![place(*ip)],
        Host::Name(name) => match resolver.resolve(name).await {
            Ok(found) => found.into_iter().take(SOCKETS_PER_ADDRESS_MAX).map(place).collect(),
            Err(error) => {
                tracing::warn!(%address, %error, "an address cannot be resolved");
                Vec::new()
            }
        },
    }
}

/// Says in the log why a dial has failed, as loudly as it deserves.
pub(crate) fn log_failure(place: Place, error: &DialError) {
    match error {
        DialError::Unreachable { .. }
        | DialError::TimedOut
        | DialError::Closed
        | DialError::Myself
        | DialError::Busy
        | DialError::Lost(_)
        | DialError::Refused(CloseReason::Duplicate | CloseReason::Shutdown | CloseReason::Dropped) => {
            tracing::debug!(%place, %error, "a dial failed");
        }
        _ => tracing::warn!(%place, %error, "a dial was refused"),
    }
}

/// Links a node to the one at an address.
pub(crate) async fn connect(
    node: &Arc<Node>,
    resolver: &dyn Resolver,
    address: &Address,
) -> Result<NodeId, ConnectError> {
    let mut last = ConnectError::Unresolved { address: address.clone() };
    for place in places(address, resolver).await {
        match dial(node.clone(), place).await {
            (_, Ok(peer)) => return Ok(peer),
            (_, Err(error)) => last = ConnectError::Dial { socket: place.socket, error },
        }
    }
    Err(last)
}

/// Dials for a worker that looks for its owner.
pub(crate) struct WorkerDial {
    node: OnceLock<Weak<Node>>,
    resolver: Arc<dyn Resolver>,
}

impl WorkerDial {
    pub(crate) fn new(resolver: Arc<dyn Resolver>) -> Arc<Self> {
        Arc::new(Self { node: OnceLock::new(), resolver })
    }

    /// The node, which needs a worker service, which needs this.
    pub(crate) fn set_node(&self, node: &Arc<Node>) {
        let _ = self.node.set(Arc::downgrade(node));
    }
}

impl Dial for WorkerDial {
    fn dial(&self, target: Target) -> BoxFuture<'static, bool> {
        let node = self.node.get().and_then(Weak::upgrade);
        let resolver = self.resolver.clone();
        Box::pin(async move {
            let Some(node) = node else { return false };
            for address in &target.addresses {
                for place in places(address, resolver.as_ref()).await {
                    match dial(node.clone(), place).await {
                        (_, Ok(_)) => return true,
                        (_, Err(error)) => log_failure(place, &error),
                    }
                }
            }
            false
        })
    }
}

/// What a worker knows of control nodes: what discovery finds, and what it found before the last restart.
pub(crate) struct WorkerPeers {
    found: Found,
    /// Whether the worker has an owner, for the pace of discovery.
    connected: watch::Sender<bool>,
    store: Arc<dyn Store>,
    spawn: Arc<dyn Spawn>,
}

impl WorkerPeers {
    pub(crate) fn new(found: Found, connected: watch::Sender<bool>, environment: &Environment) -> Self {
        Self { found, connected, store: environment.store.clone(), spawn: environment.spawn.clone() }
    }

    /// Feeds a worker for as long as it lives.
    pub(crate) async fn feed(mut self, worker: WorkerService) {
        let mut view = worker.view();
        let mut stored = self.stored();
        worker.discovered(stored.iter().cloned().collect()).await;
        loop {
            tokio::select! {
                biased;
                Some(()) = self.found.next() => {
                    let found: Vec<Address> = self.found.places().into_iter().map(Address::from).collect();
                    let newest = AddressList::new(found.iter().take(AddressList::LENGTH_MAX).cloned());
                    worker.discovered(found).await;
                    if let Ok(newest) = newest
                        && !newest.is_empty()
                        && newest != stored
                    {
                        self.keep(&newest);
                        stored = newest;
                    }
                }
                changed = view.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let connected = view.borrow_and_update().owner.is_some();
                    self.connected.send_if_modified(|told| std::mem::replace(told, connected) != connected);
                }
            }
        }
    }

    /// What was known before. A damaged value counts as none: discovery finds the control nodes again.
    fn stored(&self) -> AddressList {
        let bytes = self.store.read(stored::PEERS).ok().flatten().unwrap_or_default();
        String::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    fn keep(&self, peers: &AddressList) {
        let (store, text) = (self.store.clone(), peers.to_string());
        self.spawn.spawn_blocking(Box::new(move || {
            if let Err(error) = store.write(stored::PEERS, text.as_bytes()) {
                tracing::warn!(%error, "the control nodes that were found are not stored");
            }
        }));
    }
}
