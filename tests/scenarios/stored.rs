//! What a node stores lets it come back as itself, and lets a cluster come back without being told where it was.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use phalanx::{
    Control, Environment, FileStore, NodeId, NodeStatus, Secret, StartError, StaticPeers, Store,
    SystemEntropy, Worker,
};
use tests::{CLUSTER_NAME, OWN_ADDRESS, first, soon, until};

struct Stored {
    control: Control,
    store: Arc<FileStore>,
}

/// Starts a control node whose store is in a file. Right after its last run the port may not be free yet.
async fn start(secret: &Secret, file: &Path, listen: SocketAddr, peers: Vec<SocketAddr>) -> Stored {
    first("file and port are free", async || {
        let store = Arc::new(FileStore::open(file).ok()?);
        let environment = Environment { store: store.clone(), ..Environment::real().unwrap() };
        let builder = Control::builder(CLUSTER_NAME, secret).listen(&listen.to_string());
        let builder = builder.discover(StaticPeers::new(peers.clone())).environment(environment);
        match builder.start().await {
            Ok(control) => Some(Stored { control, store }),
            Err(StartError::Bind(_)) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await
}

async fn formed(nodes: &[Stored]) {
    until("all see each other", async || {
        nodes.iter().all(|node| {
            let view = node.control.cluster().borrow().clone();
            let alive = view.members.iter().filter(|member| member.liveness.is_alive()).count();
            alive == nodes.len() && view.roster.active().count() == nodes.len()
        })
    })
    .await;
}

/// Waits until each store knows each node: what is written is in the bytes as it is.
async fn all_are_stored(nodes: &[Stored]) {
    until("every store has the whole roster", async || {
        nodes.iter().all(|node| {
            let roster = node.store.read("roster").unwrap().unwrap_or_default();
            nodes.iter().all(|other| {
                let name = other.control.id().as_str().as_bytes();
                roster.windows(name.len()).any(|bytes| bytes == name)
            })
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_total_restart_the_members_find_each_other_without_discovery() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = (1..=3).map(|number| folder.path().join(format!("c{number}.redb"))).collect();
    let secret = Secret::generate(&SystemEntropy::new());
    let mut nodes: Vec<Stored> = Vec::new();
    for file in &files {
        let peers = nodes.iter().map(|node| node.control.local_addr()).collect();
        nodes.push(start(&secret, file, OWN_ADDRESS.parse().unwrap(), peers).await);
    }
    formed(&nodes).await;
    all_are_stored(&nodes).await;
    let before: Vec<(NodeId, SocketAddr)> =
        nodes.iter().map(|node| (node.control.id().clone(), node.control.local_addr())).collect();
    let boots: Vec<_> = nodes.iter().map(|node| node.control.cluster().borrow().local.clone()).collect();

    // All at once and without a word.
    drop(nodes);
    let mut nodes = Vec::new();
    for (file, (_, address)) in files.iter().zip(&before) {
        nodes.push(start(&secret, file, *address, Vec::new()).await);
    }
    formed(&nodes).await;
    for (node, (id, boot)) in nodes.iter().zip(before.iter().map(|(id, _)| id).zip(&boots)) {
        assert_eq!(node.control.id(), id, "the name is kept");
        assert!(
            node.control.cluster().borrow().local.generation > boot.generation,
            "and the boot is a later one"
        );
        assert_eq!(
            node.control.cluster().borrow().roster.entries().len(),
            3,
            "and nobody else is remembered"
        );
    }
    for node in &nodes {
        node.control.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_keeps_its_generated_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.redb");
    let secret = Secret::generate(&SystemEntropy::new());
    let control = Control::builder(CLUSTER_NAME, &secret).listen("127.0.0.1:0").start().await.unwrap();
    let mut names = Vec::new();
    for _ in 0..2 {
        let store = first("the file is free", async || FileStore::open(&file).ok()).await;
        let environment = Environment::real().unwrap().with_store(store);
        let worker = Worker::builder(CLUSTER_NAME, secret.worker_credential()).environment(environment);
        let worker = worker.listen("127.0.0.1:0").discover(StaticPeers::new([control.local_addr()]));
        let worker = worker.start().await.unwrap();
        soon("the worker is ready", worker.wait_for(NodeStatus::Ready)).await;
        names.push(worker.id().clone());
        worker.shutdown().await;
    }
    assert_eq!(names[0], names[1]);
    control.shutdown().await;
}
