//! A cluster of processes: three control nodes, each behind a stretch of network that can be cut, and workers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use phalanx::{Generation, NodeId, NodeStatus, Secret, SystemEntropy, WorkerHandle};
use phalanx_operator::{Client, EventKind, Nodes, Told};
use tests::{first, soon, until};

use crate::node::Node;
use crate::relay::Relay;

const CONTROLS: [&str; 3] = ["control-1", "control-2", "control-3"];

/// What befalls a story in its middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// Nothing.
    None,
    /// The control node that hosts the worker's proxy is killed.
    ProxyKilled,
    /// Nothing gets through between the worker and that control node.
    LinkCut,
}

pub(crate) struct Stage {
    folder: tempfile::TempDir,
    secret: String,
    relays: BTreeMap<&'static str, Relay>,
    controls: BTreeMap<&'static str, Node>,
    workers: BTreeMap<String, Node>,
}

impl Stage {
    pub(crate) async fn start(workers: &[&str]) -> Self {
        let secret = Secret::generate(&SystemEntropy::new()).expose();
        let folder = tempfile::tempdir().unwrap();
        let mut relays = BTreeMap::new();
        for name in CONTROLS {
            relays.insert(name, Relay::start().await);
        }
        let mut stage = Self { folder, secret, relays, controls: BTreeMap::new(), workers: BTreeMap::new() };
        for name in CONTROLS {
            stage.start_control(name);
        }
        for name in workers {
            stage.start_worker(name);
        }
        stage.settled().await;
        stage
    }

    fn peers(&self) -> String {
        let addresses: Vec<String> = self.relays.values().map(|relay| relay.address.to_string()).collect();
        addresses.join(",")
    }

    fn start_control(&mut self, name: &'static str) {
        let (relay, peers) = (&self.relays[name], self.peers());
        let (reached, setting) = (relay.address.to_string(), (self.secret.as_str(), peers.as_str()));
        let node = Node::start("control", name, &reached, setting, self.folder.path());
        relay.lead_to(node.address);
        self.controls.insert(name, node);
    }

    fn start_worker(&mut self, name: &str) {
        let folder = self.served(name);
        std::fs::create_dir_all(&folder).unwrap();
        let node = Node::start("worker", name, "-", (&self.secret, &self.peers()), &folder);
        self.workers.insert(name.to_owned(), node);
    }

    /// The folder whose files a worker serves.
    pub(crate) fn served(&self, worker: &str) -> PathBuf {
        self.folder.path().join(worker)
    }

    /// A folder of the test's own.
    pub(crate) fn local(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn client(&self, control: &str) -> Client {
        let path = self.folder.path().join(format!("{control}.sock"));
        first("a control node answers", async || Client::connect_socket(&path).await.ok()).await
    }

    /// Of a control node that runs.
    pub(crate) async fn any_client(&self) -> Client {
        self.client(self.controls.keys().next().unwrap()).await
    }

    async fn nodes(&self, control: &str) -> Option<Nodes> {
        self.client(control).await.nodes().await.ok()
    }

    /// Who hosts a worker's proxy, and under which boot of the worker, as a control node that runs says.
    pub(crate) async fn owner(&self, worker: &str) -> (String, Generation) {
        first("somebody hosts the worker", async || {
            let nodes = self.any_client().await.nodes().await.ok()?.nodes;
            let node = nodes.into_iter().find(|node| node.node.as_str() == worker)?;
            Some((node.owner.to_string(), node.generation))
        })
        .await
    }

    /// The worker, by a control node that does not host it and that no blow for it hits.
    pub(crate) async fn worker(&self, name: &str) -> WorkerHandle {
        let (owner, _) = self.owner(name).await;
        let bystander = self.controls.keys().find(|control| **control != owner).unwrap();
        let calls = self.client(bystander).await.calls().await.unwrap();
        calls.worker(NodeId::new(name).unwrap())
    }

    /// Strikes, and waits until it is over for the worker: somebody else hosts it.
    pub(crate) async fn strike(&mut self, worker: &str, blow: Blow) {
        let (owner, _) = self.owner(worker).await;
        match blow {
            Blow::None => return,
            Blow::ProxyKilled => {
                let control = *self.controls.keys().find(|name| **name == owner).unwrap();
                self.controls.remove(control).unwrap().kill();
            }
            Blow::LinkCut => self.relays[owner.as_str()].cut(self.workers[worker].address),
        }
        until("another control node hosts the worker", async || self.owner(worker).await.0 != owner).await;
        if blow == Blow::LinkCut {
            soon("the former one has noticed", self.noticed(&owner, worker)).await;
        }
    }

    /// Returns when a control node has told that a worker is lost to it.
    async fn noticed(&self, control: &str, worker: &str) {
        let mut events = self.client(control).await.events(Some(0)).await.unwrap();
        while let Some(told) = events.next().await.unwrap() {
            let Told::Event(event) = told else { continue };
            if let EventKind::Worker { node, status: NodeStatus::NotConnected, .. } = event.kind
                && node.as_str() == worker
            {
                return;
            }
        }
    }

    /// Whether a control node that runs has told something.
    pub(crate) async fn is_told(&self, what: impl Fn(&EventKind) -> bool) -> bool {
        for name in self.controls.keys() {
            let mut events = self.client(name).await.events(Some(0)).await.unwrap();
            // What is remembered comes first, and then the word that it has come.
            while let Some(Told::Event(event)) = events.next().await.unwrap() {
                if what(&event.kind) {
                    return true;
                }
            }
        }
        false
    }

    /// Repairs what was struck.
    pub(crate) async fn mend(&mut self) {
        for relay in self.relays.values() {
            relay.mend();
        }
        for name in CONTROLS {
            if !self.controls.contains_key(name) {
                self.start_control(name);
            }
        }
        self.settled().await;
    }

    /// Waits until every control node sees everybody, and every worker that runs is ready.
    pub(crate) async fn settled(&self) {
        until("everybody is there", async || {
            for name in CONTROLS {
                let Some(nodes) = self.nodes(name).await else { return false };
                let ready = nodes.nodes.iter().filter(|node| node.status != NodeStatus::NotConnected);
                if !nodes.silent.is_empty() || ready.count() != CONTROLS.len() + self.workers.len() {
                    return false;
                }
            }
            true
        })
        .await;
    }
}
