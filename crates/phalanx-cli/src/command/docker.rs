//! The commands about containers: running them at workers, what they write and use, and their images.

mod attend;
mod image;
mod list;
mod logs;
mod run;
mod stats;
mod tell;
mod words;

use clap::{Args, Subcommand};

pub(crate) use words::{MountWord, PortWord, PullWord};

use super::task::tell::Stop;
use crate::exit::Failure;

#[derive(Debug, Args)]
#[command(
    after_help = "The worker's configuration has to name the images: drivers.docker.images = [\"busybox\"].
Example: phalanx docker pull camera-7 busybox && phalanx docker run camera-7 busybox -- uname -a"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a container at a worker: its output here, its exit code too
    Run(Box<run::Run>),
    /// List the containers of workers
    Ps(list::List),
    /// Show what a container has written
    Logs(logs::Logs),
    /// Let a container stop, and end it when its time is over
    Stop(Stop),
    /// Run a command in a container that runs
    Exec(tell::Exec),
    /// Show what containers use
    Stats(stats::Stats),
    /// Remove a container that belongs to no task
    Rm(tell::Remove),
    /// List the images of a worker that its configuration allows
    Images(image::Images),
    /// Let a worker pull an image from its registry
    Pull(image::Pull),
    /// Send a worker images, as `docker save` writes them
    Load(image::Load),
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Run(run) => run.run().await,
            Command::Ps(list) => list.run().await,
            Command::Logs(logs) => logs.run().await,
            Command::Stop(stop) => stop.run().await,
            Command::Exec(exec) => exec.run().await,
            Command::Stats(stats) => stats.run().await,
            Command::Rm(remove) => remove.run().await,
            Command::Images(images) => images.run().await,
            Command::Pull(pull) => pull.run().await,
            Command::Load(load) => load.run().await,
        }
    }
}
