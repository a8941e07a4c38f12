//! The command that runs a container, attached or as a task of its own.

use clap::Args;
use phalanx::{NodeId, WorkerHandle};
use phalanx_drivers::docker::{Container, Finished, Limits, Run as What};
use serde_json::json;

use super::super::remote::{Interrupts, Writer, end_with, ended_by_user, of_this_program, pass_on, variable};
use super::super::task::name::shown;
use super::attend::{attend, begin, code};
use super::words::{MountWord, PortWord, PullWord};
use crate::exit::Failure;
use crate::output::{Format, FormatArguments, print};
use crate::size::Size;
use crate::target::Target;

#[derive(Debug, Args)]
#[command(
    after_help = "The exit code is that of the container; 255 when it could not be started or the link to it was lost. Ctrl-C goes to its first \
process, which must handle it or have --init; a second one ends the container. It has no input.
Examples: phalanx docker run camera-7 busybox -- uname -a
          phalanx docker run camera-7 registry.example/team/app:3 --detach --port 8080:80 --memory 512MiB"
)]
pub(super) struct Run {
    /// The worker
    node: NodeId,
    /// The image, by its reference
    image: String,
    /// The arguments, or with an image without an entry point the program too; what the image says, unless given
    #[arg(last = true, value_name = "WORD")]
    command: Vec<String>,
    /// Print the name of its task, once it runs, and leave it there
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    surroundings: Surroundings,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

/// What a container is given, as far as the worker's configuration allows it
#[derive(Debug, Args)]
struct Surroundings {
    /// When the image is pulled: never, missing or always
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pull: PullWord,
    /// The program, whatever the image says; its first arguments by giving this again
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// A variable beside those of the image. May be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Where it works, in the container
    #[arg(long, value_name = "PATH")]
    dir: Option<String>,
    /// As whom: a name of the image or a number, and a group behind a colon
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Its network: none, or one that the worker allows
    #[arg(long, value_name = "NAME", default_value = "none")]
    network: String,
    /// Publish a port of it: HOST:CONTAINER, and /udp behind it. May be given several times
    #[arg(long, value_name = "PORT")]
    port: Vec<PortWord>,
    /// Mount something: SOURCE:TARGET, and :ro behind it; the source is a path of the worker, a volume, or memory=SIZE. May be
    /// given several times
    #[arg(long, value_name = "MOUNT")]
    mount: Vec<MountWord>,
    /// Its own file system cannot be written
    #[arg(long)]
    read_only: bool,
    /// A small init is its first process, which passes signals on
    #[arg(long)]
    init: bool,
    /// It has all rights over the worker's machine
    #[arg(long)]
    privileged: bool,
    /// Keep the container when it has ended
    #[arg(long)]
    keep: bool,
    /// The memory that it may use, such as 512MiB
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    memory: Option<Size>,
    /// How many processes it may have
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    processes: Option<u32>,
    /// The processor that it may use; 100 is one core
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    cpu_percent: Option<u32>,
}

impl Surroundings {
    /// The run of an image. Nobody hears its output as events.
    fn run(self, image: String, command: Vec<String>) -> What {
        What {
            pull: self.pull.0,
            entrypoint: (!self.entrypoint.is_empty()).then_some(self.entrypoint),
            command: (!command.is_empty()).then_some(command),
            environment: self.env.into_iter().collect(),
            folder: self.dir,
            user: self.user,
            limits: Limits {
                memory_bytes: self.memory.map(|size| size.0),
                cpu_percent: self.cpu_percent,
                processes: self.processes,
            },
            network: self.network,
            ports: self.port.into_iter().map(|word| word.0).collect(),
            mounts: self.mount.into_iter().map(|word| word.0).collect(),
            read_only: self.read_only,
            init: self.init,
            privileged: self.privileged,
            keep: self.keep,
            output_events: false,
            ..What::new(image)
        }
    }
}

impl Run {
    pub(super) async fn run(self) -> Result<(), Failure> {
        if self.detach {
            return self.leave().await;
        }
        let finished = self.execute().await.map_err(of_this_program)?;
        if let Some(container) = &finished.kept {
            eprintln!("phalanx: the container {container} is kept");
        }
        if finished.oom_killed {
            eprintln!("phalanx: something in it was killed for lack of memory");
        }
        end_with(code(finished.exit_code))
    }

    /// Starts it, and says how it is called.
    async fn leave(self) -> Result<(), Failure> {
        let worker = self.target.calls().await?.worker(&self.node);
        let container = begin(&worker, self.surroundings.run(self.image, self.command)).await?;
        let name = shown(&self.node, container.task().id());
        match self.format.output {
            Format::Json => print(&format!("{}\n", json!({"task": name, "node": self.node.as_str()}))),
            Format::Table => print(&format!("{name}\n")),
        }
    }

    async fn execute(self) -> Result<Finished, Failure> {
        let mut interrupts = Interrupts::listen()?;
        let worker = self.target.calls().await?.worker(&self.node);
        let what = self.surroundings.run(self.image, self.command).attached();
        let container = tokio::select! {
            biased;
            _ = interrupts.next() => return Err(ended_by_user("it may have been started: see `phalanx docker ps`")),
            container = begin(&worker, what) => container?,
        };
        let mut writer = Writer::new(self.format.output);
        let finished = until_end(&worker, &container, &mut writer, &mut interrupts).await?;
        writer.end(Some(finished.exit_code), None)?;
        Ok(finished)
    }
}

/// Writes what it says and passes signals on, until it has ended.
async fn until_end(
    worker: &WorkerHandle,
    container: &Container,
    writer: &mut Writer,
    interrupts: &mut Interrupts,
) -> Result<Finished, Failure> {
    let name = shown(worker.id(), container.task().id());
    tokio::select! {
        biased;
        finished = attend(worker, container, writer) => finished.map_err(|failure| {
            Failure::failed(format!("{failure}; the container may still run: see `phalanx task describe {name}`"))
        }),
        failure = pass_on(container, interrupts) => Err(failure),
    }
}
