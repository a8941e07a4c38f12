//! When most workers vanish at one time, their control node says that once, and says when they are back.

use phalanx::ClusterEvent;
use tests::{Cluster, soon};

#[tokio::test(flavor = "multi_thread")]
async fn most_workers_vanish_at_one_time_and_come_back() {
    let workers = ["mass-w1", "mass-w2", "mass-w3", "mass-w4", "mass-w5"];
    let mut cluster = Cluster::start(&["mass-c1"], &workers).await;
    let mut events = cluster.control("mass-c1").subscribe();
    // A planned stop is none, and changes nothing for the others.
    cluster.take_worker(workers[4]).shutdown().await;
    let lost: Vec<_> = workers[..4].iter().map(|worker| cluster.take_worker(worker)).collect();
    drop(lost);
    let mut mass_event = async || loop {
        match events.next().await.expect("the control node runs") {
            event @ (ClusterEvent::MassFailure { .. } | ClusterEvent::MassFailureEnded) => return event,
            ClusterEvent::Missed { count } => panic!("{count} events were missed"),
            _ => {}
        }
    };
    // Four workers and the control node's own one; of the fifth it may not have heard yet that it has stopped.
    let began = soon("it is said", mass_event()).await;
    let ClusterEvent::MassFailure { lost, known } = began else { panic!("{began:?}") };
    assert!((3..=4).contains(&lost) && (5..=6).contains(&known), "{lost} of {known}");
    for worker in &workers[..4] {
        cluster.add_worker(worker).await;
    }
    let ended = soon("its end is said", mass_event()).await;
    assert_eq!(ended, ClusterEvent::MassFailureEnded, "it is said once");
    cluster.formed().await;
    cluster.shutdown().await;
}
