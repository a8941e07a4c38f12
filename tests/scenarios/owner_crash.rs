//! When the owner of a worker is gone, another control node takes it over, and its tasks have not noticed.

use std::time::Duration;

use phalanx::{CallOptions, NodeId, NodeStatus, StartError};
use tests::{Ask, Cluster, Knob, OWN_ADDRESS, Probe, Said, Seen, What, Work, first, soon};
use tokio::time::Instant;

/// Checks that each number was handled, in order, and that only repeats came between: after a crash an event may come
/// again, with the same sequence. The handler's state goes on from a checkpoint that the worker kept.
fn assert_no_gap(entries: &[Seen]) {
    let mut last = 0;
    for seen in entries {
        assert!(!matches!(seen.what, What::Gap(_)), "{seen:?}");
        assert!(seen.sequence <= last + 1, "{} came after {last}: {entries:?}", seen.sequence);
        assert_eq!(seen.before, seen.sequence - 1, "the state of the handler fits the event: {seen:?}");
        if let What::Event(Said::Number(number)) = seen.what {
            assert_eq!(number, seen.sequence, "{seen:?}");
        }
        last = last.max(seen.sequence);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_a_lost_owner_are_taken_over_and_their_tasks_go_on() {
    let workers = ["lost-w1", "lost-w2", "lost-w3"];
    let mut cluster = Cluster::start(&["lost-c1", "lost-c2", "lost-c3"], &workers).await;
    let worker = workers[0];
    let (owner, survivor) = (cluster.ring_owner(worker), cluster.bystander(worker));
    let handle = cluster.through(&survivor, worker);
    let task = handle.start::<Probe>(Work::Tick(20)).await.unwrap();
    cluster.record.wait_events(task.id(), 10).await;
    let waiting = tokio::spawn({
        let task = task.clone();
        async move { task.output().await }
    });
    let in_flight = tokio::spawn({
        let options = CallOptions { deadline: Duration::from_secs(3), ..CallOptions::default() };
        let handle = handle.clone().with(options);
        async move {
            let since = Instant::now();
            (handle.request::<Probe>(Ask::Hang(1)).await, since.elapsed())
        }
    });
    cluster.ledger.wait_begun(1).await;

    drop(cluster.take_control(&owner));
    let (answer, took) = soon("the request in flight ends", in_flight).await.unwrap();
    assert!(answer.is_err() && took < Duration::from_secs(4), "{answer:?} after {took:?}");
    let elsewhere = |seen: &[Seen]| seen.iter().filter(|seen| seen.control != owner).count() >= 10;
    cluster.record.wait_for("events come at another control node", task.id(), elsewhere).await;
    cluster.settled().await;

    assert_eq!(task.command(Knob::Note(3)).await, Ok(1));
    task.command(Knob::Finish).await.unwrap();
    assert_eq!(soon("the output comes to who waits for it", waiting).await.unwrap(), Ok("3".into()));
    assert_eq!(soon("and to who asks now", task.output()).await, Ok("3".into()));
    assert_no_gap(&cluster.record.wait_ended(task.id()).await);
    for (name, number) in workers.iter().zip(10..) {
        assert_eq!(cluster.worker(name).status(), NodeStatus::Ready);
        for control in cluster.controls() {
            let handle = control.worker(NodeId::new(name).unwrap());
            let echo = handle.request::<Probe>(Ask::Echo(number, "on".into()));
            assert_eq!(echo.await.unwrap().text, "on");
        }
    }
    assert_eq!(
        (cluster.ledger.begun(1), cluster.ledger.was_dropped(1)),
        (1, true),
        "at most once, and cancelled"
    );
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_outlives_every_control_node() {
    let mut cluster = Cluster::start(&[], &[]).await;
    cluster.adopt_control(cluster.control_builder("alone-c1").listen(OWN_ADDRESS).start().await.unwrap());
    cluster.add_worker("alone-w").await;
    cluster.formed().await;
    let task = cluster.through("alone-c1", "alone-w").start::<Probe>(Work::Tick(10)).await.unwrap();
    cluster.record.wait_events(task.id(), 5).await;
    let old = cluster.take_control("alone-c1");
    let address = old.local_addr().to_string();
    old.shutdown().await;
    drop(old);
    let before = cluster.record.of(task.id()).len();
    // The same name and port, and nothing remembered: the worker's checkpoint is all there is of the handler's state.
    let control = first("the port is free again", async || {
        match cluster.control_builder("alone-c1").listen(&address).start().await {
            Ok(control) => Some(control),
            Err(StartError::Bind(_)) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    cluster.adopt_control(control);
    assert_no_gap(&cluster.record.wait_events(task.id(), before + 20).await);
    cluster.shutdown().await;
}
