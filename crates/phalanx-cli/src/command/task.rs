//! The commands about tasks.

mod describe;
mod explain;
pub(crate) mod finding;
mod list;
#[cfg(feature = "process")]
mod logs;
pub(crate) mod name;
#[cfg(feature = "process")]
mod program;
#[cfg(feature = "process")]
mod run;
pub(crate) mod tell;

use clap::{Args, Subcommand};

use crate::exit::Failure;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tasks of a cluster
    Ls(list::List),
    /// Show everything that is known of a task
    Describe(describe::Describe),
    /// Let a task stop, and end it when its time is over
    Stop(tell::Stop),
    /// End a task now
    Kill(tell::Kill),
    /// Run a program at a worker, as a task
    #[cfg(feature = "process")]
    Run(Box<run::Run>),
    /// Show what a program has written
    #[cfg(feature = "process")]
    Logs(logs::Logs),
    /// Send a signal to a program
    #[cfg(feature = "process")]
    Signal(program::Signal),
    /// Write to the standard input of a program
    #[cfg(feature = "process")]
    Write(program::Write),
    /// Say where a task would run, and why not elsewhere
    Explain(Box<explain::Explain>),
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Ls(list) => list.run().await,
            Command::Describe(describe) => describe.run().await,
            Command::Stop(stop) => stop.run().await,
            Command::Kill(kill) => kill.run().await,
            #[cfg(feature = "process")]
            Command::Signal(signal) => signal.run().await,
            #[cfg(feature = "process")]
            Command::Write(write) => write.run().await,
            #[cfg(feature = "process")]
            Command::Run(run) => run.run().await,
            #[cfg(feature = "process")]
            Command::Logs(logs) => logs.run().await,
            Command::Explain(explain) => explain.run().await,
        }
    }
}
