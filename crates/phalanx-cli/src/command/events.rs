//! The command that shows what happens.

use clap::Args;
use phalanx_operator::{Event, EventKind, TaskTold, Told};

use crate::exit::{Exit, Failure};
use crate::output::{Format, FormatArguments, json, print, printable};
use crate::target::Target;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only what happened after the event of this number, as far as the node remembers
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
    /// Go on with what happens, until interrupted; without --since, only that
    #[arg(short, long)]
    follow: bool,
    /// End after so many events
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let since = match (self.since, self.follow) {
            (None, true) => None,
            (since, _) => Some(since.unwrap_or(0)),
        };
        let mut events = self.target.connect().await?.events(since).await?;
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0 {
            match events.next().await? {
                Some(Told::Event(event)) => {
                    left -= 1;
                    match self.format.output {
                        Format::Json => print(&format!("{}\n", json::event(&event)))?,
                        Format::Table => print(&(line(&event) + "\n"))?,
                    }
                }
                Some(Told::CaughtUp) if !self.follow => return Ok(()),
                Some(Told::CaughtUp) => {}
                None => return Err(Failure::new(Exit::Unreachable, "the node has ended")),
            }
        }
        Ok(())
    }
}

fn line(event: &Event) -> String {
    let name = json::event_name(&event.kind);
    let line = format!("{}  {}  {name:<18}  {}", event.number, json::time(event.unix_ms), words(&event.kind));
    printable(line.trim_end())
}

fn words(kind: &EventKind) -> String {
    match kind {
        EventKind::Joined { node, address: Some(address) } => format!("{node} at {address}"),
        EventKind::Joined { node, address: None }
        | EventKind::Up(node)
        | EventKind::Suspect(node)
        | EventKind::Down(node)
        | EventKind::Left(node)
        | EventKind::Removed(node) => node.to_string(),
        EventKind::Expelled => "this node was removed from the cluster".to_owned(),
        EventKind::PartitionOccurred => "this node sees no majority of the control nodes".to_owned(),
        EventKind::PartitionHealed => "this node sees a majority again".to_owned(),
        EventKind::PartitionSuspected { away } => {
            let away: Vec<&str> = away.iter().map(|node| node.as_str()).collect();
            format!("{} went down together: rather the way to them is lost", away.join(", "))
        }
        EventKind::PartitionEnded => "all of them are back, or were removed".to_owned(),
        EventKind::RosterUpdated { version } => format!("version {version}"),
        EventKind::Worker { node, status, hosted: Some(fence) } => {
            format!("{node} is {status}, hosted here (fence {fence})")
        }
        EventKind::Worker { node, status, hosted: None } => format!("{node} is {status}"),
        EventKind::Labelled { node } => format!("{node} has new labels"),
        EventKind::Redelivered { count } => format!("{count} events of tasks came twice and were dropped"),
        EventKind::MassFailure { lost, known } => format!("{lost} of {known} workers were lost at once"),
        EventKind::MassFailureEnded => "most of the lost workers are back, or forgotten".to_owned(),
        EventKind::User { from, name, payload } => {
            let text = std::str::from_utf8(payload).map(str::to_owned);
            let text = text.unwrap_or_else(|_| format!("({} bytes)", payload.len()));
            format!("{from}: {name} {text}")
        }
        EventKind::Missed { count } => format!("{count} events are not remembered any more"),
        EventKind::Job { job, attempt, node, what, reason } => {
            let subject = attempt.as_ref().unwrap_or(job);
            let place = node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
            let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            format!("{subject}{place}: {what}{why}")
        }
        EventKind::TaskStarted(task) => format!("{} has {}", task.node, task_words(task)),
        EventKind::TaskStopped { task, state, reason } => {
            format!("{} had {}: {state}: {reason}", task.node, task_words(task))
        }
        EventKind::Gap { after } => format!("what came after {after} is not known here"),
    }
}

fn task_words(task: &TaskTold) -> String {
    let TaskTold { task, class, instance, .. } = task;
    match instance {
        Some(instance) => format!("{instance} ({class}, task {task})"),
        None => format!("task {task} ({class})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples;

    #[test]
    fn events_are_told_in_lines() {
        let lines: Vec<String> = samples::events().iter().map(line).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn the_json_forms_are_stable() {
        let lines: Vec<String> =
            samples::events().iter().map(|event| json::event(event).to_string()).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
