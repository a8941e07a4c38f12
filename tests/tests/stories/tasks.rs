//! Tasks, and the states of a worker.

use std::time::Duration;

use phalanx::{CallError, NodeStatus, Reason, TaskError, TaskId, TaskState};
use phalanx_operator::EventKind;
use tests::{Plot, Story, soon, until};

use crate::stage::{Blow, Stage};
use crate::{WORKER, tell};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_told_things_and_a_dead_one_is_not() {
    tell(async |stage, blow| {
        let worker = stage.worker(WORKER).await;
        let task = worker.start::<Story>(Plot::Listen).await.unwrap();
        assert_eq!(task.command(2).await.unwrap().0, 2);
        stage.strike(WORKER, blow).await;
        assert_eq!(task.command(3).await.unwrap().0, 5, "it is the same task");
        task.stop(Duration::ZERO).await.unwrap();
        let end = soon("it ends", task.output()).await.unwrap_err();
        assert!(matches!(end, TaskError::Stopped | TaskError::Failed(_)), "{end:?}");
        let late = task.command(4).await.unwrap_err();
        assert!(matches!(late.reason(), Some(Reason::TaskEnded)), "{late:?}");

        let task = worker.start::<Story>(Plot::Panic("the plot trips".into())).await.unwrap();
        let end = soon("it ends", task.output()).await;
        assert_eq!(end, Err(TaskError::Aborted(Reason::Panicked("the plot trips".into()))));
        let details = worker.task_details(task.id()).await.unwrap().unwrap();
        assert!(
            details.end.unwrap().to_string().contains("the plot trips"),
            "the reason of the crash is kept"
        );
    })
    .await;
}

fn is_start(kind: &EventKind, of: &TaskId) -> bool {
    matches!(kind, EventKind::TaskStarted(told) if told.task == of.to_string())
}

fn is_end(kind: &EventKind, of: &TaskId, how: TaskState) -> bool {
    matches!(kind, EventKind::TaskStopped { task, state, .. } if task.task == of.to_string() && *state == how)
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_task_has_started_and_how_it_ended_is_told_by_itself() {
    tell(async |stage, blow| {
        let worker = stage.worker(WORKER).await;
        let task = worker.start::<Story>(Plot::Listen).await.unwrap();
        until("the start is told", async || stage.is_told(|kind| is_start(kind, task.id())).await).await;
        stage.strike(WORKER, blow).await;
        task.kill().await.unwrap();
        assert_eq!(soon("it ends", task.output()).await, Err(TaskError::Killed));
        let killed = |kind: &EventKind| is_end(kind, task.id(), TaskState::Killed);
        until("the end is told", async || stage.is_told(killed).await).await;

        let task = worker.start::<Story>(Plot::Panic("the plot trips".into())).await.unwrap();
        let failed = |kind: &EventKind| is_end(kind, task.id(), TaskState::Failed);
        until("the crash is told", async || stage.is_told(failed).await).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stands_by_stops_and_is_ready_again() {
    tell(async |stage, blow| {
        let worker = stage.worker(WORKER).await;
        let task = worker.start::<Story>(Plot::Listen).await.unwrap();
        assert_eq!(worker.standby().await, Ok(NodeStatus::Standby));
        let refused = worker.start::<Story>(Plot::Listen).await.map(drop);
        assert_eq!(refused, Err(CallError::NotExecuted(Reason::NotReady(NodeStatus::Standby))));
        assert_eq!(task.command(7).await, Ok((7, Some(NodeStatus::Standby))), "tasks hear of it and go on");
        stage.strike(WORKER, blow).await;

        assert_eq!(worker.stop(Duration::from_secs(10)).await, Ok(NodeStatus::Stopping));
        let end = soon("the task ends", task.output()).await;
        assert_eq!(end, Err(TaskError::Failed("stopped at 7".into())), "tasks are told");
        until("it has stopped", async || worker.status().await == Ok(NodeStatus::Stopped)).await;
        assert_eq!(worker.ready().await, Ok(NodeStatus::Ready));
        let task = worker.start::<Story>(Plot::Listen).await.unwrap();
        assert_eq!(task.command(0).await.unwrap().0, 0);
    })
    .await;
}

const CALLERS: usize = 8;
const CYCLES: usize = 50;

/// Starts and stops tasks, as many callers at once; a blow comes in their middle.
#[tokio::test(flavor = "multi_thread")]
async fn eight_callers_start_and_stop_fifty_tasks_each() {
    tell(async |stage: &mut Stage, blow: Blow| {
        let worker = stage.worker(WORKER).await;
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let worker = worker.clone();
                tokio::spawn(async move {
                    let mut stopped = 0;
                    while stopped < CYCLES {
                        // What is in doubt because of a blow may run: it is stopped below.
                        let Ok(task) = worker.start::<Story>(Plot::Listen).await else { continue };
                        while task.stop(Duration::from_secs(5)).await.is_err() {}
                        task.output().await.unwrap_err();
                        stopped += 1;
                    }
                })
            })
            .collect();
        stage.strike(WORKER, blow).await;
        for caller in callers {
            soon("a caller has done its cycles", caller).await.unwrap();
        }
        for left in worker.tasks().await.unwrap() {
            assert_ne!(blow, Blow::None, "nothing is in doubt in peace: {left:?}");
        }
        worker.stop(Duration::ZERO).await.unwrap();
        until("nothing runs", async || worker.tasks().await.is_ok_and(|tasks| tasks.is_empty())).await;
        assert_eq!(worker.ready().await, Ok(NodeStatus::Ready));
    })
    .await;
}
