//! What goes wrong in user code ends that request or task with a reason, and nothing else.

use std::time::Duration;

use futures_util::future::join_all;
use phalanx::{CallError, ClusterEvent, Config, NodeStatus, Reason, TaskError};
use tests::{Ask, Cluster, Knob, Oops, Probe, What, Work, shared, soon};
use tokio::time::Instant;

const WORKER: &str = "shared-w2";

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_request_ends_that_request_only() {
    let ledger = &shared().ledger;
    for control in shared().both_ways(WORKER) {
        let worker = shared().through(&control, WORKER);
        let task = worker.start::<Probe>(Work::Listen).await.unwrap();
        let number = ledger.number();
        let neighbour = tokio::spawn({
            let worker = worker.clone();
            async move { worker.request::<Probe>(Ask::Hang(number)).await }
        });
        ledger.wait_begun(number).await;

        let answer = worker.request::<Probe>(Ask::Panic("the request trips".into())).await;
        assert_eq!(answer, Err(CallError::Aborted(Reason::Panicked("the request trips".into()))));

        assert_eq!(task.command(Knob::Note(7)).await, Ok(1));
        let echo = worker.request::<Probe>(Ask::Echo(ledger.number(), "well".into())).await.unwrap();
        assert_eq!(echo.text, "well");
        assert!(!ledger.was_dropped(number) && !neighbour.is_finished());
        assert_eq!(shared().worker(WORKER).status(), NodeStatus::Ready);
        neighbour.abort();
        assert_eq!(task.command(Knob::Finish).await, Ok(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_or_an_error_in_a_task_ends_that_task_only() {
    let record = &shared().record;
    for control in shared().both_ways(WORKER) {
        let worker = shared().through(&control, WORKER);
        let neighbour = worker.start::<Probe>(Work::Listen).await.unwrap();
        let task = worker.start::<Probe>(Work::Panic("the task trips".into())).await.unwrap();
        let end = Err(TaskError::Aborted(Reason::Panicked("the task trips".into())));
        assert_eq!(soon("a task that panicked ends", task.output()).await, end);
        let entries = record.wait_ended(task.id()).await;
        assert_eq!(entries.iter().map(|seen| seen.what.clone()).collect::<Vec<_>>(), [What::Ended(end)]);

        let task = worker.start::<Probe>(Work::Fail("no".into())).await.unwrap();
        let end = Err(TaskError::Failed(Oops("no".into())));
        assert_eq!(soon("a task that failed ends", task.output()).await, end);
        let late = task.command(Knob::Note(1)).await.unwrap_err();
        assert!(matches!(late.reason(), Some(Reason::TaskEnded | Reason::NoSuchTask)), "{late:?}");

        assert_eq!(neighbour.command(Knob::Note(7)).await, Ok(1));
        assert_eq!(neighbour.command(Knob::Finish).await, Ok(0));
        assert_eq!(soon("the neighbour ends", neighbour.output()).await, Ok("7".into()));
    }
}

/// How long handlers block their threads below, and how much silence is allowed: far less.
const BLOCKED: Duration = Duration::from_secs(3);
const SILENCE_MAX: Duration = Duration::from_millis(1_750);

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_block_every_thread_they_have_delay_no_heartbeat() {
    let mut config = Config::default();
    config.jobs.beat_interval = Duration::from_millis(250);
    config.jobs.silence_max = SILENCE_MAX;
    let cluster = Cluster::start_with(config, &["block-c1", "block-c2"], &["block-w1", "block-w2"]).await;
    let mut events: Vec<_> = cluster.controls().map(|control| control.subscribe()).collect();

    // A worker, and a control node as a worker: the latter must go on as a control node.
    let threads = u64::try_from(std::thread::available_parallelism().map_or(1, usize::from)).unwrap();
    let mut blocked = Vec::new();
    for (worker, base) in [("block-w1", 0), ("block-c1", 100)] {
        for number in base..base + threads {
            let handle = cluster.through("block-c2", worker);
            let milliseconds = u64::try_from(BLOCKED.as_millis()).unwrap();
            blocked.push(tokio::spawn(async move {
                handle.request::<Probe>(Ask::Block(number, milliseconds)).await
            }));
            cluster.ledger.wait_begun(number).await;
        }
    }
    let since = Instant::now();
    for (control, number) in [("block-c1", 500), ("block-c2", 501)] {
        for worker in ["block-w2", "block-c2"] {
            let answer =
                cluster.through(control, worker).request::<Probe>(Ask::Echo(number, "on".into())).await;
            assert_eq!(answer.unwrap().text, "on");
        }
    }
    assert!(
        since.elapsed() < BLOCKED && blocked.iter().all(|call| !call.is_finished()),
        "calls were held up"
    );
    for answer in join_all(blocked).await {
        assert_eq!(answer.unwrap().map(|answer| answer.text), Ok(String::new()));
    }
    assert!(since.elapsed() > SILENCE_MAX, "the test blocks longer than a session may be silent");
    for events in &mut events {
        while let Ok(event) = tokio::time::timeout(Duration::ZERO, events.next()).await {
            let lost = matches!(&event, Some(ClusterEvent::Worker { status: NodeStatus::NotConnected, .. }));
            assert!(!lost, "a session was lost while a handler blocked: {event:?}");
        }
    }
    cluster.settled().await;
    cluster.shutdown().await;
}
