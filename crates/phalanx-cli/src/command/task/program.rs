//! The commands that tell a program something: a signal, or what it is to read.

use bytes::Bytes;
use clap::Args;
use phalanx::{NodeId, TaskId};
use phalanx_drivers::process::{Process, Program, WRITE_BYTES_MAX};
use phalanx_operator::Calls;

use super::super::program::{feed, write};
use super::super::remote::signal_number;
use super::tell::Told;
use crate::exit::Failure;

#[derive(Debug, Args)]
#[command(after_help = "Example: phalanx task signal camera-7/control-1@18c2a#7 HUP")]
pub(crate) struct Signal {
    #[command(flatten)]
    told: Told,
    /// The signal, by its name or number; the program's whole group gets it
    #[arg(value_parser = signal_number)]
    signal: i32,
}

#[derive(Debug, Args)]
#[command(after_help = "The program must have been started with an open input (task run --stdin).
Example: phalanx task write camera-7/control-1@18c2a#7 'reload'")]
pub(crate) struct Write {
    #[command(flatten)]
    told: Told,
    /// The text, to which the end of a line is added; - for all of the standard input, as it is
    text: Option<String>,
    /// End the program's input, after the text if there is any
    #[arg(long, required_unless_present = "text")]
    close: bool,
}

async fn program(calls: &Calls, node: &NodeId, task: &TaskId) -> Result<Program, Failure> {
    let worker = calls.worker(node);
    let handle = worker.task::<Process>(task).await?;
    Ok(Program::of(&worker, handle))
}

impl Signal {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (calls, node, task) = self.told.find().await?;
        program(&calls, &node, &task).await?.signal(self.signal).await?;
        self.told.done(&node, &task)
    }
}

impl Write {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (calls, node, task) = self.told.find().await?;
        let program = program(&calls, &node, &task).await?;
        match self.text.as_deref() {
            Some("-") => feed(&program, self.close).await?,
            Some(text) => {
                let line = Bytes::from(format!("{text}\n"));
                for start in (0..line.len()).step_by(WRITE_BYTES_MAX) {
                    let end = line.len().min(start + WRITE_BYTES_MAX);
                    write(&program, line.slice(start..end)).await?;
                }
                if self.close {
                    program.close_stdin().await?;
                }
            }
            None => program.close_stdin().await?,
        }
        self.told.done(&node, &task)
    }
}
