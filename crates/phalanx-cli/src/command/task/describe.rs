//! The command that shows everything that is known of a task.

use std::time::Duration;

use clap::Args;
use phalanx::{NodeId, TaskDetails};
use serde_json::{Value, json};

use super::finding::find;
use super::name::{TaskName, shown};
use crate::exit::{Exit, Failure};
use crate::output::{Format, FormatArguments, json as forms, print, print_json, printable};
use crate::target::Target;

#[derive(Debug, Args)]
#[command(after_help = "Example: phalanx task describe camera-7/control-1@18c2a#7")]
pub(crate) struct Describe {
    /// The task: its name, the beginning of it, or the number behind its #
    task: TaskName,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Describe {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (mut client, calls) = self.target.both().await?;
        let (node, task) = find(&mut client, &calls, &self.task).await?;
        let details = calls.worker(&node).task_details(&task).await?;
        let details = details.ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("{node} has no task {} (any more)", self.task))
        })?;
        match self.format.output {
            Format::Json => print_json(&form(&node, &details)),
            Format::Table => print(&text(&node, &details)),
        }
    }
}

fn form(node: &NodeId, details: &TaskDetails) -> Value {
    json!({
        "task": shown(node, &details.task),
        "node": node.as_str(),
        "class": forms::class(&details.class),
        "state": details.state.as_str(),
        "instance": details.instance.as_ref().map(ToString::to_string),
        "running_ms": details.running_ms,
        "ended_ms_ago": details.ended_ms_ago,
        "end": details.end.as_ref().map(ToString::to_string),
        "log": details.log,
    })
}

fn text(node: &NodeId, details: &TaskDetails) -> String {
    let seconds = |ms: u64| humantime::format_duration(Duration::from_secs(ms / 1_000)).to_string();
    let mut lines = vec![
        format!("task      {}", shown(node, &details.task)),
        format!("class     {}", forms::class(&details.class)),
        format!("state     {}", details.state),
        format!("ran for   {}", seconds(details.running_ms)),
    ];
    if let Some(instance) = &details.instance {
        lines.push(format!("instance  {instance}"));
    }
    if let Some(end) = &details.end {
        lines.push(format!("end       {end}"));
    }
    if let Some(ago) = details.ended_ms_ago {
        lines.push(format!("ended     {} ago", seconds(ago)));
    }
    if !details.log.is_empty() {
        lines.push(String::new());
        lines.extend(details.log.iter().cloned());
    }
    lines.iter().map(|line| printable(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use phalanx::{ClassName, EndSummary, Reason};

    use super::*;
    use crate::output::samples::{id, task_id};

    #[test]
    fn a_task_is_described() {
        let end = EndSummary::Aborted(Reason::Panicked("no more frames".to_owned()));
        let details = TaskDetails {
            task: task_id(7),
            class: ClassName { name: "transcode".into(), version: 2 },
            instance: None,
            state: end.state(),
            running_ms: 3_600_000,
            ended_ms_ago: Some(5_999),
            end: Some(end),
            log: vec!["frame 1".to_owned(), "frame \u{1b}[2J".to_owned()],
        };
        let node = id("worker-1");
        insta::assert_snapshot!(format!("{}\n{:#}", text(&node, &details), form(&node, &details)));
    }
}
