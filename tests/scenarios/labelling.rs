//! Labels that an operator gives to a worker stay, whatever starts anew and wherever the worker is hosted.

use phalanx::{Control, Environment, FileStore, Forgotten, Labels, NodeId};
use tests::{Cluster, until};

fn labels(text: &str) -> Labels {
    text.parse().unwrap()
}

fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

/// Waits until every control node lists the worker with these labels, and it says so itself.
async fn labelled(cluster: &Cluster, worker: &str, text: &str) {
    let (worker, labels) = (id(worker), labels(text));
    until(&format!("{worker} is labelled {text:?}"), async || {
        for control in cluster.controls() {
            let nodes = control.nodes().await.nodes;
            let is_listed = nodes.iter().any(|node| node.node == worker && node.labels == labels);
            if !is_listed || control.worker(&worker).labels().await != Ok(labels.clone()) {
                return false;
            }
        }
        true
    })
    .await;
}

async fn add(cluster: &mut Cluster, worker: &str, text: &str) {
    let builder = cluster.worker_builder(worker).labels(labels(text));
    cluster.adopt_worker(builder.start().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_stay_over_boots_and_owners_until_they_are_cleared() {
    let mut cluster = Cluster::start(&["stay-c1", "stay-c2", "stay-c3"], &[]).await;
    // It is labelled before it has ever been there.
    let first = cluster.control("stay-c1").clone();
    first.set_labels(id("stay-w"), labels("core;rack=7")).await.unwrap();
    for control in cluster.controls() {
        let knows = async || control.labels_of(id("stay-w")).await == Some(labels("core;rack=7"));
        until("every control node knows it", knows).await;
    }
    add(&mut cluster, "stay-w", "own").await;
    labelled(&cluster, "stay-w", "core;rack=7").await;

    let [owner, other] = cluster.both_ways("stay-w");
    for (control, text) in [(&other, "core;rack=8"), (&owner, "core;rack=9")] {
        cluster.control(control).set_labels(id("stay-w"), labels(text)).await.unwrap();
        labelled(&cluster, "stay-w", text).await;
    }

    cluster.take_worker("stay-w").shutdown().await;
    add(&mut cluster, "stay-w", "own").await;
    labelled(&cluster, "stay-w", "core;rack=9").await;

    drop(first);
    cluster.take_control(&owner).shutdown().await;
    cluster.take_worker("stay-w").shutdown().await;
    add(&mut cluster, "stay-w", "own").await;
    labelled(&cluster, "stay-w", "core;rack=9").await;

    let left = cluster.bystander("stay-w");
    cluster.control(&left).clear_labels(id("stay-w")).await.unwrap();
    for control in cluster.controls() {
        until("nothing is written", async || control.labels_of(id("stay-w")).await.is_none()).await;
    }
    labelled(&cluster, "stay-w", "core;rack=9").await;
    cluster.take_worker("stay-w").shutdown().await;
    add(&mut cluster, "stay-w", "own").await;
    labelled(&cluster, "stay-w", "own").await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_labels_the_last_ones_are_what_the_worker_has() {
    let cluster = Cluster::start(&["last-c1", "last-c2"], &["last-w"]).await;
    for number in 0..50 {
        for (control, side) in cluster.both_ways("last-w").iter().zip(["near", "far"]) {
            let text = format!("{side};number={number}");
            cluster.control(control).set_labels(id("last-w"), labels(&text)).await.unwrap();
        }
    }
    let written = async |control: &Control| control.labels_of(id("last-w")).await.unwrap();
    let [one, other] = ["last-c1", "last-c2"].map(|name| cluster.control(name));
    until("both know the same", async || written(one).await == written(other).await).await;
    let last = written(one).await.to_string();
    assert!(last.ends_with("number=49"), "{last}");
    labelled(&cluster, "last-w", &last).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_worker_is_labelled_no_more_and_a_connected_one_is_left_alone() {
    let mut cluster = Cluster::start(&["drop-c1", "drop-c2"], &["drop-w"]).await;
    let other = cluster.bystander("drop-w");
    let control = cluster.control(&other).clone();
    control.set_labels(id("drop-w"), labels("core")).await.unwrap();
    labelled(&cluster, "drop-w", "core").await;
    assert_ne!(control.forget(id("drop-w")).await, Forgotten::Dropped);
    assert_eq!(control.labels_of(id("drop-w")).await, Some(labels("core")));
    drop(cluster.take_worker("drop-w"));
    until("its labels are forgotten", async || {
        control.forget(id("drop-w")).await;
        control.labels_of(id("drop-w")).await.is_none()
    })
    .await;
    drop(control);
    cluster.shutdown().await;
}

/// A cluster that was stopped as a whole remembers them by the store of any of its nodes.
#[tokio::test(flavor = "multi_thread")]
async fn labels_outlive_a_stop_of_the_whole_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let secret = phalanx::Secret::generate(&phalanx::SystemEntropy::new());
    let start = async || {
        let store = FileStore::open(folder.path().join("store")).unwrap();
        let environment = Environment::real().unwrap().with_store(store);
        let builder = Control::builder("labels", &secret).id("kept-c1").listen("127.0.0.1:0");
        builder.environment(environment).start().await.unwrap()
    };
    for is_first in [true, false] {
        let control = start().await;
        if is_first {
            control.set_labels(control.id(), labels("core")).await.unwrap();
        }
        until("the control node's own worker has them", async || {
            control.worker(control.id()).labels().await == Ok(labels("core"))
        })
        .await;
        control.shutdown().await;
    }
}
