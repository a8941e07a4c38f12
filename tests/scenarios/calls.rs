//! How a call can end: each way has a type of its own, at the owner and through another control node alike.

use std::time::Duration;

use phalanx::{CallError, CallOptions, JobClass, JobHandler, NodeId, Nothing, Reason, TaskError};
use tests::{Ask, Cluster, Oops, Probe, shared, soon, until};
use tokio::time::Instant;

/// Nobody has a handler for this class.
struct Unheard;

/// Its handler implements nothing.
struct Silent;

/// The next version of [`Probe`].
struct ProbeNext;

macro_rules! text_class {
    ($class:ident, $name:expr, $version:literal) => {
        impl JobClass for $class {
            const NAME: &'static str = $name;
            const VERSION: u32 = $version;
            type Request = String;
            type Reply = String;
            type Task = String;
            type Output = String;
            type Command = Nothing;
            type CommandReply = Nothing;
            type Event = Nothing;
            type Error = Nothing;
        }
    };
}

text_class!(Unheard, "unheard", 1);
text_class!(Silent, "silent", 1);
text_class!(ProbeNext, Probe::NAME, 2);

struct Mute;

impl JobHandler<Silent> for Mute {}

/// The worker that is asked here, but for where it says otherwise.
const WORKER: &str = "shared-w1";

fn not_executed<T, E>(reason: Reason) -> Result<T, CallError<E>> {
    Err(CallError::NotExecuted(reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_does_not_take_is_refused_with_the_reason() {
    let mut cluster = Cluster::start(&["take-c1", "take-c2"], &["take-w"]).await;
    let mute = cluster.worker_builder("take-mute").job::<Silent>(Mute).start().await.unwrap();
    cluster.adopt_worker(mute);
    cluster.settled().await;

    for control in cluster.both_ways("take-w") {
        let probe = cluster.through(&control, "take-w");
        let text = String::from("?");
        assert_eq!(probe.request::<Unheard>(text.clone()).await, not_executed(Reason::NoSuchClass));
        let other = Reason::OtherVersion { ours: 2, theirs: 1 };
        assert_eq!(probe.request::<ProbeNext>(text.clone()).await, not_executed(other.clone()));
        assert_eq!(probe.start::<ProbeNext>(text.clone()).await.map(|_| ()), not_executed(other));
        assert_eq!(probe.start::<Unheard>(text.clone()).await.map(|_| ()), not_executed(Reason::NoSuchClass));

        let mute = cluster.through(&control, "take-mute");
        let refused = mute.request::<Silent>(text.clone()).await.unwrap_err();
        assert_eq!(refused.reason(), Some(&Reason::NotSupported), "{refused:?}");
        // Whether a task is supported is known only once it has begun: its end says so.
        let task = mute.start::<Silent>(text).await.unwrap();
        let end = soon("an unsupported task ends", task.output()).await;
        assert_eq!(end, Err(TaskError::Aborted(Reason::NotSupported)));
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_never_sent() {
    for control in shared().both_ways(WORKER) {
        let (number, fits) = (shared().ledger.number(), shared().ledger.number());
        let handle = shared().through(&control, WORKER);
        let answer = handle.request::<Probe>(Ask::Echo(number, "x".repeat(1 << 20))).await;
        let Err(CallError::NotExecuted(Reason::TooLarge { bytes, bytes_max })) = answer else {
            panic!("{answer:?}")
        };
        assert!(bytes > bytes_max && bytes_max == 1 << 20, "{bytes} {bytes_max}");
        // What fits goes through, answer and all.
        let text = "x".repeat((1 << 20) - 128);
        let answer = handle.request::<Probe>(Ask::Echo(fits, text.clone())).await.unwrap();
        assert!(answer.text == text);
        assert_eq!((shared().ledger.begun(number), shared().ledger.begun(fits)), (0, 1));
        // Nobody is looked for before that.
        let nobody =
            shared().through(&control, "nobody").request::<Probe>(Ask::Fail("x".repeat(1 << 20))).await;
        assert!(matches!(nobody, Err(CallError::NotExecuted(Reason::TooLarge { .. }))), "{nobody:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_handler_is_its_own() {
    for control in shared().both_ways(WORKER) {
        let answer = shared().through(&control, WORKER).request::<Probe>(Ask::Fail("no".into())).await;
        assert_eq!(answer, Err(CallError::Failed(Oops("no".into()))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_deadline_the_handler_is_dropped_and_the_caller_is_told() {
    let options = CallOptions { deadline: Duration::from_millis(300), ..CallOptions::default() };
    for control in shared().both_ways(WORKER) {
        let handle = shared().through(&control, WORKER).with(options.clone());
        until("the worker itself says in time that the time is over", async || {
            let (number, since) = (shared().ledger.number(), Instant::now());
            let answer = handle.request::<Probe>(Ask::Hang(number)).await.unwrap_err();
            let took = since.elapsed();
            // Half of this is the promise, and half is for a machine with other things to do.
            assert!(took < options.deadline + Duration::from_secs(2), "{took:?}");
            assert_eq!(answer.reason(), Some(&Reason::DeadlineExceeded), "{answer:?}");
            let is_its_word = matches!(answer, CallError::Aborted(_));
            if is_its_word {
                assert!(took >= options.deadline, "{took:?}");
                shared().ledger.wait_dropped(number).await;
            }
            is_its_word
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_cancels_its_request() {
    for control in shared().both_ways(WORKER) {
        let number = shared().ledger.number();
        let handle = shared().through(&control, WORKER);
        tokio::select! {
            biased;
            answer = handle.request::<Probe>(Ask::Hang(number)) => panic!("{answer:?}"),
            () = shared().ledger.wait_begun(number) => {}
        }
        shared().ledger.wait_dropped(number).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_full_says_so_and_takes_the_next_one_later() {
    let mut config = phalanx::Config::default();
    config.jobs.running_requests_max = 2;
    let cluster = Cluster::start_with(config, &["full-c1"], &["full-w"]).await;
    let handle = cluster.through("full-c1", "full-w");
    let hang = |number| {
        let handle = handle.clone();
        tokio::spawn(async move { handle.request::<Probe>(Ask::Hang(number)).await })
    };
    let (first, second) = (hang(1), hang(2));
    cluster.ledger.wait_begun(1).await;
    cluster.ledger.wait_begun(2).await;
    let third = handle.request::<Probe>(Ask::Hang(3)).await;
    assert!(matches!(third, Err(CallError::NotExecuted(Reason::Busy(_)))), "{third:?}");
    first.abort();
    until("there is room again", async || handle.request::<Probe>(Ask::Echo(4, String::new())).await.is_ok())
        .await;
    assert_eq!(cluster.ledger.begun(3), 0);
    second.abort();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_node_that_has_stopped_says_so() {
    let mut cluster = Cluster::start(&["over-c1", "over-c2"], &["over-w"]).await;
    let hang = cluster.ledger.number();
    let control = cluster.take_control(&cluster.bystander("over-w"));
    let handle = control.worker(NodeId::new("over-w").unwrap());
    let in_flight = tokio::spawn({
        let handle = handle.clone();
        async move { handle.request::<Probe>(Ask::Hang(hang)).await }
    });
    cluster.ledger.wait_begun(hang).await;
    soon("it stops", control.shutdown()).await;
    let answer = soon("what is in flight ends", in_flight).await.unwrap();
    assert_eq!(answer, Err(CallError::Unknown(Reason::ShuttingDown)));
    let answer =
        soon("what comes later is refused", handle.request::<Probe>(Ask::Echo(0, String::new()))).await;
    assert_eq!(answer, not_executed(Reason::ShuttingDown));
    cluster.shutdown().await;
}
