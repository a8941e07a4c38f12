//! Programs with a terminal of their own.

use std::time::Duration;

use phalanx::CallError;
use phalanx_drivers::process::{Exit, ProcessError, Run, Stream, Tell};
use tests::{soon, until};

use super::stage::{WORKER, marker, processes, shell, stage, text};

/// Waits until a program has written this to its terminal.
async fn shows(program: &phalanx_drivers::process::Program, expected: &str) {
    stage()
        .listener
        .wait(program, &format!("{expected:?} is shown"), |said| {
            text(said, Stream::Stdout).contains(expected)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_three_streams_are_one_terminal_of_the_size_that_was_asked_for() {
    let script = "tty; tty <&1; tty <&2; stty size; exec 3</dev/tty && echo controls; echo oops >&2";
    let program = stage().run(WORKER, shell(script).terminal(31, 77)).await;
    let finished = soon("it ends", program.finished()).await.unwrap();
    assert_eq!((finished.exit, finished.stderr_bytes), (Exit::Code(0), 0));
    let lines: Vec<&str> = finished.last_lines.iter().map(|line| line.trim_end()).collect();
    let [first, second, third, "31 77", "controls", "oops"] = lines[..] else { panic!("{lines:?}") };
    assert!(first.starts_with("/dev/pts/"), "{first}");
    assert_eq!((first, first), (second, third));

    let program = stage().run(WORKER, Run::new("tty")).await;
    let finished = soon("it ends", program.finished()).await.unwrap();
    assert_eq!(finished.last_lines, ["not a tty"]);
    assert_eq!(finished.exit, Exit::Code(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_is_talked_to_and_sees_its_terminal_change() {
    let program = stage().run(WORKER, shell("PS1='> ' exec sh -i").terminal(24, 80)).await;
    shows(&program, "> ").await;
    program.write("echo $((6 * 7))\n").await.unwrap();
    shows(&program, "42\r\n").await;
    program.resize(40, 132).await.unwrap();
    program.write("stty size\n").await.unwrap();
    shows(&program, "40 132\r\n").await;
    // Ctrl-C reaches who is in the foreground, and not the shell.
    let sleeps = marker(61);
    program.write(format!("sleep {sleeps}\n")).await.unwrap();
    until("it sleeps", async || !processes(&sleeps).is_empty()).await;
    program.write(vec![3]).await.unwrap();
    until("it sleeps no more", async || processes(&sleeps).is_empty()).await;
    program.write("echo still\"\" here\n").await.unwrap();
    shows(&program, "still here\r\n").await;
    // A terminal has no end, but a character for it.
    program.write("(exit 9)\n").await.unwrap();
    program.close_stdin().await.unwrap();
    let finished = soon("the shell ends", program.finished()).await.unwrap();
    assert_eq!(finished.exit, Exit::Code(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_hangs_up_and_leaves_nothing() {
    let sleeps = marker(62);
    let program = stage().run(WORKER, shell("PS1='> ' exec sh -i").terminal(24, 80)).await;
    shows(&program, "> ").await;
    // A job has a group of its own, and this one does not heed a closed terminal.
    program.write(format!("(trap '' HUP; sleep {sleeps}) &\n")).await.unwrap();
    until("it sleeps", async || !processes(&sleeps).is_empty()).await;
    program.stop(Duration::from_secs(3_600)).await.unwrap();
    soon("a shell that heeds no SIGTERM ends long before its grace", program.finished()).await.unwrap();
    until("no process is left", async || processes(&sleeps).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_terminal_has_no_size() {
    let program = stage().run(WORKER, shell("read x").open_stdin()).await;
    let refused =
        program.task().command(Tell::Resize(phalanx_drivers::process::TerminalSize { rows: 1, columns: 1 }));
    assert_eq!(refused.await, Err(CallError::Failed(ProcessError::NoTerminal)));
    program.close_stdin().await.unwrap();
    soon("it ends", program.finished()).await.unwrap();
}
