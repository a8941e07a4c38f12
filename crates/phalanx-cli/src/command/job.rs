//! The commands about jobs: tasks that the cluster keeps at the number that was asked for.

mod apply;
mod change;
#[cfg(feature = "docker")]
mod container;
mod describe;
mod form;
mod list;
#[cfg(feature = "process")]
mod process;
mod read;
mod section;
mod waiting;

use clap::{Args, Subcommand};

pub(super) use section::Section;

use crate::exit::Failure;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a job of a file, or change the one of its name to what the file says
    Apply(apply::Apply),
    /// List the jobs of a cluster
    Ls(list::List),
    /// Show everything that is known of a job: its instances, where they run, and how they have ended
    Describe(describe::Describe),
    /// Change how many tasks a job has
    Scale(change::Scale),
    /// Stop the tasks of a job, and keep the job
    Stop(change::Stop),
    /// Start the tasks of a job that was stopped
    Start(change::Start),
    /// Stop the tasks of a job, and forget it
    Rm(change::Remove),
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Apply(apply) => apply.run().await,
            Command::Ls(list) => list.run().await,
            Command::Describe(describe) => describe.run().await,
            Command::Scale(scale) => scale.run().await,
            Command::Stop(stop) => stop.run().await,
            Command::Start(start) => start.run().await,
            Command::Rm(remove) => remove.run().await,
        }
    }
}
