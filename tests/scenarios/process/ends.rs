//! How programs end: by themselves, by signals, by order; with all that they have started.

use std::time::Duration;

use futures_util::future::join_all;
use phalanx::{CallError, TaskError};
use phalanx_drivers::process::{Exit, ProcessError, Run, Stream};
use tests::{soon, until};

use super::stage::{WORKER, marker, processes, stage};

#[tokio::test(flavor = "multi_thread")]
async fn codes_and_signals_are_exact() {
    let ends = [
        ("exit 0", Exit::Code(0)),
        ("exit 1", Exit::Code(1)),
        ("exit 127", Exit::Code(127)),
        ("exit 255", Exit::Code(255)),
        ("no-such-program", Exit::Code(127)),
        ("kill -HUP $$", Exit::Signal(1)),
        ("kill -KILL $$", Exit::Signal(9)),
        ("kill -SEGV $$", Exit::Signal(11)),
        ("kill -PIPE $$", Exit::Signal(13)),
        ("kill -TERM $$", Exit::Signal(15)),
    ];
    for (script, exit) in ends {
        let program = stage().shell(WORKER, script).await;
        let finished = soon(script, program.finished()).await.unwrap();
        assert_eq!(finished.exit, exit, "{script}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_the_program() {
    let program = stage()
        .shell(WORKER, "trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.05; done")
        .await;
    stage().listener.wait_text(&program, Stream::Stdout, "ready\n").await;
    for wrong in [0, -1, 99, i32::MAX, i32::MIN] {
        assert_eq!(program.signal(wrong).await, Err(CallError::Failed(ProcessError::NoSuchSignal(wrong))));
    }
    program.signal(10).await.unwrap();
    let finished = soon("it ends", program.finished()).await.unwrap();
    assert_eq!(finished.exit, Exit::Code(5));
    assert!(finished.last_lines.contains(&"caught".to_owned()), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_to_stop_has_time_to_end_well() {
    let script = "trap 'echo cleaning; sleep 0.1; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let program = stage().shell(WORKER, script).await;
    stage().listener.wait_text(&program, Stream::Stdout, "ready\n").await;
    program.stop(Duration::from_secs(60)).await.unwrap();
    let finished = soon("it ends long before its grace", program.finished()).await.unwrap();
    assert_eq!(finished.exit, Exit::Code(7));
    assert!(finished.last_lines.contains(&"cleaning".to_owned()), "{finished:?}");

    // The framework's own order to stop is the same.
    let program = stage().shell(WORKER, script).await;
    stage().listener.wait_text(&program, Stream::Stdout, "ready\n").await;
    program.task().stop(Duration::from_secs(60)).await.unwrap();
    assert_eq!(soon("it ends", program.finished()).await.unwrap().exit, Exit::Code(7));
}

/// A script that takes no order to stop, and has a child, a grandchild, and one that has left the group, each deaf too.
fn deaf(marker: &str) -> String {
    let again = format!("trap '' TERM INT HUP; sleep {marker}");
    format!(
        "trap '' TERM INT HUP; sleep {marker} & sh -c '(trap \"\" TERM; sleep {marker}) & sleep {marker}' &
         setsid sh -c \"{again}\" & echo ready; while :; do sleep {marker}; done"
    )
}

/// Waits until all sleepers of [`deaf`] are there: its own, a child, two of a grandchild, and one that has left.
async fn all_there(marker: &str) {
    until("all processes are there", async || processes(marker).len() == 5).await;
}

async fn none_left(marker: &str) {
    until("no process is left", async || processes(marker).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_stop_is_killed_after_the_grace_with_all_that_it_has_started() {
    let sleeps = marker(1);
    let program = stage().shell(WORKER, &deaf(&sleeps)).await;
    all_there(&sleeps).await;
    program.stop(Duration::from_millis(300)).await.unwrap();
    assert_eq!(processes(&sleeps).len(), 5, "the grace lasts");
    assert_eq!(soon("it is killed", program.finished()).await.unwrap().exit, Exit::Signal(9));
    assert!(processes(&sleeps).is_empty(), "all are gone before the end is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_program_ends_what_it_has_left_behind() {
    let sleeps = marker(2);
    let script =
        format!("sleep {sleeps} & setsid sleep {sleeps} & while test -z \"$x\"; do read x; done; exit 4");
    let program = stage().run(WORKER, super::stage::shell(&script).open_stdin()).await;
    until("both are there", async || processes(&sleeps).len() == 2).await;
    program.write("go\n").await.unwrap();
    assert_eq!(soon("it ends", program.finished()).await.unwrap().exit, Exit::Code(4));
    assert!(processes(&sleeps).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_dropped_leaves_nothing() {
    let sleeps = marker(3);
    let program = stage().shell(WORKER, &deaf(&sleeps)).await;
    all_there(&sleeps).await;
    // No time at all: the worker drops the task.
    program.task().stop(Duration::ZERO).await.unwrap();
    let end = soon("the task ends", program.finished()).await;
    match end {
        Err(TaskError::Stopped) => {}
        Ok(finished) => assert_eq!(finished.exit, Exit::Signal(9)),
        other => panic!("{other:?}"),
    }
    none_left(&sleeps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_programs_run_side_by_side_and_keep_their_output_apart() {
    let programs = (0..20).map(|number| async move {
        let run = Run::new("sh")
            .arguments(["-c", "i=0; while [ $i -lt 50 ]; do echo $0 $i; i=$((i+1)); done; exit $0"]);
        let program = stage().run(WORKER, run.argument(number.to_string())).await;
        let finished = soon("a program ends", program.finished()).await.unwrap();
        (number, program, finished)
    });
    for (number, program, finished) in join_all(programs).await {
        assert_eq!(finished.exit, Exit::Code(number));
        let expected: String = (0..50).map(|line| format!("{number} {line}\n")).collect();
        assert_eq!(finished.stdout_bytes, expected.len() as u64);
        assert_eq!(finished.last_lines.join("\n") + "\n", expected);
        stage().listener.wait_text(&program, Stream::Stdout, &expected).await;
    }
}
