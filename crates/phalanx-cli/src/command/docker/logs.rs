//! The command that shows what a container has written.

use clap::Args;
use phalanx_drivers::docker::OutputState;

use super::super::remote::Writer;
use super::super::task::finding::find;
use super::super::task::name::TaskName;
use super::attend::pump;
use crate::exit::Failure;
use crate::output::FormatArguments;
use crate::target::Target;

#[derive(Debug, Args)]
#[command(
    after_help = "The worker keeps the newest megabyte of each container in its memory, and for a while after its end; what has gone is told on \
the standard error.
Example: phalanx docker logs -f camera-7/control-1@18c2a#7"
)]
pub(super) struct Logs {
    /// The container's task: its name, the beginning of it, or the number behind its #
    task: TaskName,
    /// Go on with what it writes until it ends
    #[arg(short, long)]
    follow: bool,
    /// Begin at this offset, in bytes of both streams together
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    since: u64,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Logs {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (mut client, calls) = self.target.both().await?;
        let (node, task) = find(&mut client, &calls, &self.task).await?;
        let mut writer = Writer::new(self.format.output);
        match pump(&calls.worker(&node), &task, self.since, self.follow, &mut writer).await? {
            OutputState::Ended(exit_code) => {
                writer.end(Some(exit_code), None)?;
                eprintln!("phalanx: the container has ended with exit code {exit_code}");
            }
            OutputState::Over => {
                eprintln!("phalanx: its task has ended: `phalanx task describe` says how");
            }
            OutputState::GoesOn | OutputState::Begins => {}
        }
        Ok(())
    }
}
