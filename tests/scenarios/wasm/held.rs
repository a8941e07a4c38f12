//! A guest that does not end is ended, and harms nobody meanwhile.

use std::time::Duration;

use futures_util::future::join_all;
use phalanx::{CallError, CallOptions, ClusterEvent, NodeStatus, Reason};
use phalanx_drivers::wasm::{Entry, WasmClient, WasmError, WasmLimits};
use tests::{Ask, Cluster, Probe, soon, until};
use tokio::time::Instant;

use super::guests::{add_worker, both, endless, greeting, handles, policy};

/// Fuel for longer than any scenario takes.
const PLENTY: u64 = u64::MAX;

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_ends_within_a_second_and_everything_else_goes_on() {
    let mut cluster = Cluster::start(&["wh-c1", "wh-c2"], &[]).await;
    let limits = WasmLimits {
        fuel_max: PLENTY,
        turn_time: Duration::from_millis(300),
        calls_max: 4,
        ..WasmLimits::default()
    };
    add_worker(&mut cluster, "wh-w", &policy(None).limits(limits)).await;
    let [one, other] = both(&cluster, "wh-w");
    soon("it is pushed", one.push(&endless())).await.unwrap();
    soon("it is pushed", one.push(&greeting("greet", "1"))).await.unwrap();
    let mut events = cluster.control(&cluster.ring_owner("wh-w")).subscribe();

    // Alone: of a few tries one, on a machine that does other things too.
    let mut took = Vec::new();
    for client in [&one, &other, &one] {
        let begun = Instant::now();
        let ended = client.call(Entry::new("endless", "run"), "").await;
        assert_eq!(ended, Err(CallError::Failed(WasmError::TimedOut { time_ms: 300 })));
        took.push(begun.elapsed());
    }
    assert!(took.iter().any(|took| *took < Duration::from_secs(1)), "{took:?}");

    // As many as there may be, again and again, beside others.
    let looping = join_all((0..4).map(|_| async {
        for _ in 0..5 {
            let ended = one.call(Entry::new("endless", "run"), "").await;
            assert_eq!(ended, Err(CallError::Failed(WasmError::TimedOut { time_ms: 300 })));
        }
    }));
    let asking = async {
        let handles = handles(&cluster, "wh-w");
        for number in 0..20 {
            let answer = handles[number % 2].request::<Probe>(Ask::Echo(number as u64, String::new())).await;
            assert!(answer.is_ok(), "{answer:?}");
        }
    };
    soon("all of them end", async { tokio::join!(looping, asking) }).await;
    assert_eq!(&other.call(Entry::new("greet", "run"), "").await.unwrap().output[..], b"greet 1");
    // The worker was there all the time.
    while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, events.next()).await {
        assert!(!matches!(event, ClusterEvent::Worker { status: NodeStatus::NotConnected, .. }), "{event:?}");
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_waits_for_ends_and_gives_its_place_back() {
    let mut cluster = Cluster::start(&["wd-c1", "wd-c2"], &[]).await;
    // The policy alone would let it run for an hour.
    let limits = WasmLimits {
        fuel_max: PLENTY,
        turn_time: Duration::from_secs(3_600),
        calls_max: 1,
        ..WasmLimits::default()
    };
    add_worker(&mut cluster, "wd-w", &policy(None).limits(limits)).await;
    for (client, handle) in both(&cluster, "wd-w").into_iter().zip(handles(&cluster, "wd-w")) {
        soon("it is pushed", client.push(&endless())).await.unwrap();
        let run = || Entry::new("endless", "run");
        let running = async || client.list().await.unwrap()[0].versions[0].running;

        let deadline = Duration::from_millis(300);
        let short = WasmClient::new(handle.with(CallOptions { deadline, ..CallOptions::default() }));
        let late = short.call(run(), "").await;
        let is_late = |reason: &Reason| *reason == Reason::DeadlineExceeded;
        assert!(late.as_ref().is_err_and(|error| error.reason().is_some_and(is_late)), "{late:?}");
        until("the guest of the late call ends", async || running().await == 0).await;

        let calling = tokio::spawn({
            let client = client.clone();
            async move { client.call(run(), "").await }
        });
        until("the guest runs", async || running().await == 1).await;
        assert_eq!(client.call(run(), "").await, Err(CallError::Failed(WasmError::Busy { running_max: 1 })));
        let in_use = client.remove("endless", "1").await;
        assert_eq!(in_use, Err(CallError::Failed(WasmError::InUse { running: 1 })));
        calling.abort();
        until("the guest of the caller that went away ends", async || running().await == 0).await;
        client.remove("endless", "1").await.unwrap();
    }
    cluster.shutdown().await;
}
