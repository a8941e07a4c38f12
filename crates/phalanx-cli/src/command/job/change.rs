//! The commands that change one thing of a job, and the one that removes it.

use std::time::Duration;

use clap::Args;
use phalanx::{Count, JobName, JobSpec};
use serde_json::json;

use super::apply::{Wait, apply};
use super::waiting::until_gone;
use crate::exit::Failure;
use crate::output::{Format, FormatArguments, print};
use crate::target::Target;

#[derive(Debug, Args)]
#[command(after_help = "The tasks that run go on. Example: phalanx job scale shop/web 5 --wait")]
pub(crate) struct Scale {
    /// The job
    job: JobName,
    /// How many tasks it is to have
    count: u32,
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// The job
    job: JobName,
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The job
    job: JobName,
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The job
    job: JobName,
    /// Wait until its tasks have ended, and give up after this time
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "5m", require_equals = true)]
    wait: Option<humantime::Duration>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

/// A change of a job, where it is asked for.
#[derive(Debug, Args)]
struct Change {
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Change {
    /// Changes what is there. Somebody else who does so at the same moment may be overwritten.
    async fn make(
        self,
        job: JobName,
        change: impl FnOnce(&mut JobSpec) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut client = self.target.connect().await?;
        let mut spec = client.job(job).await?.spec;
        change(&mut spec)?;
        apply(&mut client, spec, &self.wait, self.format.output).await
    }
}

impl Scale {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { job, count, change } = self;
        let scale = |spec: &mut JobSpec| {
            if spec.count == Count::PerNode {
                return Err(Failure::failed(format!(
                    "{} has one task on each node that matches: apply it with a count to scale it",
                    spec.name
                )));
            }
            spec.count = Count::Exactly(count);
            Ok(())
        };
        change.make(job, scale).await
    }
}

impl Stop {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let stop = |spec: &mut JobSpec| {
            spec.stopped = true;
            Ok(())
        };
        self.change.make(self.job, stop).await
    }
}

impl Start {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let start = |spec: &mut JobSpec| {
            spec.stopped = false;
            Ok(())
        };
        self.change.make(self.job, start).await
    }
}

impl Remove {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut client = self.target.connect().await?;
        client.remove_job(self.job.clone()).await?;
        if let Some(patience) = self.wait {
            until_gone(&mut client, &self.job, Duration::from(patience)).await?;
        }
        match self.format.output {
            Format::Json => {
                print(&format!("{}\n", json!({"name": self.job.as_str(), "gone": self.wait.is_some()})))
            }
            Format::Table if self.wait.is_some() => {
                eprintln!("{} is gone", self.job);
                Ok(())
            }
            Format::Table => {
                eprintln!("{}: its tasks are told to stop", self.job);
                Ok(())
            }
        }
    }
}
