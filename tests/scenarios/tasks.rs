//! Tasks: events come in order and once, commands arrive in order, and every task ends once, with a reason.

use std::time::Duration;

use futures_util::future::join_all;
use phalanx::{CallError, Reason, TaskError};
use tests::{Knob, Oops, Probe, Said, Seen, What, Work, shared, soon};

const WORKER: &str = "shared-w3";

/// Checks that a task's entries are the numbers from 1 on, each once and in order, with its end behind them; and that the
/// handler's own state was never lost or seen twice.
fn assert_whole(entries: &[Seen], last: u64, end: &Result<String, TaskError<Oops>>) {
    let expected = (1..=last).map(|number| What::Event(Said::Number(number)));
    let expected: Vec<What> = expected.chain([What::Ended(end.clone())]).collect();
    let whats: Vec<What> = entries.iter().map(|seen| seen.what.clone()).collect();
    assert_eq!(whats, expected);
    assert!(entries.iter().zip(1..).all(|(seen, number)| seen.sequence == number), "{entries:?}");
    assert!(entries.iter().zip(0..).all(|(seen, before)| seen.before == before), "{entries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_order_and_once_and_the_output_is_there_for_all_who_ask() {
    let ways = shared().both_ways(WORKER);
    for control in &ways {
        let task = shared().through(control, WORKER).start::<Probe>(Work::Count(500)).await.unwrap();
        let end = Ok("counted to 500".to_owned());
        let (first, second) =
            soon("both get the output", async { tokio::join!(task.output(), task.output()) }).await;
        assert_eq!((first, second), (end.clone(), end.clone()));
        let entries = shared().record.wait_ended(task.id()).await;
        assert_whole(&entries, 500, &end);
        assert!(entries.iter().all(|seen| seen.control == ways[0]), "only the owner handles events");
        assert_eq!(soon("the output is kept", task.output()).await, end);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_at_once_keep_their_events_apart() {
    let counts = (0..24_u64).map(|number| {
        let control = if number % 2 == 0 { "shared-c1" } else { "shared-c2" };
        let worker = ["shared-w1", "shared-w2", "shared-c1"][usize::try_from(number % 3).unwrap()];
        let handle = shared().through(control, worker);
        async move { (10 + number, handle.start::<Probe>(Work::Count(10 + number)).await.unwrap()) }
    });
    for (last, task) in join_all(counts).await {
        let end = soon("a task ends", task.output()).await;
        assert_eq!(end, Ok(format!("counted to {last}")));
        assert_whole(&shared().record.wait_ended(task.id()).await, last, &end);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_arrive_in_the_order_in_which_they_were_sent() {
    for control in shared().both_ways(WORKER) {
        let task = shared().through(&control, WORKER).start::<Probe>(Work::Listen).await.unwrap();
        // All under way at one time: polled in this order, and so sent in it.
        let replies = soon("all are answered", join_all((1..=40).map(|n| task.command(Knob::Note(n))))).await;
        let expected: Vec<_> = (1..=40).map(Ok).collect();
        assert_eq!(replies, expected);
        assert_eq!(
            task.command(Knob::Refuse("not so".into())).await,
            Err(CallError::Failed(Oops("not so".into())))
        );
        assert_eq!(task.command(Knob::Finish).await, Ok(0));
        let noted: Vec<String> = (1..=40).map(|n: u64| n.to_string()).collect();
        assert_eq!(soon("the task ends", task.output()).await, Ok(noted.join(" ")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_told_to_stop_ends_in_its_own_words() {
    for control in shared().both_ways(WORKER) {
        let task = shared().through(&control, WORKER).start::<Probe>(Work::Listen).await.unwrap();
        assert_eq!(task.command(Knob::Note(5)).await, Ok(1));
        assert_eq!(task.stop(Duration::from_secs(60)).await, Ok(()));
        let end = Err(TaskError::Failed(Oops("stopped after 5".into())));
        assert_eq!(soon("the task ends", task.output()).await, end);
        let entries = shared().record.wait_ended(task.id()).await;
        assert_whole(&entries, 0, &end);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_does_not_stop_is_ended_after_the_grace() {
    for control in shared().both_ways(WORKER) {
        let number = shared().ledger.number();
        let task = shared().through(&control, WORKER).start::<Probe>(Work::Deaf(number)).await.unwrap();
        shared().ledger.wait_begun(number).await;
        assert_eq!(task.stop(Duration::from_millis(200)).await, Ok(()));
        assert_eq!(soon("the task is ended", task.output()).await, Err(TaskError::Stopped));
        shared().ledger.wait_dropped(number).await;
        let entries = shared().record.wait_ended(task.id()).await;
        assert_whole(&entries, 0, &Err(TaskError::Stopped));
        let late = task.command(Knob::Finish).await.unwrap_err();
        assert!(matches!(late.reason(), Some(Reason::TaskEnded | Reason::NoSuchTask)), "{late:?}");
    }
}
