//! A daemon that goes away while containers run.

use std::time::Duration;

use phalanx::TaskError;
use phalanx_drivers::docker::{DockerError, Said, Stream};
use tests::{soon, until};

use crate::stage::{PATIENT, Stage, shell, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_stops_ends_its_containers_and_their_tasks_say_how() {
    let mut stage = Stage::start_with(|policy| policy.daemon_away_max(Duration::from_secs(2))).await;
    let container = stage.shell(PATIENT).await;
    stage.ready(&container).await;
    stage.daemon.stop().await;
    let end = soon("the task ends", container.finished()).await;
    // The daemon tells the exit code if it comes to that before it ends itself.
    match end {
        Ok(finished) => assert_eq!(finished.exit_code, 5),
        Err(TaskError::Failed(DockerError::DaemonLost(_))) => {}
        other => panic!("{other:?}"),
    }
    let next = stage.shell("true").await;
    let end = soon("the next one is refused", next.finished()).await;
    assert!(matches!(end, Err(TaskError::Failed(DockerError::DaemonAbsent(_)))), "{end:?}");
    stage.daemon.begin(&[]).await;
    assert_eq!(stage.finish(shell("echo again")).await.last_lines, ["again"]);
    until("what was left is removed", async || stage.daemon.containers().is_empty()).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_and_does_not_come_back_is_the_reason() {
    let mut stage = Stage::start_with(|policy| policy.daemon_away_max(Duration::from_secs(1))).await;
    let container = stage.shell(PATIENT).await;
    stage.ready(&container).await;
    stage.daemon.kill().await;
    let end = soon("the task ends", container.finished()).await;
    assert!(matches!(end, Err(TaskError::Failed(DockerError::DaemonLost(_)))), "{end:?}");
    let said = stage.listener.said(container.task().id());
    assert!(said.iter().any(|said| matches!(said, Said::DaemonLost(_))), "{said:?}");
    stage.daemon.begin(&[]).await;
    until("what was left is removed", async || stage.daemon.containers().is_empty()).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_outlives_a_daemon_that_lets_it_and_its_task_goes_on() {
    let mut stage = Stage::start().await;
    stage.daemon.stop().await;
    stage.daemon.begin(&["--live-restore"]).await;
    let script = "trap 'echo after; exit 6' USR1; echo ready; while :; do sleep 0.05; done";
    let container = stage.shell(script).await;
    stage.ready(&container).await;
    stage.daemon.stop().await;
    stage.daemon.begin(&["--live-restore"]).await;
    let back = |said: &[Said]| said.iter().any(|said| matches!(said, Said::DaemonBack));
    stage.listener.wait(container.task().id(), "the daemon is back", back).await;
    container.signal(10).await.unwrap();
    let finished = soon("it ends", container.finished()).await.unwrap();
    assert_eq!((finished.exit_code, finished.last_lines.last().unwrap().as_str()), (6, "after"));
    let said = stage.listener.said(container.task().id());
    assert_eq!(text(&said, Stream::Stdout), "ready\nafter\n");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_somebody_else_removes_has_ended() {
    let stage = Stage::start().await;
    let container = stage.shell(PATIENT).await;
    stage.ready(&container).await;
    stage.daemon.docker(&["rm", "--force", &stage.daemon.containers()[0]]);
    assert_eq!(soon("it ends", container.finished()).await.unwrap().exit_code, 128 + 9);
    stage.end().await;
}
