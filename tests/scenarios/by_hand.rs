//! Clusters without discovery: links are made by hand, and several clusters live in one process.

use phalanx::{ConnectError, Control, NodeStatus, Secret, SystemEntropy, Worker};
use tests::{Ask, Ledger, OWN_ADDRESS, Probe, Prober, soon, until};

async fn control(cluster: &str, secret: &Secret, id: &str) -> Control {
    let builder = Control::builder(cluster, secret).id(id).listen("127.0.0.1:0");
    builder.job::<Probe>(Prober::new(&Ledger::default())).start().await.unwrap()
}

async fn worker(cluster: &str, secret: &Secret, id: &str) -> Worker {
    let builder = Worker::builder(cluster, secret.worker_credential()).id(id).listen("127.0.0.1:0");
    builder.job::<Probe>(Prober::new(&Ledger::default())).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_discovery_nodes_wait_until_they_are_linked_by_hand() {
    let secret = Secret::generate(&SystemEntropy::new());
    let (one, two) = (control("hand", &secret, "hand-c1").await, control("hand", &secret, "hand-c2").await);
    let lone = worker("hand", &secret, "hand-w").await;
    soon("the worker looks for an owner", lone.wait_for(NodeStatus::Connecting)).await;
    assert_eq!(one.connect(&two.local_addr().to_string()).await.unwrap().as_str(), "hand-c2");
    until("both are one cluster", async || {
        let owner = |control: &Control| control.ownership().borrow().acting_owner(lone.id());
        let all = [&one, &two]
            .into_iter()
            .all(|control| control.ownership().borrow().placement().owner_nodes().len() == 2);
        all && owner(&one) == owner(&two)
    })
    .await;
    assert_eq!(two.connect(&lone.local_addr().to_string()).await.unwrap().as_str(), "hand-w");
    soon("the worker has an owner", lone.wait_for(NodeStatus::Ready)).await;
    for control in [&one, &two] {
        let answer =
            control.worker(lone.id()).request::<Probe>(Ask::Echo(1, "by hand".into())).await.unwrap();
        assert_eq!(answer.text, "by hand");
    }
    let nobody = one.connect("127.0.0.1:1").await;
    assert!(matches!(nobody, Err(ConnectError::Dial { .. })), "{nobody:?}");
    let nonsense = one.connect("no address").await;
    assert!(matches!(nonsense, Err(ConnectError::Address(_))), "{nonsense:?}");
    let over_tls = one.connect(&format!("{};transport=tls", two.local_addr())).await;
    assert_eq!(over_tls.unwrap().as_str(), "hand-c2");
    lone.shutdown().await;
    one.shutdown().await;
    two.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_dial_is_dialled_when_it_comes_back() {
    let secret = Secret::generate(&SystemEntropy::new());
    let control = control("back", &secret, "back-c").await;
    let start = async |listen: &str| {
        let builder = Worker::builder("back", secret.worker_credential()).id("back-w").listen(listen);
        builder.job::<Probe>(Prober::new(&Ledger::default())).start().await
    };
    let first = start(OWN_ADDRESS).await.unwrap();
    let listen = first.local_addr().to_string();
    control.connect(&listen).await.unwrap();
    soon("it has an owner", first.wait_for(NodeStatus::Ready)).await;
    drop(first);
    // It knows nobody: without discovery and without a store it waits to be found.
    let second = tests::first("the port is free", async || start(&listen).await.ok()).await;
    soon("its control node has found it", second.wait_for(NodeStatus::Ready)).await;
    let answer = control.worker(second.id()).request::<Probe>(Ask::Echo(1, "back".into())).await.unwrap();
    assert_eq!(answer.text, "back");
    second.shutdown().await;
    control.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_clusters_live_in_one_process_and_know_nothing_of_each_other() {
    let secrets = [Secret::generate(&SystemEntropy::new()), Secret::generate(&SystemEntropy::new())];
    let mut nodes = Vec::new();
    for (name, secret) in ["red", "blue"].into_iter().zip(&secrets) {
        // The same names in both.
        nodes.push((control(name, secret, "several-c").await, worker(name, secret, "several-w").await));
    }
    for (control, worker) in &nodes {
        control.connect(&worker.local_addr().to_string()).await.unwrap();
    }
    for (control, worker) in &nodes {
        soon("its own control node hosts it", worker.wait_for(NodeStatus::Ready)).await;
        until("it hosts its own worker and the other one", async || control.nodes().await.nodes.len() == 2)
            .await;
        control.worker(worker.id()).request::<Probe>(Ask::Echo(1, String::new())).await.unwrap();
    }
    let across = nodes[0].0.connect(&nodes[1].0.local_addr().to_string()).await;
    assert!(matches!(across, Err(ConnectError::Dial { .. })), "{across:?}");
    for (control, worker) in &nodes {
        worker.shutdown().await;
        control.shutdown().await;
    }
}
