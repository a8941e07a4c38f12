//! The command that runs a program elsewhere as if it ran here.

use std::convert::Infallible;

use clap::Args;
use phalanx::{NodeId, WorkerHandle};
use phalanx_drivers::process::{Exit as ProgramExit, Program};

use super::program::{Surroundings, attend, begin, end_like, feed, tell_end};
use super::remote::{Interrupts, Writer, ended_by_user, of_this_program, pass_on};
use super::task::name::shown;
use super::terminal::Terminal;
use crate::exit::Failure;
use crate::output::FormatArguments;
use crate::target::Target;

#[derive(Debug, Args)]
#[command(
    after_help = "The exit code is that of the program; 128 and the number of the signal that ended it; 255 when it could not be \
started or the link to it was lost. Ctrl-C goes to the program, a second one ends it; with -t every key goes to it.
Examples: tar c photos | phalanx exec camera-7 -- tar xf -
          phalanx exec -t camera-7 -- sh"
)]
pub(crate) struct Arguments {
    /// The worker
    node: NodeId,
    /// The program as the worker's configuration allows it, and its arguments; no shell expands them
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    command: Vec<String>,
    /// Give the program an empty standard input
    #[arg(short = 'n', long)]
    no_stdin: bool,
    /// Give the program a terminal like this one: for shells, and for what draws on a screen
    #[arg(short, long, conflicts_with = "no_stdin")]
    terminal: bool,
    #[command(flatten)]
    surroundings: Surroundings,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        end_like(self.execute().await.map_err(of_this_program)?)
    }

    async fn execute(self) -> Result<ProgramExit, Failure> {
        let mut interrupts = Interrupts::listen()?;
        let worker = self.target.calls().await?.worker(&self.node);
        let mut what = self.surroundings.run(self.command);
        what.stdin_open = !self.no_stdin;
        let mut terminal = if self.terminal { Some(Terminal::take(self.format.output)?) } else { None };
        if let Some(terminal) = &terminal {
            what = terminal.give(what)?;
        }
        let program = tokio::select! {
            biased;
            _ = interrupts.next() => return Err(ended_by_user("it may have been started")),
            program = begin(&worker, what) => program?,
        };
        let mut writer = Writer::new(self.format.output);
        let until_end = until_end(&worker, &program, !self.no_stdin, &mut writer, &mut interrupts);
        let exit = tokio::select! {
            biased;
            exit = until_end => exit?,
            never = follow_size(terminal.as_mut(), &program) => match never {},
        };
        tell_end(&mut writer, exit)?;
        Ok(exit)
    }
}

/// Gives the program's terminal the size of this one, whenever that changes.
async fn follow_size(terminal: Option<&mut Terminal>, program: &Program) -> Infallible {
    let Some(terminal) = terminal else { return std::future::pending().await };
    loop {
        let size = terminal.resized().await;
        // A size that does not arrive is put right by the next one.
        if let Err(error) = program.resize(size.rows, size.columns).await {
            tracing::debug!(%error, "the program's terminal keeps its size");
        }
    }
}

/// Passes everything on, both ways, until the program has ended.
async fn until_end(
    worker: &WorkerHandle,
    program: &Program,
    has_stdin: bool,
    writer: &mut Writer,
    interrupts: &mut Interrupts,
) -> Result<ProgramExit, Failure> {
    let name = shown(worker.id(), program.task().id());
    let input = async {
        if has_stdin && let Err(error) = feed(program, true).await {
            tracing::debug!(%error, "the program gets no more input");
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        exit = attend(worker, program, writer) => exit.map_err(|failure| {
            Failure::failed(format!("{failure}; the program may still run: see `phalanx task describe {name}`"))
        }),
        failure = pass_on(program, interrupts) => Err(failure),
        never = input => never,
    }
}
