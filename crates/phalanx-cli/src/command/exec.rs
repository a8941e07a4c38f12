//! The command that runs a program elsewhere as if it ran here.

use std::time::Duration;

use clap::Args;
use phalanx::{NodeId, WorkerHandle};
use phalanx_drivers::process::{Exit as ProgramExit, Program};
use tokio::time::timeout;

use super::program::{Interrupts, Surroundings, Writer, attend, begin, end_like, feed};
use super::task::name::shown;
use crate::exit::{Exit, Failure};
use crate::output::FormatArguments;
use crate::target::Target;

/// Whatever goes wrong that is not the program's own doing: as `ssh` has it.
const FAILED: u8 = 255;

/// Ended by the user: 128 and the number of SIGINT, as shells have it.
const ENDED_BY_USER: u8 = 130;

/// How long a program is given to be ended with this one.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a forwarded signal may take.
const SIGNAL_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(
    after_help = "The exit code is that of the program; 128 and the number of the signal that ended it; 255 when it could not be \
started or the link to it was lost. Ctrl-C goes to the program, a second one ends it.
Example: tar c photos | phalanx exec camera-7 -- tar xf -"
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
    #[command(flatten)]
    surroundings: Surroundings,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let exit = self.execute().await.map_err(|failure| match failure.is_of_program() {
            true => failure,
            false => failure.with(Exit::Program(FAILED)),
        })?;
        end_like(exit)
    }

    async fn execute(self) -> Result<ProgramExit, Failure> {
        let mut interrupts = Interrupts::listen()?;
        let worker = self.target.calls().await?.worker(&self.node);
        let mut what = self.surroundings.run(self.command);
        what.stdin_open = !self.no_stdin;
        let program = tokio::select! {
            biased;
            _ = interrupts.next() => return Err(Failure::new(Exit::Program(ENDED_BY_USER), "it may have been started")),
            program = begin(&worker, what) => program?,
        };
        let mut writer = Writer::new(self.format.output);
        let exit = until_end(&worker, &program, !self.no_stdin, &mut writer, &mut interrupts).await?;
        writer.end(exit)?;
        Ok(exit)
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

/// Passes signals on. The second request to end it ends the program, and this one.
async fn pass_on(program: &Program, interrupts: &mut Interrupts) -> Failure {
    let mut was_asked = false;
    loop {
        let signal = interrupts.next().await;
        if std::mem::replace(&mut was_asked, true) {
            // Where even this does not arrive, the words say what may be.
            return match timeout(END_TIMEOUT, program.stop(Duration::ZERO)).await {
                Ok(Ok(())) => Failure::new(Exit::Program(ENDED_BY_USER), "the program was ended"),
                _ => Failure::new(
                    Exit::Program(ENDED_BY_USER),
                    "the worker does not answer: the program may still run",
                ),
            };
        }
        let sending = timeout(SIGNAL_TIMEOUT, program.signal(signal));
        tokio::select! {
            biased;
            sent = sending => match sent {
                Ok(Ok(())) => {}
                _ => eprintln!("phalanx: the signal did not arrive; once more ends the program"),
            },
            // The next one is not to wait for an answer that does not come.
            _ = interrupts.next() => {
                let _ = timeout(END_TIMEOUT, program.stop(Duration::ZERO)).await;
                return Failure::new(Exit::Program(ENDED_BY_USER), "the program was told to end");
            }
        }
    }
}
