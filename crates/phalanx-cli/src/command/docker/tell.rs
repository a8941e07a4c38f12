//! The commands that do something to a container: run a command in it, or remove one that was left.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use phalanx::{CallOptions, NodeId};
use phalanx_drivers::docker::{Container, Docker, Exec as What, ExecOutput, orphans, remove};
use serde_json::{Value, json};

use super::super::remote::{end_with, of_this_program, variable};
use super::super::task::finding::find;
use super::super::task::name::TaskName;
use super::attend::code;
use crate::exit::{Exit, Failure};
use crate::output::{Format, FormatArguments, json as forms, print_json};
use crate::target::Target;

#[derive(Debug, Args)]
#[command(
    after_help = "The worker's configuration has to allow it: drivers.docker.exec = true. What the command says comes when it has ended, up to \
512KiB of it. The exit code is that of the command; 255 when it could not be run, or has not ended in time: then it goes on.
Example: phalanx docker exec camera-7/control-1@18c2a#7 -- df -h"
)]
pub(super) struct Exec {
    /// The container's task: its name, the beginning of it, or the number behind its #
    task: TaskName,
    /// The command and its arguments; no shell expands them
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// A variable beside those of the container. May be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Where it works, in the container
    #[arg(long, value_name = "PATH")]
    dir: Option<String>,
    /// As whom: a name of the image or a number, and a group behind a colon
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// How long its end is waited for
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    timeout: humantime::Duration,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Exec {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let format = self.format.output;
        let output = self.execute().await.map_err(of_this_program)?;
        match format {
            Format::Json => print_json(&form(&output))?,
            Format::Table => {
                std::io::stdout().lock().write_all(&output.stdout)?;
                std::io::stderr().lock().write_all(&output.stderr)?;
            }
        }
        if output.is_cut {
            eprintln!("phalanx: it has written more than comes here");
        }
        end_with(code(output.exit_code))
    }

    async fn execute(self) -> Result<ExecOutput, Failure> {
        let (mut client, calls) = self.target.both().await?;
        let (node, task) = find(&mut client, &calls, &self.task).await?;
        let options = CallOptions { deadline: Duration::from(self.timeout), ..CallOptions::default() };
        let worker = calls.worker(&node).with(options);
        let container = Container::of(&worker, worker.task::<Docker>(&task).await?);
        let environment = self.env.into_iter().collect();
        let what = What { command: self.command, environment, folder: self.dir, user: self.user };
        Ok(container.exec(what).await?)
    }
}

fn form(output: &ExecOutput) -> Value {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    json!({
        "exit_code": output.exit_code,
        "stdout": text(&output.stdout),
        "stdout_hex": forms::hex(&output.stdout),
        "stderr": text(&output.stderr),
        "stderr_hex": forms::hex(&output.stderr),
        "is_cut": output.is_cut,
    })
}

#[derive(Debug, Args)]
#[command(
    after_help = "Containers without a task are those that were to be kept, and those of an earlier start of the worker; `phalanx docker ps` shows \
them. Those that have a task are stopped with it.
Example: phalanx docker rm camera-7 3f2a9c"
)]
pub(super) struct Remove {
    /// The worker
    node: NodeId,
    /// The daemon's id of the container, or the beginning of it
    container: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Remove {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let worker = self.target.calls().await?.worker(&self.node);
        let known = orphans(&worker).await?.into_iter().map(|orphan| orphan.container);
        let known: Vec<String> = known.filter(|known| known.starts_with(&self.container)).collect();
        let container = match &known[..] {
            [only] => only.clone(),
            [] => {
                let words = format!("{} has no container {} without a task", self.node, self.container);
                return Err(Failure::new(Exit::NotFound, words));
            }
            _ => {
                return Err(Failure::usage(format!(
                    "{} begins several ids: write more of it",
                    self.container
                )));
            }
        };
        remove(&worker, &container).await?;
        forms::done(
            self.format.output,
            &json!({"node": self.node.as_str(), "container": container, "removed": true}),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_form_is_stable() {
        let output = ExecOutput {
            exit_code: 3,
            stdout: "a line\n".into(),
            stderr: (&b"\xff\x00"[..]).into(),
            is_cut: true,
        };
        insta::assert_snapshot!(format!("{:#}", form(&output)));
    }
}
