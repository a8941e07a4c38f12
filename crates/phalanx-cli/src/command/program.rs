//! Programs of other machines, as this program's own: what they are asked to do, and how they end.

mod feeding;
mod limits;

use std::time::Duration;

use clap::Args;
use phalanx::{CallError, TaskId, WorkerHandle};
use phalanx_drivers::process::{Exit as ProgramExit, LogState, ProcessError, Program, Run, follow, run};
use tokio::time::{sleep, timeout};

pub(crate) use feeding::{feed, write};

use super::remote::{Interruptible, PAGE_WAIT, START_PAUSE, Writer, end_with, reader, variable};
use crate::exit::Failure;
use limits::LimitArguments;

/// How long the end of a task is waited for whose program has gone without a word.
const LAST_WORD: Duration = Duration::from_secs(5);

/// What a program is given, but for its own name and arguments
#[derive(Debug, Args)]
pub(crate) struct Surroundings {
    /// A variable of its environment, which is empty otherwise. May be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Where it works: an absolute path below a root of the worker's configuration, whose first one it is otherwise
    #[arg(long, value_name = "PATH")]
    dir: Option<String>,
    #[command(flatten)]
    limits: LimitArguments,
}

impl Surroundings {
    /// The run of a program: its name, and then its arguments. Its output stays in its log.
    pub(crate) fn run(self, command: Vec<String>) -> Run {
        let mut words = command.into_iter();
        let mut run = Run::new(words.next().unwrap_or_default()).arguments(words).without_output_events();
        run.environment.extend(self.env);
        run.folder = self.dir;
        run.limits(self.limits.limits())
    }
}

/// Starts a program, and waits until it runs or the worker has said why not.
pub(crate) async fn begin(worker: &WorkerHandle, what: Run) -> Result<Program, Failure> {
    let program = run(worker, what).await?;
    let reader = reader(worker);
    let started = async {
        loop {
            match follow(&reader, program.task().id(), 0, Duration::ZERO).await {
                // Its folder is made when all that the policy has to say is said.
                Err(CallError::Failed(ProcessError::NoSuchLog)) => sleep(START_PAUSE).await,
                page => return page.map(drop),
            }
        }
    };
    tokio::select! {
        biased;
        end = program.finished() => { end?; }
        started = started => started?,
    }
    Ok(program)
}

/// How far a log was read.
pub(crate) enum Reached {
    /// The program has ended so.
    Ended(ProgramExit),
    /// The program still runs.
    Goes,
    /// What wrote the log has gone without a word.
    Lost,
}

/// Writes a log from an offset on: what there is, and where that is wanted, what will be.
pub(crate) async fn pump(
    worker: &WorkerHandle,
    task: &TaskId,
    mut from: u64,
    goes_on: bool,
    writer: &mut Writer,
) -> Result<Reached, Failure> {
    let reader = reader(worker);
    let wait = if goes_on { PAGE_WAIT } else { Duration::ZERO };
    loop {
        let page = follow(&reader, task, from, wait).await?;
        writer.output(page.gap, &page.chunks)?;
        let is_empty = page.next == from;
        from = page.next;
        match page.state {
            LogState::Ended(exit) => return Ok(Reached::Ended(exit)),
            LogState::Lost => return Ok(Reached::Lost),
            LogState::GoesOn if is_empty && !goes_on => return Ok(Reached::Goes),
            LogState::GoesOn => {}
        }
    }
}

/// Writes what a program says until it has ended, and says how it did.
pub(crate) async fn attend(
    worker: &WorkerHandle,
    program: &Program,
    writer: &mut Writer,
) -> Result<ProgramExit, Failure> {
    match pump(worker, program.task().id(), 0, true, writer).await? {
        Reached::Ended(exit) => Ok(exit),
        Reached::Goes | Reached::Lost => match timeout(LAST_WORD, program.finished()).await {
            Ok(finished) => Ok(finished?.exit),
            Err(_) => Err(Failure::failed("the program is gone, and the worker does not say how it ended")),
        },
    }
}

impl Interruptible for Program {
    async fn interrupt(&self, signal: i32) -> bool {
        self.signal(signal).await.is_ok()
    }

    async fn end(&self) -> bool {
        self.stop(Duration::ZERO).await.is_ok()
    }
}

/// The exit code of this program for that of another one: a signal is 128 and its number, as shells have it.
fn code(exit: ProgramExit) -> u8 {
    let number = match exit {
        ProgramExit::Code(code) => code & 0xff,
        ProgramExit::Signal(signal) => 128 + (signal & 0x7f),
    };
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// Says to programs how the other one has ended.
pub(crate) fn tell_end(writer: &mut Writer, exit: ProgramExit) -> Result<(), Failure> {
    match exit {
        ProgramExit::Code(code) => writer.end(Some(code.into()), None),
        ProgramExit::Signal(signal) => writer.end(None, Some(signal)),
    }
}

/// Ends this program as the other one has ended.
pub(crate) fn end_like(exit: ProgramExit) -> Result<(), Failure> {
    end_with(code(exit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_shells() {
        let codes = [(0, 0), (7, 7), (255, 255), (256, 0)];
        assert!(codes.iter().all(|(exit, expected)| code(ProgramExit::Code(*exit)) == *expected));
        assert_eq!((code(ProgramExit::Signal(15)), code(ProgramExit::Signal(9))), (143, 137));
        assert!(end_like(ProgramExit::Code(0)).is_ok());
        assert_eq!(end_like(ProgramExit::Signal(2)).unwrap_err().to_string(), "");
    }
}
