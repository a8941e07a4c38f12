//! Labels and requests.

use std::time::Duration;

use futures_util::future::join_all;
use phalanx::{CallError, CallOptions, Reason};
use tests::{Question, Story, soon, until};
use tokio::time::Instant;

use crate::stage::Blow;
use crate::{Stage, WORKER, tell};

fn within(milliseconds: u64) -> CallOptions {
    CallOptions { deadline: Duration::from_millis(milliseconds), ..CallOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_set_replaced_and_removed() {
    tell(async |stage, blow| {
        let worker = stage.worker(WORKER).await;
        let set = |text: &str| worker.set_labels(text.parse().unwrap());
        set("main;group=a;gpu").await.unwrap();
        stage.strike(WORKER, blow).await;
        assert_eq!(worker.labels().await.unwrap(), "main;group=a;gpu".parse().unwrap());
        set("main;group=b").await.unwrap();
        assert_eq!(worker.labels().await.unwrap(), "main;group=b".parse().unwrap());
        // Whoever hosts the worker now knows it too, and so does everybody who lists.
        until("the list shows the labels", async || {
            let listed = stage.any_client().await.nodes().await.unwrap().nodes;
            listed
                .iter()
                .any(|node| node.node.as_str() == WORKER && node.labels == "main;group=b".parse().unwrap())
        })
        .await;
        set("").await.unwrap();
        assert!(worker.labels().await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_fail_and_panic() {
    tell(async |stage, blow| {
        let worker = stage.worker(WORKER).await;
        for round in 0..2 {
            assert_eq!(worker.request::<Story>(Question::Add(2, 40 + round)).await, Ok(42 + round));
            let failed = worker.request::<Story>(Question::Fail("no".into())).await;
            assert_eq!(failed, Err(CallError::Failed("no".into())));
            let panicked = worker.request::<Story>(Question::Panic("the question trips".into())).await;
            assert_eq!(panicked, Err(CallError::Aborted(Reason::Panicked("the question trips".into()))));
            if round == 0 {
                stage.strike(WORKER, blow).await;
            }
        }
    })
    .await;
}

/// What a request is answered late survives what happens meanwhile: it begins once, and its answer comes or is in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_may_come_later() {
    let number = std::sync::atomic::AtomicU64::new(0);
    tell(async |stage, blow| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let worker = stage.worker(WORKER).await;
        let asked = tokio::spawn({
            let worker = worker.clone();
            async move { worker.request::<Story>(Question::Later(number, 2_000)).await }
        });
        until("it has begun", async || worker.request::<Story>(Question::Begun(number)).await == Ok(1)).await;
        stage.strike(WORKER, blow).await;
        let answer = soon("the answer comes", asked).await.unwrap();
        match (blow, &answer) {
            (Blow::None | Blow::ProxyKilled, Ok(answer)) => assert_eq!(*answer, number),
            // The silence of a cut is longer than the patience for it.
            (Blow::ProxyKilled | Blow::LinkCut, Err(CallError::Unknown(_))) => {}
            (Blow::LinkCut, Ok(answer)) => assert_eq!(*answer, number),
            _ => panic!("{blow:?}: {answer:?}"),
        }
        assert_eq!(worker.request::<Story>(Question::Begun(number)).await, Ok(1), "it began once");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_kept_and_one_that_passes_is_told() {
    tell(async |stage, blow| {
        let worker = stage.worker(WORKER).await;
        for round in 0..2 {
            let in_time = worker.clone().with(within(1_000)).request::<Story>(Question::Later(1, 100)).await;
            assert_eq!(in_time, Ok(1));
            let since = Instant::now();
            let late = worker.clone().with(within(100)).request::<Story>(Question::Later(2, 60_000)).await;
            assert_eq!(late, Err(CallError::Aborted(Reason::DeadlineExceeded)));
            assert!(since.elapsed() < Duration::from_secs(20), "the deadline ends it, and not the handler");
            if round == 0 {
                stage.strike(WORKER, blow).await;
            }
        }
    })
    .await;
}

/// More than the silence after which a session is lost, on every thread that handlers have.
#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_block_for_thirty_seconds_delay_no_heartbeat_and_no_other_request() {
    let stage = Stage::start(&[WORKER]).await;
    let (owner, generation) = stage.owner(WORKER).await;
    let worker = stage.worker(WORKER).await.with(within(120_000));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let blocked: Vec<_> = (0..threads)
        .map(|_| {
            let worker = worker.clone();
            tokio::spawn(async move { worker.request::<Story>(Question::Block(30_000)).await })
        })
        .collect();
    let mut asked = 0;
    while blocked.iter().any(|call| !call.is_finished()) {
        asked += 1;
        let soon = worker.clone().with(within(10_000));
        assert_eq!(soon.request::<Story>(Question::Add(asked, 1)).await, Ok(asked + 1));
        assert_eq!(soon.status().await, Ok(phalanx::NodeStatus::Ready));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    for answer in join_all(blocked).await {
        assert_eq!(answer.unwrap(), Ok(30_000));
    }
    assert!(asked > 20, "it was asked other things all the time: {asked}");
    assert_eq!(stage.owner(WORKER).await, (owner, generation), "the session was never lost");
}
