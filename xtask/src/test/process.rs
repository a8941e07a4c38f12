//! Runs the command of a step where everybody sees what it prints, and counts its tests on the way.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write, stderr, stdout};
use std::process::{Command as Process, ExitStatus, Stdio};
use std::thread;

use super::step::Command;
use super::tally::Tally;
use crate::Workspace;
use crate::cargo::cargo;

/// Runs a command that must succeed.
pub(super) fn run(command: &Command, workspace: &Workspace) -> Result<(), String> {
    let status = process(command, workspace).status();
    succeeded(status.map_err(|error| format!("cargo does not start: {error}"))?)
}

/// Runs a command that must succeed and must run at least one test. The count comes with the error too.
pub(super) fn run_tests(command: &Command, workspace: &Workspace) -> Result<Tally, (Tally, String)> {
    let mut process = process(command, workspace);
    if stderr().is_terminal() {
        // It writes into our pipe, but we write to a terminal.
        process.env("CARGO_TERM_COLOR", "always");
    }
    let (status, tally) = run_counting(&mut process)
        .map_err(|error| Tally::one_failed(format!("cargo does not start: {error}")))?;
    judged(succeeded(status), tally)
}

fn process(command: &Command, workspace: &Workspace) -> Process {
    let mut process = cargo(&workspace.root.join(command.folder));
    process.args(&command.arguments).envs(command.variables.iter().copied()).stdin(Stdio::null());
    process
}

fn succeeded(status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

/// Whether a run of tests is good. A run that failed without a failed test, because it did not compile, counts as one.
fn judged(status: Result<(), String>, tally: Tally) -> Result<Tally, (Tally, String)> {
    match status {
        Ok(()) if tally.failed > 0 => Err((tally, "tests failed".to_owned())),
        Ok(()) if tally.passed == 0 => Err((Tally { failed: 1, ..tally }, "no test ran".to_owned())),
        Ok(()) => Ok(tally),
        Err(reason) => Err((Tally { failed: tally.failed.max(1), ..tally }, reason)),
    }
}

/// Runs a process whose output passes through us: everybody sees it, and we count.
fn run_counting(process: &mut Process) -> std::io::Result<(ExitStatus, Tally)> {
    let mut child = process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let tally = thread::scope(|scope| {
        let err = scope.spawn(|| err.map(|err| pass_on(err, stderr())).unwrap_or_default());
        let out = out.map(|out| pass_on(out, stdout())).unwrap_or_default();
        out.plus(err.join().unwrap_or_default())
    });
    Ok((child.wait()?, tally))
}

/// Copies lines until the end and counts what they report. A reader that went away does not stop the tests.
fn pass_on(from: impl Read, mut to: impl Write) -> Tally {
    let mut from = BufReader::new(from);
    let mut tally = Tally::default();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let _ = to.write_all(&line).and_then(|()| to.flush());
        tally = tally.plus(Tally::of_line(&String::from_utf8_lossy(&line)));
        line.clear();
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"running 2 tests\n\xFF\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\
        test result: ok. 1 passed; 0 failed; 4 ignored";

    #[test]
    fn everything_is_passed_on_and_counted() {
        let mut seen = Vec::new();
        let tally = pass_on(LINES, &mut seen);
        assert_eq!(seen, LINES);
        assert_eq!(tally, Tally { passed: 3, failed: 0, skipped: 4 });
    }

    #[test]
    fn a_run_without_tests_fails() {
        let ignored = Tally { skipped: 7, ..Tally::default() };
        let (tally, reason) = judged(Ok(()), ignored).expect_err("nothing was tested");
        assert_eq!(tally, Tally { passed: 0, failed: 1, skipped: 7 });
        assert_eq!(reason, "no test ran");
    }

    #[test]
    fn what_does_not_compile_counts_as_a_failure() {
        let (tally, _) = judged(Err("exit code 101".to_owned()), Tally::default()).expect_err("it failed");
        assert_eq!(tally.failed, 1);
    }

    #[test]
    fn failed_tests_are_counted_once() {
        let both = Tally { passed: 5, failed: 2, skipped: 0 };
        assert_eq!(judged(Err("exit code 100".to_owned()), both), Err((both, "exit code 100".to_owned())));
        assert!(judged(Ok(()), both).is_err(), "whatever the exit code says");
        assert!(judged(Ok(()), Tally::ONE_PASSED).is_ok());
    }

    #[test]
    fn a_real_process_is_counted() {
        let workspace = Workspace::load().expect("the tests run inside of it");
        let mut process = process(&Command::cargo("--version"), &workspace);
        let (status, tally) = run_counting(&mut process).expect("cargo runs us");
        assert!(status.success());
        assert_eq!(tally, Tally::default());
    }
}
