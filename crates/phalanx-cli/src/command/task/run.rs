//! The command that runs a program as a task.

use clap::Args;
use phalanx::NodeId;
use phalanx_placement::Class;

use phalanx::JobClass;
use phalanx_drivers::process::Process;
use serde_json::json;

use super::super::choosing::{Choosing, Workers};
use super::super::program::{Surroundings, attend, begin, end_like, tell_end};
use super::super::remote::Writer;
use super::name::shown;
use crate::exit::Failure;
use crate::output::{Format, FormatArguments, print};
use crate::target::Target;

#[derive(Debug, Args)]
#[command(
    after_help = "Prints the name of the task. With --follow, prints what the program says instead, and ends as it does.
Examples: phalanx task run camera-7 -- rsync -a in/ out/
          phalanx task run --where 'gpu && zone=a' --memory 2GiB -- train --epochs 9"
)]
pub(crate) struct Run {
    /// The worker; or say by --where what it must be
    #[arg(required_unless_present = "selector", conflicts_with = "selector")]
    node: Option<NodeId>,
    /// The program as the worker's configuration allows it, and its arguments; no shell expands them
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    command: Vec<String>,
    /// Print what the program says until it ends, and end as it does
    #[arg(short, long)]
    follow: bool,
    /// Leave its standard input open for `phalanx task write`
    #[arg(long)]
    stdin: bool,
    /// Let it go on when the worker's process ends, and its task in the worker's next start; the worker's configuration has to
    /// allow it
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    surroundings: Surroundings,
    #[command(flatten)]
    choosing: Choosing,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Run {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (mut client, calls) = self.target.both().await?;
        let node = match self.node {
            Some(node) => node,
            None => {
                let class = Class { name: Process::NAME.to_owned(), version: Process::VERSION };
                let requirements = self.choosing.requirements(Some(class));
                Workers::new(client.nodes().await?).best(&requirements, &self.choosing.preferences()?)?
            }
        };
        let worker = calls.worker(&node);
        let mut what = self.surroundings.run(self.command);
        what.stdin_open = self.stdin;
        what = if self.keep { what.keep() } else { what };
        let program = begin(&worker, what).await?;
        let name = shown(&node, program.task().id());
        match (self.format.output, self.follow) {
            (Format::Json, _) => print(&format!("{}\n", json!({"task": name, "node": node.as_str()})))?,
            (Format::Table, false) => print(&format!("{name}\n"))?,
            (Format::Table, true) => eprintln!("phalanx: {name}"),
        }
        if !self.follow {
            return Ok(());
        }
        let mut writer = Writer::new(self.format.output);
        let exit = attend(&worker, &program, &mut writer).await?;
        tell_end(&mut writer, exit)?;
        end_like(exit)
    }
}
