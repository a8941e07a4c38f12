//! The command that makes a job, or changes it, by what a file says.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use phalanx::JobSpec;
use phalanx_operator::Client;
use serde_json::json;

use super::read::read;
use super::waiting::until_settled;
use crate::exit::Failure;
use crate::output::{Format, FormatArguments, print};
use crate::target::Target;

/// What is waited for, and how long
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Wait until each task runs, say meanwhile what they wait for, and give up after this time
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "5m", require_equals = true)]
    pub(super) wait: Option<humantime::Duration>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The file is TOML: name, count = 3 or \"per-node\", where, prefer, spread, rank, by, tasks-max, used-max, stop-grace, stopped; the tables
[restart] when, pause-initial, pause-max, restarts-max, window; [on-lost] stop-after or replace-after; [update] max-parallel,
healthy-after, progress-deadline; and either [process] program, arguments, environment, folder, keep, memory, processes,
cpu-percent, cpu-seconds, open-files; or [docker] image, pull, entrypoint, command, environment, folder, user, network, ports, mounts,
read-only, init, privileged, memory, processes, cpu-percent.
Example: phalanx job apply web.toml --wait=2m")]
pub(crate) struct Apply {
    /// The file that says what the job is; - for the standard input
    file: PathBuf,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Apply {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let spec = read(&self.file)?;
        let mut client = self.target.connect().await?;
        apply(&mut client, spec, &self.wait, self.format.output).await
    }
}

/// Hands a job over, and waits for it where that is wanted.
pub(super) async fn apply(
    client: &mut Client,
    spec: JobSpec,
    wait: &Wait,
    format: Format,
) -> Result<(), Failure> {
    let spec = client.apply_job(spec).await?;
    match format {
        Format::Json => {
            let form = json!({"name": spec.name.as_str(), "version": spec.version, "task_version": spec.task_version});
            print(&format!("{form}\n"))?;
        }
        Format::Table => eprintln!("{} is at version {}", spec.name, spec.version),
    }
    if let Some(patience) = wait.wait {
        until_settled(client, &spec.name, Duration::from(patience), format).await?;
    }
    Ok(())
}
