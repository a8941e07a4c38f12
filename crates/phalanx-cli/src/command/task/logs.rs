//! The command that shows what a program has written.

use clap::Args;

use super::super::program::{Reached, pump, tell_end};
use super::super::remote::Writer;
use super::finding::find;
use super::name::TaskName;
use crate::exit::Failure;
use crate::output::FormatArguments;
use crate::target::Target;

#[derive(Debug, Args)]
#[command(
    after_help = "The worker keeps so much of it as its configuration says; what has gone is told on the standard error.
Example: phalanx task logs -f worker-1/control-1@18c2a#7"
)]
pub(crate) struct Logs {
    /// The task: its name, the beginning of it, or the number behind its #
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
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (mut client, calls) = self.target.both().await?;
        let (node, task) = find(&mut client, &calls, &self.task).await?;
        let mut writer = Writer::new(self.format.output);
        match pump(&calls.worker(&node), &task, self.since, self.follow, &mut writer).await? {
            Reached::Ended(exit) => {
                tell_end(&mut writer, exit)?;
                eprintln!("phalanx: the program has ended with {exit}");
                Ok(())
            }
            Reached::Goes => Ok(()),
            Reached::Lost => Err(Failure::failed(
                "the program is gone without a word: its worker's machine has failed, or somebody has killed what held it",
            )),
        }
    }
}
