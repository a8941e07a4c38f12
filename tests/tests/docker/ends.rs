//! How containers end, and that nothing of them is left.

use std::time::Duration;

use phalanx::{CallError, TaskError};
use phalanx_drivers::docker::{DockerError, Run, Said};
use tests::{soon, until};

use crate::archive::IMAGE;
use crate::stage::{DEAF, PATIENT, Stage, shell};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_as_its_image_says_and_is_gone_when_its_task_has_ended() {
    let stage = Stage::start().await;
    let container = stage.run(Run::new(IMAGE)).await;
    let finished = soon("it ends", container.finished()).await.unwrap();
    assert_eq!((finished.exit_code, finished.oom_killed, &finished.kept), (0, false, &None));
    assert_eq!(finished.last_lines, ["as the image says"]);
    assert_eq!((finished.stdout_bytes, finished.stderr_bytes), (18, 0));
    assert_eq!(stage.daemon.containers(), Vec::<String>::new(), "gone before the end is told");
    let said = stage.listener.wait(container.task().id(), "its events", |said| said.len() == 2).await;
    assert!(matches!(&said[0], Said::Started { image, .. } if image.starts_with("sha256:")), "{said:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_are_exact() {
    let stage = Stage::start().await;
    for (script, exit_code) in [("exit 7", 7), ("exit 255", 255), ("no-such-program", 127)] {
        assert_eq!(stage.finish(shell(script)).await.exit_code, exit_code, "{script}");
    }
    // A signal that a process sends to the first one of its container is kept away, unless it has a parent there.
    assert_eq!(stage.finish(shell("kill -TERM $$").init()).await.exit_code, 128 + 15);
    let absent = stage.run(Run::new(IMAGE).command(["/no/such/program"])).await;
    let error = soon("it does not start", absent.finished()).await.unwrap_err();
    assert!(
        matches!(&error, TaskError::Failed(DockerError::Api { text, .. }) if text.contains("/no/such/program"))
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn environment_folder_and_user_are_what_was_asked_for() {
    let stage = Stage::start().await;
    let run = shell("echo $FROM $GIVEN; pwd; id -u; id -g; cat /mark");
    let run = run.environment("GIVEN", "a b=c").folder("/work").user("1000:1001");
    let finished = stage.finish(run).await;
    assert_eq!(finished.last_lines, ["image a b=c", "/work", "1000", "1001", "first"]);
    let entrypoint = Run::new(IMAGE).entrypoint(["/bin/echo", "one"]).command(["two"]);
    assert_eq!(stage.finish(entrypoint).await.last_lines, ["one two"]);
    let read_only = shell("touch /x && echo writes; touch /tmp/x && echo memory").read_only();
    let memory = phalanx_drivers::docker::MountSource::Memory(1 << 20);
    let lines = stage.finish(read_only.mount(memory, "/tmp")).await.last_lines;
    assert!(lines.contains(&"memory".to_owned()) && !lines.contains(&"writes".to_owned()), "{lines:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_and_orders_to_stop_reach_a_container() {
    let stage = Stage::start().await;
    let container = stage.shell(PATIENT).await;
    stage.ready(&container).await;
    for wrong in [0, -1, 65, i32::MAX] {
        assert_eq!(container.signal(wrong).await, Err(CallError::Failed(DockerError::NoSuchSignal(wrong))));
    }
    container.signal(10).await.unwrap();
    let finished = soon("it ends", container.finished()).await.unwrap();
    assert_eq!((finished.exit_code, finished.last_lines.last().unwrap().as_str()), (5, "caught"));

    let container = stage.shell(PATIENT).await;
    stage.ready(&container).await;
    container.stop(Duration::from_secs(60)).await.unwrap();
    assert_eq!(soon("it ends long before its grace", container.finished()).await.unwrap().exit_code, 5);

    // The framework's own order to stop is the same.
    let container = stage.shell(PATIENT).await;
    stage.ready(&container).await;
    container.task().stop(Duration::from_secs(60)).await.unwrap();
    assert_eq!(soon("it ends", container.finished()).await.unwrap().exit_code, 5);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_stop_is_killed_after_the_grace() {
    let stage = Stage::start().await;
    let container = stage.shell(DEAF).await;
    stage.ready(&container).await;
    container.stop(Duration::from_millis(300)).await.unwrap();
    assert_eq!(soon("it is killed", container.finished()).await.unwrap().exit_code, 128 + 9);
    // With a small init, what does not handle signals ends by them.
    let container = stage.run(shell("echo ready; sleep 1000").init()).await;
    stage.ready(&container).await;
    container.stop(Duration::from_secs(60)).await.unwrap();
    assert_eq!(soon("it ends", container.finished()).await.unwrap().exit_code, 128 + 15);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_dropped_and_a_worker_that_stops_leave_no_container() {
    let mut stage = Stage::start().await;
    let container = stage.shell(DEAF).await;
    stage.ready(&container).await;
    container.task().stop(Duration::ZERO).await.unwrap();
    let end = soon("the task ends", container.finished()).await;
    assert!(matches!(end, Err(TaskError::Stopped) | Ok(_)), "{end:?}");
    until("no container is left", async || stage.daemon.containers().is_empty()).await;

    let container = stage.shell(DEAF).await;
    stage.ready(&container).await;
    drop(stage.cluster.take_worker(crate::stage::WORKER));
    until("no container is left", async || stage.daemon.containers().is_empty()).await;
    stage.end().await;
}
