//! A control node that joins takes its share of the workers, and one that leaves gives its share back; the work goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::FutureExt;
use phalanx::{CallError, ClusterEvent, Control, NodeId, NodeStatus, Reason, TaskHandle};
use tests::{Ask, Cluster, Knob, Probe, Said, Seen, What, Work, soon, until};
use tokio::task::JoinHandle;

/// Asks all workers through one control node, again and again, until told to end. Returns how many calls were answered,
/// and the reasons of those that were not executed.
fn ask_on(
    control: Control,
    workers: Vec<NodeId>,
    end: Arc<AtomicBool>,
    numbers: Arc<AtomicU64>,
) -> JoinHandle<(u64, Vec<Reason>)> {
    tokio::spawn(async move {
        let (mut answered, mut refused) = (0, Vec::new());
        while !end.load(Ordering::Relaxed) {
            for worker in &workers {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                match control.worker(worker).request::<Probe>(Ask::Echo(number, "on".into())).await {
                    Ok(answer) => {
                        assert_eq!(answer.worker, *worker);
                        answered += 1;
                    }
                    Err(CallError::NotExecuted(reason)) => refused.push(reason),
                    Err(error) => {
                        panic!("a call during a move may only succeed or not be executed: {error:?}")
                    }
                }
            }
        }
        (answered, refused)
    })
}

/// Checks that every number came once and in order, whichever control node has handled it.
fn assert_each_once(entries: &[Seen]) {
    for (seen, number) in entries.iter().zip(1..) {
        assert_eq!((seen.sequence, seen.before), (number, number - 1), "{seen:?}");
        assert!(matches!(&seen.what, What::Event(Said::Number(said)) if *said == number), "{seen:?}");
    }
}

async fn tick_on_each(cluster: &Cluster, control: &str, workers: &[&str]) -> Vec<TaskHandle<Probe>> {
    let mut tasks = Vec::new();
    for worker in workers {
        tasks.push(cluster.through(control, worker).start::<Probe>(Work::Tick(25)).await.unwrap());
    }
    for task in &tasks {
        cluster.record.wait_events(task.id(), 3).await;
    }
    tasks
}

/// Waits for some more events of each task, ends it, and checks all that came of it.
async fn finish_each(cluster: &Cluster, tasks: &[TaskHandle<Probe>]) {
    for task in tasks {
        let so_far = cluster.record.of(task.id()).len();
        cluster.record.wait_events(task.id(), so_far + 5).await;
        task.command(Knob::Finish).await.unwrap();
        soon("the task ends", task.output()).await.unwrap();
        let mut entries = cluster.record.wait_ended(task.id()).await;
        assert!(matches!(entries.pop().unwrap().what, What::Ended(Ok(_))));
        assert_each_once(&entries);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_node_that_joins_takes_its_share_and_no_event_is_lost_or_seen_twice() {
    let workers = ["join-w1", "join-w2", "join-w3", "join-w4", "join-w5", "join-w6"];
    let mut cluster = Cluster::start(&["join-c1", "join-c2"], &workers).await;
    let tasks = tick_on_each(&cluster, "join-c1", &workers).await;
    let end = Arc::new(AtomicBool::new(false));
    let numbers = Arc::new(AtomicU64::new(1));
    let names: Vec<NodeId> = workers.iter().map(|name| name.parse().unwrap()).collect();
    let calls: Vec<_> = cluster
        .controls()
        .map(|control| ask_on(control.clone(), names.clone(), end.clone(), numbers.clone()))
        .collect();

    cluster.add_control("join-c3").await;
    cluster.formed().await;
    let moved: Vec<&str> =
        workers.into_iter().filter(|worker| cluster.ring_owner(worker) == "join-c3").collect();
    assert!(!moved.is_empty(), "the names are chosen so that some workers move");
    let at_the_new_one = |seen: &[Seen]| seen.iter().any(|seen| seen.control == "join-c3");
    for (task, worker) in tasks.iter().zip(workers).filter(|(_, worker)| moved.contains(worker)) {
        cluster
            .record
            .wait_for(&format!("events of {worker} at the new owner"), task.id(), at_the_new_one)
            .await;
    }
    end.store(true, Ordering::Relaxed);
    for call in calls {
        let (answered, refused) = soon("the calls end", call).await.unwrap();
        assert!(answered > 0);
        assert_eq!(refused, [], "no call fails because of a move");
    }
    assert_eq!(cluster.ledger.begun_twice(), Vec::<u64>::new());
    finish_each(&cluster, &tasks).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_node_that_leaves_hands_everything_over_before_it_goes() {
    let workers = ["leave-w1", "leave-w2", "leave-w3"];
    let mut cluster = Cluster::start(&["leave-c1", "leave-c2"], &workers).await;
    let leaver = cluster.ring_owner(workers[0]);
    let stayer = cluster.bystander(workers[0]);
    let tasks = tick_on_each(&cluster, &stayer, &workers).await;
    let left = cluster.take_control(&leaver);
    let mut heard = [left.subscribe(), cluster.control(&stayer).subscribe()];
    soon("it leaves", left.shutdown()).await;
    soon("it says so", left.stopped()).await;
    drop(left);
    for worker in workers {
        assert_eq!(cluster.worker(worker).owner().unwrap().as_str(), stayer, "{worker} has moved before");
        cluster.through(&stayer, worker).request::<Probe>(Ask::Echo(0, "there".into())).await.unwrap();
    }
    for events in &mut heard {
        while let Some(Some(event)) = events.next().now_or_never() {
            let lost = matches!(&event, ClusterEvent::Worker { status: NodeStatus::NotConnected, .. });
            assert!(!lost, "{event:?}");
        }
    }
    cluster.formed().await;
    until("it is gone from the roster's active nodes", async || {
        cluster.control(&stayer).cluster().borrow().roster.active().count() == 1
    })
    .await;
    for (task, worker) in tasks.iter().zip(workers) {
        let so_far = cluster.record.of(task.id()).len();
        let entries = cluster.record.wait_events(task.id(), so_far + 5).await;
        assert_each_once(&entries);
        assert!(entries.iter().any(|seen| seen.control == stayer), "{worker}: {entries:?}");
        task.command(Knob::Finish).await.unwrap();
        soon("the task ends", task.output()).await.unwrap();
    }
    cluster.shutdown().await;
}
