//! A worker whose process dies without a word leaves nothing behind that is not to be kept.

use std::process::Command;
use std::time::Duration;

use phalanx::TaskError;
use phalanx_drivers::process::{LogState, Program};
use tests::{first, soon, until};

use super::apart::Apart;
use super::stage::{Stage, marker, policy, processes, shell};

/// A process, a child that has left its group, and a grandchild; none takes an order to stop.
async fn start(stage: &Stage, worker: &str, marker: &str) -> Program {
    let script = format!(
        "trap '' TERM HUP; setsid sleep {marker} & sh -c 'sleep {marker} & wait' & echo before; read x; sleep {marker}"
    );
    let handle = stage.worker(worker);
    let run = shell(&script);
    let program = first("the worker is there, and the program starts", async || {
        phalanx_drivers::process::run(&handle, run.clone()).await.ok()
    })
    .await;
    until("all are there", async || processes(marker).len() == 3).await;
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::start("killed-c", folder.path().to_owned(), []).await;
    let mut worker = Apart::start(&stage, "killed-w", folder.path(), "kill");
    let sleeps = marker(11);
    let _program = start(&stage, "killed-w", &sleeps).await;
    worker.kill();
    until("no process is left", async || processes(&sleeps).is_empty()).await;
    stage.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_dropped_leaves_no_process_even_where_programs_may_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let keeps = policy(folder.path()).allow_keeping();
    let mut stage = Stage::start("stops-c", folder.path().to_owned(), [("stops-w", keeps)]).await;
    let sleeps = marker(13);
    let _program = start(&stage, "stops-w", &sleeps).await;
    drop(stage.cluster.take_worker("stops-w"));
    until("no process is left", async || processes(&sleeps).is_empty()).await;
    stage.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_is_killed_takes_its_program_with_it_and_the_task_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let policy = policy(folder.path());
    let stage = Stage::start("super-c", folder.path().to_owned(), [("super-w", policy)]).await;
    let sleeps = marker(14);
    let program = stage.shell("super-w", &format!("echo $PPID; sleep {sleeps} & sleep {sleeps}")).await;
    until("both are there", async || processes(&sleeps).len() == 2).await;
    let said = stage.listener.wait(&program, "its parent's number", |said| said.len() == 2).await;
    let parent = super::stage::text(&said, phalanx_drivers::process::Stream::Stdout);
    let killed = Command::new("kill").args(["-KILL", parent.trim()]).status().unwrap();
    assert!(killed.success());
    let end = soon("the task ends", program.finished()).await;
    let expected =
        matches!(end, Err(TaskError::Failed(phalanx_drivers::process::ProcessError::SupervisorLost(_))));
    assert!(expected, "{end:?}");
    until("no process is left", async || processes(&sleeps).is_empty()).await;
    let page = program.follow(0, Duration::ZERO).await.unwrap();
    let page = program.follow(page.next, Duration::ZERO).await.unwrap();
    assert_eq!(page.state, LogState::Lost);
    stage.cluster.shutdown().await;
}
