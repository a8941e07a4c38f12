//! How a task ends with the end of its program.

use phalanx_jobs::TaskContext;

use super::class::{Finished, Process, ProcessError};
use super::protocol::Ended;

/// Ends a task whose program has ended so. Of one that must succeed the end is in the task's own log: whoever supervises it
/// sees no more of it.
pub(super) async fn finish(
    cx: &TaskContext<Process>,
    ended: Ended,
    must_succeed: bool,
) -> Result<Finished, ProcessError> {
    let finished = finished(ended);
    let judged = judged(finished, must_succeed);
    if let Err(ProcessError::ExitedBadly(finished)) = &judged {
        for line in &finished.last_lines {
            cx.log(line).await;
        }
        cx.log(format!("the program has ended with {}", finished.exit)).await;
    }
    judged
}

/// The output of a task whose program has ended so.
fn finished(ended: Ended) -> Finished {
    let Ended { exit, stdout_bytes, stderr_bytes, last_lines, out_of_memory, .. } = ended;
    Finished { exit, last_lines, stdout_bytes, stderr_bytes, out_of_memory }
}

fn judged(finished: Finished, must_succeed: bool) -> Result<Finished, ProcessError> {
    match must_succeed && !finished.exit.is_success() {
        true => Err(ProcessError::ExitedBadly(Box::new(finished))),
        false => Ok(finished),
    }
}

#[cfg(test)]
mod tests {
    use super::super::class::Exit;
    use super::*;

    #[test]
    fn only_what_must_succeed_fails_by_its_exit() {
        let end = |exit| Finished {
            exit,
            last_lines: vec!["x".into()],
            stdout_bytes: 2,
            stderr_bytes: 0,
            out_of_memory: false,
        };
        for exit in [Exit::Code(0), Exit::Code(7), Exit::Signal(15)] {
            assert_eq!(judged(end(exit), false), Ok(end(exit)));
        }
        assert_eq!(judged(end(Exit::Code(0)), true), Ok(end(Exit::Code(0))));
        for exit in [Exit::Code(7), Exit::Signal(15)] {
            assert_eq!(judged(end(exit), true), Err(ProcessError::ExitedBadly(Box::new(end(exit)))));
        }
    }
}
