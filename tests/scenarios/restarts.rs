//! A worker that goes away is said to be away; one that comes back is a new boot of the same worker.

use std::time::Duration;

use phalanx::{CallError, ClusterEvent, NodeStatus, Reason, TaskError};
use tests::{Ask, Cluster, Knob, Probe, What, Work, soon, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_gone_is_not_connected_at_once() {
    let mut cluster = Cluster::start(&["gone-c1", "gone-c2"], &["gone-w"]).await;
    let (owner, other) = (cluster.ring_owner("gone-w"), cluster.bystander("gone-w"));
    let mut events = cluster.control(&owner).subscribe();
    drop(cluster.take_worker("gone-w"));
    soon("the owner says so", async {
        loop {
            match events.next().await {
                Some(ClusterEvent::Worker { worker, status: NodeStatus::NotConnected, .. })
                    if worker.as_str() == "gone-w" =>
                {
                    return;
                }
                Some(_) => {}
                None => panic!("the events of a control node that runs have ended"),
            }
        }
    })
    .await;
    for control in [&owner, &other] {
        let answer = cluster.through(control, "gone-w").request::<Probe>(Ask::Echo(1, String::new())).await;
        assert_eq!(answer, Err(CallError::NotExecuted(Reason::NotConnected)), "{control}");
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_worker_that_goes_away_is_in_doubt_and_never_hangs() {
    let mut cluster = Cluster::start(&["doubt-c1", "doubt-c2"], &["doubt-w"]).await;
    let calls: Vec<_> = [cluster.ring_owner("doubt-w"), cluster.bystander("doubt-w")]
        .iter()
        .zip(1..)
        .map(|(control, number)| {
            let handle = cluster.through(control, "doubt-w");
            tokio::spawn(async move { handle.request::<Probe>(Ask::Hang(number)).await })
        })
        .collect();
    cluster.ledger.wait_begun(1).await;
    cluster.ledger.wait_begun(2).await;
    drop(cluster.take_worker("doubt-w"));
    for call in calls {
        let answer = soon("the call ends long before its deadline", call).await.unwrap();
        assert!(matches!(answer, Err(CallError::Unknown(_))), "{answer:?}");
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_restarts_is_a_new_boot_and_its_tasks_are_lost() {
    let mut cluster = Cluster::start(&["boot-c1", "boot-c2"], &["boot-w"]).await;
    let ways = [cluster.ring_owner("boot-w"), cluster.bystander("boot-w")];
    let mut tasks = Vec::new();
    for control in &ways {
        tasks.push(cluster.through(control, "boot-w").start::<Probe>(Work::Listen).await.unwrap());
    }
    tasks[0].command(Knob::Say(3)).await.unwrap();
    let old = cluster.record.wait_events(tasks[0].id(), 3).await[0].generation;

    drop(cluster.take_worker("boot-w"));
    cluster.add_worker("boot-w").await;
    cluster.settled().await;
    for (control, number) in ways.iter().zip(1..) {
        let handle = cluster.through(control, "boot-w");
        let answer = handle.request::<Probe>(Ask::Echo(number, "back".into())).await;
        assert_eq!(answer.map(|answer| answer.text), Ok("back".into()), "{control}");
    }
    for task in &tasks {
        assert_eq!(soon("a lost task is said to be lost", task.output()).await, Err(TaskError::Lost));
        let command = soon("a command to it ends", task.command(Knob::Note(1))).await;
        assert_eq!(command, Err(CallError::NotExecuted(Reason::OtherGeneration)));
        let stop = soon("an order to stop it ends", task.stop(Duration::from_secs(1))).await;
        assert_eq!(stop, Err(CallError::NotExecuted(Reason::OtherGeneration)));
        let sent = soon("a transfer into it ends", task.send_bytes("late")).await;
        assert_eq!(sent, Err(phalanx::TransferError::Refused(Reason::OtherGeneration)));
    }
    let seen = cluster.record.wait_ended(tasks[0].id()).await;
    let [.., gap, end] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(gap.what, What::Gap(4..=u64::MAX), "nobody knows what it would have said");
    assert_eq!(end.what, What::Ended(Err(TaskError::Lost)));
    let task = cluster.through(&ways[0], "boot-w").start::<Probe>(Work::Count(1)).await.unwrap();
    assert!(cluster.record.wait_ended(task.id()).await[0].generation > old);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_with_one_name_the_later_boot_stays() {
    let mut cluster = Cluster::start(&["twin-c1"], &["twin-w"]).await;
    let first = cluster.take_worker("twin-w");
    let task = cluster.through("twin-c1", "twin-w").start::<Probe>(Work::Listen).await.unwrap();
    // Generations grow with the clock, in milliseconds.
    cluster.add_worker("twin-w").await;
    soon("the later one is ready", cluster.worker("twin-w").wait_for(NodeStatus::Ready)).await;
    until("the earlier one has no owner", async || first.owner().is_none()).await;
    let answer = cluster.through("twin-c1", "twin-w").request::<Probe>(Ask::Echo(1, "later".into())).await;
    assert_eq!(answer.unwrap().text, "later");
    assert_eq!(soon("its tasks are lost", task.output()).await, Err(TaskError::Lost));
    first.shutdown().await;
    cluster.shutdown().await;
}
