//! A program that is to be kept outlives its worker's process, and its task goes on in the next one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use phalanx::{NodeId, TaskError};
use phalanx_drivers::process::{Exit, LogState, ProcessError, Program, Run, Said, run};
use tests::{first, soon, until};

use super::apart::Apart;
use super::stage::{Stage, marker, processes, shell};

/// A script that ends with the folder of its scenario too, so that one that fails leaves nothing.
fn guarded(folder: &Path, script: &str) -> String {
    format!("here() {{ test -d {}; }}; {script}", folder.display())
}

/// Starts a program once its worker is there.
async fn start(stage: &Stage, worker: &str, program: &Run) -> Program {
    let handle = stage.worker(worker);
    first("the program starts", async || run(&handle, program.clone()).await.ok()).await
}

/// Waits until a program has said this.
async fn says(stage: &Stage, program: &Program, text: &str) {
    until(&format!("{text:?} is told"), async || {
        let said = stage.listener.all(program);
        said.iter().any(|said| {
            matches!(said, Said::Output(chunk) if String::from_utf8_lossy(&chunk.bytes).contains(text))
        })
    })
    .await;
}

/// All that a program has written, from its log, in which nothing is missing.
async fn whole_log(program: &Program) -> (String, LogState) {
    let (mut bytes, mut next) = (Vec::new(), 0);
    loop {
        let page = first("a page of the log", async || program.follow(next, Duration::ZERO).await.ok()).await;
        assert_eq!(page.gap, None);
        page.chunks.iter().for_each(|chunk| bytes.extend_from_slice(&chunk.bytes));
        if page.state != LogState::GoesOn {
            return (String::from_utf8(bytes).unwrap(), page.state);
        }
        next = page.next;
    }
}

/// How many processes have something below this folder open: supervisors, and nobody else.
fn holders(folder: &Path) -> usize {
    let holds = |entry: &fs::DirEntry| {
        let Ok(open) = fs::read_dir(entry.path().join("fd")) else { return false };
        open.flatten().any(|open| fs::read_link(open.path()).is_ok_and(|path| path.starts_with(folder)))
    };
    fs::read_dir("/proc").unwrap().flatten().filter(holds).count()
}

fn kept(stage: &Stage, program: &Program) -> usize {
    stage.listener.all(program).iter().filter(|said| matches!(said, Said::Kept { .. })).count()
}

async fn finished(program: &Program) -> Exit {
    soon("the program ends", program.finished()).await.unwrap().exit
}

/// The lines of a program that numbers them, in order and whole.
fn assert_numbered(log: &str) {
    // The shell says besides which signal has ended its child.
    let lines: Vec<&str> = log.lines().filter(|line| !line.contains("signal")).collect();
    let expected: Vec<String> = (1..=lines.len()).map(|number| format!("line {number}")).collect();
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_programs_those_that_are_to_be_kept_are_there_again_and_the_others_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let real = fs::canonicalize(folder.path()).unwrap();
    let stage = Stage::start("again-c", folder.path().to_owned(), []).await;
    let mut worker = Apart::start(&stage, "again-w", folder.path(), "keep");
    let [kept_marker, short_marker, killed_marker] = [21, 22, 23].map(marker);
    let go = folder.path().join("go");
    let keeps = |script: &str, marker: &str| shell(&guarded(folder.path(), script)).argument(marker).keep();

    let (mut writers, mut readers, mut short, mut killed) = (vec![], vec![], vec![], vec![]);
    for number in 0..4 {
        let script = format!(
            "trap 'exit 2{number}' USR1; n=0; while here; do n=$((n + 1)); echo line $n; sleep 0.1; done"
        );
        writers.push(start(&stage, "again-w", &keeps(&script, &kept_marker)).await);
    }
    for number in 0..3 {
        let script = format!("echo ready; while read x; do echo got $x; done; exit 4{number}");
        readers.push(start(&stage, "again-w", &keeps(&script, &kept_marker).open_stdin()).await);
    }
    for number in 0..3 {
        let wait = format!("while here && ! test -e {}; do sleep 0.05; done", go.display());
        let script = format!("echo ready; {wait}; echo last; exit 6{number}");
        short.push(start(&stage, "again-w", &keeps(&script, &short_marker)).await);
    }
    for _ in 0..10 {
        let script = format!("trap '' TERM HUP; echo ready; sleep {killed_marker} & sleep {killed_marker}");
        killed.push(start(&stage, "again-w", &shell(&guarded(folder.path(), &script))).await);
    }
    for program in &writers {
        says(&stage, program, "line 2\n").await;
    }
    for program in readers.iter().chain(&short).chain(&killed) {
        says(&stage, program, "ready\n").await;
    }
    readers[0].write("before\n").await.unwrap();
    says(&stage, &readers[0], "got before\n").await;

    worker.kill();
    until("those that are not kept are gone", async || processes(&killed_marker).is_empty()).await;
    assert!(
        !processes(&short_marker).is_empty() && !processes(&kept_marker).is_empty(),
        "those that are go on"
    );
    fs::write(&go, "").unwrap();
    until("three have ended meanwhile", async || processes(&short_marker).is_empty()).await;
    let _again = Apart::start(&stage, "again-w", folder.path(), "keep");

    for program in &killed {
        assert_eq!(soon("a lost task says so", program.finished()).await, Err(TaskError::Lost));
    }
    for (program, number) in short.iter().zip(60..) {
        let finished = soon("the end comes", program.finished()).await.unwrap();
        assert_eq!(
            (finished.exit, finished.last_lines),
            (Exit::Code(number), vec!["ready".into(), "last".into()])
        );
    }
    for (program, number) in readers.iter().zip(40..) {
        program.write("after\n").await.unwrap();
        says(&stage, program, "got after\n").await;
        program.close_stdin().await.unwrap();
        assert_eq!(finished(program).await, Exit::Code(number));
    }
    for (program, number) in writers.iter().zip(20..) {
        program.signal(10).await.unwrap();
        assert_eq!(finished(program).await, Exit::Code(number));
        let (log, state) = whole_log(program).await;
        assert_eq!(state, LogState::Ended(Exit::Code(number)));
        assert_numbered(&log);
        let whole = async || stage.listener.told_through(program) == log.len() as u64;
        until("every byte was told", whole).await;
    }
    for program in writers.iter().chain(&readers).chain(&short) {
        until("each says once that it was kept", async || kept(&stage, program) == 1).await;
    }
    assert!(killed.iter().all(|program| kept(&stage, program) == 0));
    let all = [&kept_marker, &short_marker, &killed_marker];
    until("no process is left", async || all.iter().all(|marker| processes(marker).is_empty())).await;
    until("nor a supervisor", async || holders(&real) == 0).await;
    stage.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_in_order_leaves_what_is_to_be_kept_and_stops_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::start("order-c", folder.path().to_owned(), []).await;
    let mut worker = Apart::start(&stage, "order-w", folder.path(), "keep");
    let [keeps, stops] = [31, 32].map(marker);
    let script = "echo ready; while read x; do echo got $x; done; exit 5";
    let kept = start(&stage, "order-w", &shell(script).argument(&keeps).open_stdin().keep()).await;
    let script =
        format!("trap 'echo stopped; exit 3' TERM; echo ready; while :; do sleep 0.05; done; : {stops}");
    let stopped = start(&stage, "order-w", &shell(&script).argument(&stops)).await;
    says(&stage, &kept, "ready\n").await;
    says(&stage, &stopped, "ready\n").await;
    worker.stop();
    assert!(processes(&stops).is_empty(), "it was stopped, and waited for");
    assert_eq!(processes(&keeps).len(), 1);
    let mut worker = Apart::start(&stage, "order-w", folder.path(), "keep");
    // Whoever asks while the worker is away is told so.
    first("it goes on", async || kept.write("after\n").await.ok()).await;
    says(&stage, &kept, "got after\n").await;

    // And once more, without a word.
    worker.kill();
    let _again = Apart::start(&stage, "order-w", folder.path(), "keep");
    first("it goes on again", async || kept.write("again\n").await.ok()).await;
    says(&stage, &kept, "got again\n").await;
    kept.close_stdin().await.unwrap();
    assert_eq!(finished(&kept).await, Exit::Code(5));
    stage.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_to_stop_is_not_kept_and_what_may_not_be_kept_any_more_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::start("told-c", folder.path().to_owned(), []).await;
    let mut worker = Apart::start(&stage, "told-w", folder.path(), "keep");
    let [told, left] = [41, 42].map(marker);
    let deaf = |marker: &str| {
        let script = format!("trap '' TERM; echo ready; while here; do sleep 0.05; done; : {marker}");
        shell(&guarded(folder.path(), &script)).argument(marker).keep()
    };
    let (stopped, kept) =
        (start(&stage, "told-w", &deaf(&told)).await, start(&stage, "told-w", &deaf(&left)).await);
    says(&stage, &stopped, "ready\n").await;
    says(&stage, &kept, "ready\n").await;
    stopped.task().stop(Duration::from_secs(3_600)).await.unwrap();
    stopped.signal(28).await.unwrap();
    worker.kill();
    until("it is gone with the worker", async || processes(&told).is_empty()).await;
    assert!(!processes(&left).is_empty());
    let _again = Apart::start(&stage, "told-w", folder.path(), "kill");
    for program in [&stopped, &kept] {
        assert_eq!(finished(program).await, Exit::Signal(9));
    }
    let refused = start(&stage, "told-w", &deaf(&left)).await;
    let refused = soon("it is refused", refused.finished()).await;
    assert_eq!(refused, Err(TaskError::Failed(ProcessError::KeepNotAllowed)));
    until("none is left", async || processes(&left).is_empty()).await;
    stage.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_dies_while_its_worker_is_away_takes_its_program_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::start("alone-c", folder.path().to_owned(), []).await;
    let mut worker = Apart::start(&stage, "alone-w", folder.path(), "keep");
    let sleeps = marker(51);
    let program =
        start(&stage, "alone-w", &shell(&format!("echo parent $PPID; exec sleep {sleeps}")).keep()).await;
    says(&stage, &program, "\n").await;
    let said = super::stage::text(&stage.listener.said(&program), phalanx_drivers::process::Stream::Stdout);
    let parent = said.trim().strip_prefix("parent ").unwrap();
    until("it sleeps", async || !processes(&sleeps).is_empty()).await;
    worker.kill();
    assert!(Command::new("kill").args(["-KILL", parent]).status().unwrap().success());
    until("no process is left", async || processes(&sleeps).is_empty()).await;
    let mut again = Apart::start(&stage, "alone-w", folder.path(), "keep");
    let end = soon("the task ends", program.finished()).await;
    assert!(matches!(end, Err(TaskError::Failed(ProcessError::SupervisorLost(_)))), "{end:?}");

    // An end is told once: the boot after that knows nothing of it.
    again.kill();
    let _third = Apart::start(&stage, "alone-w", folder.path(), "keep");
    let id = NodeId::new("alone-w").unwrap();
    let generation = stage.cluster.controls().next().unwrap().worker(id);
    first("the third one is there", async || generation.info().await.ok()).await;
    until("it is lost there", async || program.finished().await == Err(TaskError::Lost)).await;
    stage.cluster.shutdown().await;
}
