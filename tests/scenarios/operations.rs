//! What every worker can be asked and told, from any control node: who it is, what it runs, its labels, its state.

use std::time::Duration;

use phalanx::{CallError, ClusterEvent, NodeStatus, Reason};
use tests::{Ask, Cluster, Probe, Said, Work, soon, until};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_tasks_are_listed_from_any_control_node() {
    let workers = ["list-w1", "list-w2", "list-w3", "list-w4"];
    let cluster = Cluster::start(&["list-c1", "list-c2"], &workers).await;
    let mut started = Vec::new();
    for worker in workers {
        started.push(cluster.through("list-c1", worker).start::<Probe>(Work::Listen).await.unwrap());
    }
    for control in cluster.controls() {
        let listed = control.nodes().await;
        assert_eq!(listed.silent, []);
        let names: Vec<&str> = listed.nodes.iter().map(|node| node.node.as_str()).collect();
        assert_eq!(names, ["list-c1", "list-c2", "list-w1", "list-w2", "list-w3", "list-w4"]);
        for node in &listed.nodes {
            assert_eq!(node.owner.as_str(), cluster.ring_owner(node.node.as_str()));
            assert_eq!(node.status, NodeStatus::Ready);
            let classes: Vec<&str> = node.classes.iter().map(|class| &*class.name).collect();
            assert!(classes.contains(&"probe") && classes.contains(&"phalanx.node"), "{classes:?}");
        }
        let tasks = control.tasks().await;
        assert_eq!(tasks.silent, []);
        let listed: Vec<(&str, &phalanx::TaskId)> =
            tasks.tasks.iter().map(|(worker, task)| (worker.as_str(), &task.task)).collect();
        let expected: Vec<_> = workers.into_iter().zip(started.iter().map(|task| task.id())).collect();
        assert_eq!(listed, expected);
        let info = control.worker(workers[0].parse::<phalanx::NodeId>().unwrap()).info().await.unwrap();
        assert_eq!((info.boot.node.as_str(), info.tasks), (workers[0], 1));
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_change_at_run_time_and_everybody_learns_of_it() {
    let cluster = Cluster::start(&["label-c1", "label-c2"], &["label-w"]).await;
    let [owner, other] = cluster.both_ways("label-w");
    let mut events = cluster.control(&owner).subscribe();
    for (control, labels) in [(&other, "core;group=blue"), (&owner, "core;group=green;rack=7")] {
        let handle = cluster.through(control, "label-w");
        let labels: phalanx::Labels = labels.parse().unwrap();
        handle.set_labels(labels.clone()).await.unwrap();
        assert_eq!(handle.labels().await, Ok(labels.clone()));
        let labelled = async {
            while !matches!(events.next().await, Some(ClusterEvent::Labelled { worker }) if worker.as_str() == "label-w")
            {
            }
        };
        soon("the owner says so", labelled).await;
        for asked in cluster.controls() {
            until("the list shows it", async || {
                let nodes = asked.nodes().await.nodes;
                nodes.iter().any(|node| node.node.as_str() == "label-w" && node.labels == labels)
            })
            .await;
        }
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stands_by_stops_and_is_ready_again_and_its_tasks_hear_of_it() {
    let cluster = Cluster::start(&["state-c1", "state-c2"], &["state-w"]).await;
    let [owner, other] = cluster.both_ways("state-w");
    let (near, far) = (cluster.through(&owner, "state-w"), cluster.through(&other, "state-w"));
    let watching = near.start::<Probe>(Work::Watch).await.unwrap();
    let deaf = near.start::<Probe>(Work::Deaf(1)).await.unwrap();

    assert_eq!(far.standby().await, Ok(NodeStatus::Standby));
    let refused = far.start::<Probe>(Work::Listen).await.map(|_| ());
    assert_eq!(refused, Err(CallError::NotExecuted(Reason::NotReady(NodeStatus::Standby))));
    near.request::<Probe>(Ask::Echo(2, "still here".to_owned())).await.unwrap();

    let before = far.stop_progress().await.unwrap();
    assert_eq!((before.status, before.tasks, before.told), (NodeStatus::Standby, 2, 0));
    assert_eq!(far.stop(Duration::from_secs(3)).await, Ok(NodeStatus::Stopping));
    until("only the deaf one is left, and is to be ended soon", async || {
        let progress = far.stop_progress().await.unwrap();
        let [left] = &progress.named[..] else { return false };
        assert_eq!((progress.status, progress.tasks, progress.told), (NodeStatus::Stopping, 1, 1));
        assert_eq!((&left.task, &*left.class.name), (deaf.id(), "probe"));
        assert!(left.ends_in_ms.is_some_and(|ends_in| ends_in <= 3_000), "{left:?}");
        assert_eq!(cluster.worker("state-w").stop_progress().await.map(|here| here.tasks), Some(1));
        true
    })
    .await;
    assert_eq!(soon("it stops", watching.output()).await, Ok("told to stop".to_owned()));
    assert_eq!(soon("it is ended", deaf.output()).await, Err(phalanx::TaskError::Stopped));
    until("it has stopped", async || near.status().await == Ok(NodeStatus::Stopped)).await;
    until("the list says so", async || {
        let nodes = cluster.control(&other).nodes().await.nodes;
        nodes.iter().any(|node| node.node.as_str() == "state-w" && node.status == NodeStatus::Stopped)
    })
    .await;
    near.request::<Probe>(Ask::Echo(3, "still here".to_owned())).await.unwrap();

    cluster.worker("state-w").ready().await;
    near.start::<Probe>(Work::Count(3)).await.unwrap().output().await.unwrap();
    cluster.record.wait_ended(watching.id()).await;
    let heard = cluster.record.events(watching.id());
    assert_eq!(heard, [Said::Is(NodeStatus::Standby), Said::Is(NodeStatus::Stopping)]);
    cluster.shutdown().await;
}
