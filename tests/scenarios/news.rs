//! What is published reaches every node once, also around a cut; events are numbered, and readers go on where they were.

use bytes::Bytes;
use phalanx::{ClusterEvent, ClusterEvents, Fence, Forgotten, NodeId, NodeStatus, PublishError};
use tests::{Cluster, soon, until};

fn user(from: &str, name: &str, payload: &'static [u8]) -> ClusterEvent {
    let from = NodeId::new(from).unwrap();
    ClusterEvent::User { from, name: name.to_owned(), payload: Bytes::from_static(payload) }
}

/// The next event of the user's own.
async fn next_user(events: &mut ClusterEvents) -> ClusterEvent {
    loop {
        let event = soon("an event", events.next()).await.unwrap();
        if matches!(event, ClusterEvent::User { .. }) {
            return event;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_control_node_publishes_is_heard_once_by_every_node() {
    let cluster = Cluster::start(&["athens", "corinth", "sparta"], &["camera", "lathe"]).await;
    let mut everybody: Vec<ClusterEvents> = cluster.controls().map(phalanx::Control::subscribe).collect();
    everybody.extend(cluster.workers().map(phalanx::Worker::subscribe));
    cluster.control("athens").publish("weather", &b"rain"[..]).unwrap();
    cluster.control("athens").publish("weather", &b"sun"[..]).unwrap();
    for events in &mut everybody {
        assert_eq!(next_user(events).await, user("athens", "weather", b"rain"));
        assert_eq!(next_user(events).await, user("athens", "weather", b"sun"), "in order, and each once");
    }
    let athens = cluster.control("athens");
    assert_eq!(athens.publish("", Bytes::new()), Err(PublishError::Name { bytes: 0 }));
    let bytes = (64 << 10) + 1;
    assert_eq!(athens.publish("n", vec![0; bytes]), Err(PublishError::TooLarge { bytes }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_comes_back_goes_on_and_a_number_from_elsewhere_is_a_gap() {
    let cluster = Cluster::start(&["athens"], &["camera"]).await;
    let athens = cluster.control("athens");
    for payload in [&b"1"[..], b"2", b"3"] {
        athens.publish("count", payload).unwrap();
    }
    let mut first = athens.subscribe_since(0);
    let seen = loop {
        let event = soon("an event", first.next_numbered()).await.unwrap();
        if event.event == user("athens", "count", b"2") {
            break event.number;
        }
    };
    assert_eq!(next_user(&mut athens.subscribe_since(seen)).await, user("athens", "count", b"3"));
    // What the worker has counted means nothing here.
    let elsewhere = 7;
    let gap = soon("an event", athens.subscribe_since(elsewhere).next()).await;
    assert_eq!(gap, Some(ClusterEvent::Gap { after: elsewhere }));
    let mut workers_own = cluster.worker("camera").subscribe_since(0);
    let own = soon("its own status", workers_own.next()).await.unwrap();
    assert!(matches!(own, ClusterEvent::Worker { hosted: None, .. }), "{own:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_will_not_come_back_is_forgotten_everywhere() {
    let mut cluster = Cluster::start(&["athens", "sparta"], &["camera"]).await;
    let camera = NodeId::new("camera").unwrap();
    let known = async |cluster: &Cluster| {
        let mut known = 0;
        for control in cluster.controls() {
            known += control.workers().await.iter().filter(|worker| worker.worker == camera).count();
        }
        known
    };
    let owner = cluster.ring_owner("camera");
    assert_eq!(cluster.control(&owner).forget(&camera).await, Forgotten::Connected, "it is left alone");
    drop(cluster.take_worker("camera"));
    until("it is missed", async || {
        let workers = cluster.control(&owner).workers().await;
        workers.iter().any(|worker| worker.worker == camera && worker.status == NodeStatus::NotConnected)
    })
    .await;
    assert!(known(&cluster).await > 0);
    cluster.control("athens").forget(&camera).await;
    until("nobody knows it", async || known(&cluster).await == 0).await;
    cluster.add_worker("camera").await;
    until("it is welcome again", async || {
        let hosted: Vec<Fence> =
            cluster.control(&owner).workers().await.iter().filter_map(|worker| worker.hosted).collect();
        !hosted.is_empty() && known(&cluster).await > 0
    })
    .await;
}
