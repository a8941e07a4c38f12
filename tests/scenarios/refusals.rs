//! Who does not belong here does not get in, and both ends can tell why.

use phalanx::{Control, NodeStatus, Secret, StartError, StaticPeers, SystemEntropy, Worker};
use tests::{CLUSTER_NAME, Cluster, Logs, until};

/// How many refusals to watch before it is believed that there will be no link: the first dials and what follows them.
const REFUSALS_WATCHED: usize = 2;

/// Waits until the log has lines with these texts, and returns the first one.
async fn logged(texts: &[&str]) -> String {
    until(&format!("log lines with {texts:?}"), async || Logs::get().with(texts).len() >= REFUSALS_WATCHED)
        .await;
    Logs::get().with(texts).swap_remove(0)
}

async fn nobody_new(cluster: &Cluster, names: &[&str]) {
    for control in cluster.controls() {
        let workers = control.workers().await;
        assert!(workers.iter().all(|info| !names.contains(&info.worker.as_str())), "{workers:?}");
        let view = control.cluster().borrow().clone();
        assert!(view.members.iter().all(|member| !names.contains(&member.boot.node.as_str())), "{view:?}");
    }
}

fn stranger() -> Secret {
    Secret::generate(&SystemEntropy::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_secret_never_attaches() {
    let cluster = Cluster::start(&["secret-c1"], &[]).await;
    let peers = || StaticPeers::new(cluster.addresses());
    let worker =
        Worker::builder(CLUSTER_NAME, stranger().worker_credential()).id("secret-w").discover(peers());
    let worker = worker.listen("127.0.0.1:0").start().await.unwrap();
    let control = Control::builder(CLUSTER_NAME, stranger()).id("secret-c2").discover(peers());
    let control = control.listen("127.0.0.1:0").start().await.unwrap();

    for name in ["secret-w", "secret-c2"] {
        let line = logged(&["a peer was refused", &format!("claimed={name}@")]).await;
        assert!(line.contains("same cluster secret"), "{line}");
    }
    // What the refused ends log says the same.
    logged(&["a dial was refused", &cluster.control("secret-c1").local_addr().to_string()]).await;
    assert_eq!((worker.status(), worker.owner()), (NodeStatus::Connecting, None));
    assert_eq!(control.cluster().borrow().members.len(), 1);
    nobody_new(&cluster, &["secret-w", "secret-c2"]).await;
    worker.shutdown().await;
    control.shutdown().await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_never_attaches_and_both_names_are_logged() {
    let cluster = Cluster::start(&["cluster-c1"], &[]).await;
    let peers = || StaticPeers::new(cluster.addresses());
    let worker =
        Worker::builder("elsewhere", cluster.secret.worker_credential()).id("cluster-w").discover(peers());
    let worker = worker.listen("127.0.0.1:0").start().await.unwrap();
    let control = Control::builder("elsewhere", &cluster.secret).id("cluster-c2").discover(peers());
    let control = control.listen("127.0.0.1:0").start().await.unwrap();

    for name in ["cluster-w", "cluster-c2"] {
        let line = logged(&["a peer was refused", &format!("claimed={name}@")]).await;
        assert!(line.contains("\"elsewhere\"") && line.contains(&format!("{CLUSTER_NAME:?}")), "{line}");
    }
    assert_eq!((worker.status(), worker.owner()), (NodeStatus::Connecting, None));
    assert_eq!(control.cluster().borrow().members.len(), 1);
    nobody_new(&cluster, &["cluster-w", "cluster-c2"]).await;
    worker.shutdown().await;
    control.shutdown().await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workers_credential_starts_no_control_node() {
    let credential = stranger().worker_credential();
    let started = Control::builder(CLUSTER_NAME, credential).listen("127.0.0.1:0").start().await;
    let error = started.map(|control| control.local_addr()).unwrap_err();
    assert!(matches!(error, StartError::Role { role: phalanx::Role::Control }), "{error:?}");
    assert!(error.to_string().contains("needs the cluster secret"), "{error}");
}
