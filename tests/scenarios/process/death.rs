//! A worker whose process dies without a word leaves nothing behind, unless its policy says so.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use phalanx::TaskError;
use phalanx_drivers::process::{Exit, LogState, Program, follow};
use tests::{first, soon, until};

use super::stage::{Stage, marker, policy, processes, shell};

/// A worker as a process of its own. Killed when it is dropped.
struct Apart(Child);

impl Apart {
    fn start(stage: &Stage, name: &str, folder: &Path, on_death: &str) -> Self {
        let address = stage.cluster.addresses()[0].to_string();
        let arguments = [
            stage.cluster.secret.expose().to_string(),
            address,
            name.into(),
            folder.display().to_string(),
            on_death.into(),
        ];
        let command =
            Command::new(env!("CARGO_BIN_EXE_program-worker")).args(arguments).stdin(Stdio::null()).spawn();
        Self(command.unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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
async fn a_program_that_is_to_be_kept_outlives_its_worker_and_its_log_is_there_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::start("kept-c", folder.path().to_owned(), []).await;
    let mut worker = Apart::start(&stage, "kept-w", folder.path(), "keep");
    let (sleeps, go) = (marker(12), folder.path().join("go"));
    // It ends with the folder too, so that a scenario that fails leaves nothing.
    let script = format!(
        "echo before; while test -d {} && ! test -e {}; do sleep 0.02; done; echo after; exit 6",
        folder.path().display(),
        go.display()
    );
    let handle = stage.worker("kept-w");
    let run = shell(&script).argument(&sleeps);
    let program =
        first("the program starts", async || phalanx_drivers::process::run(&handle, run.clone()).await.ok())
            .await;
    stage.listener.wait_text(&program, phalanx_drivers::process::Stream::Stdout, "before\n").await;
    let task = program.task().id().clone();
    worker.kill();
    // A child that it has just made looks like it for a moment.
    assert!(!processes(&sleeps).is_empty(), "it goes on");
    let _again = Apart::start(&stage, "kept-w", folder.path(), "keep");
    let page =
        first("the next boot shows the log", async || follow(&handle, &task, 0, Duration::ZERO).await.ok())
            .await;
    assert_eq!((page.next, page.state), (7, LogState::GoesOn));
    assert_eq!(soon("the task is lost", program.finished()).await, Err(TaskError::Lost));
    std::fs::write(&go, "").unwrap();
    until("it ends", async || processes(&sleeps).is_empty()).await;
    let page = first("its end is there", async || {
        let page = follow(&handle, &task, 7, Duration::ZERO).await.unwrap();
        (page.state != LogState::GoesOn).then_some(page)
    })
    .await;
    assert_eq!((&page.chunks[0].bytes[..], page.state), (&b"after\n"[..], LogState::Ended(Exit::Code(6))));
    stage.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_leaves_no_process_even_where_programs_are_to_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let keeps = policy(folder.path()).on_death(phalanx_drivers::process::OnDeath::Keep);
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
