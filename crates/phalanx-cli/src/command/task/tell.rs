//! The commands that tell a task something: to end, and what its program is to read or to be signalled.

use std::time::Duration;

use clap::Args;
use phalanx::{NodeId, TaskId};
use phalanx_operator::Calls;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::finding::find;
use super::name::{TaskName, shown};
use crate::exit::Failure;
use crate::output::{Format, FormatArguments, print, print_json};
use crate::target::Target;

/// How often a task that is to end is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// How long it has beyond its grace.
const MARGIN: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(
    after_help = "Returns when the task has ended. Example: phalanx task stop camera-7/control-1@18c2a#7 --grace 1m"
)]
pub(crate) struct Stop {
    #[command(flatten)]
    told: Told,
    /// How long it has, before it is ended
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    grace: humantime::Duration,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Returns when the task has ended. Example: phalanx task kill camera-7/control-1@18c2a#7"
)]
pub(crate) struct Kill {
    #[command(flatten)]
    told: Told,
}

/// The task that is told something
#[derive(Debug, Args)]
pub(super) struct Told {
    /// The task: its name, the beginning of it, or the number behind its #
    task: TaskName,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Told {
    /// Finds the task.
    pub(super) async fn find(&self) -> Result<(Calls, NodeId, TaskId), Failure> {
        let (mut client, calls) = self.target.both().await?;
        let (node, task) = find(&mut client, &calls, &self.task).await?;
        Ok((calls, node, task))
    }

    /// Says in JSON which task it was; people know it.
    #[cfg(feature = "process")]
    pub(super) fn done(&self, node: &NodeId, task: &TaskId) -> Result<(), Failure> {
        match self.format.output {
            Format::Json => print_json(&json!({"task": shown(node, task)})),
            Format::Table => Ok(()),
        }
    }

    /// Waits until the task has ended, and says how.
    async fn ended(
        &self,
        calls: &Calls,
        node: &NodeId,
        task: &TaskId,
        grace: Duration,
    ) -> Result<(), Failure> {
        let until = Instant::now() + grace + MARGIN;
        let name = shown(node, task);
        loop {
            let details = calls.worker(node).task_details(task).await?;
            let end = match &details {
                Some(details) if !details.state.has_ended() => None,
                Some(details) => details.end.as_ref().map(ToString::to_string),
                None => Some("it has ended, and its worker does not remember how".to_owned()),
            };
            if let Some(end) = end {
                let state = details.map(|details| details.state.as_str());
                return match self.format.output {
                    Format::Json => print_json(&json!({"task": name, "state": state, "end": end})),
                    Format::Table => print(&format!("{name}: {end}\n")),
                };
            }
            if Instant::now() >= until {
                return Err(Failure::failed(format!(
                    "{name} has not ended: `phalanx task kill {name}` ends it"
                )));
            }
            sleep(PAUSE).await;
        }
    }
}

impl Stop {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (calls, node, task) = self.told.find().await?;
        calls.worker(&node).stop_task(&task, *self.grace).await?;
        self.told.ended(&calls, &node, &task, *self.grace).await
    }
}

impl Kill {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (calls, node, task) = self.told.find().await?;
        calls.worker(&node).kill_task(&task).await?;
        self.told.ended(&calls, &node, &task, Duration::ZERO).await
    }
}
