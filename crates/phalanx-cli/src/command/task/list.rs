//! The command that lists tasks: those that run, and those that have ended and are still known.

use std::time::Duration;

use clap::Args;
use phalanx::{ClassName, EndedTask, NodeId, TaskId, TaskInfo};
use serde_json::{Value, json};

use super::finding::{Listed, Which, list};
use super::name::shown;
use crate::exit::Failure;
use crate::output::{Format, FormatArguments, Table, json as forms, print_json, print_table};
use crate::target::Target;

#[derive(Debug, Args)]
#[command(after_help = "Example: phalanx task ls --node camera-7 --all")]
pub(crate) struct List {
    /// Only those of this worker
    #[arg(long)]
    node: Option<NodeId>,
    /// Also those that have ended, as far as their workers remember them
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

/// A task as a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) task: TaskId,
    class: ClassName,
    state: &'static str,
    instance: Option<String>,
    /// How it has ended, and how long ago, in milliseconds.
    ended: Option<(String, u64)>,
}

impl From<TaskInfo> for Row {
    fn from(info: TaskInfo) -> Self {
        let instance = info.instance.map(|instance| instance.to_string());
        Self { task: info.task, class: info.class, state: info.state.as_str(), instance, ended: None }
    }
}

impl From<EndedTask> for Row {
    fn from(task: EndedTask) -> Self {
        Self {
            task: task.task,
            class: task.class,
            state: task.end.state().as_str(),
            instance: task.instance.map(|instance| instance.to_string()),
            ended: Some((task.end.to_string(), task.ended_ms_ago)),
        }
    }
}

impl List {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (mut client, calls) = self.target.both().await?;
        let which = if self.all { Which::All } else { Which::Running };
        let listed = list(&mut client, &calls, self.node.as_ref(), which).await?;
        match self.format.output {
            Format::Json => print_json(&form(&listed))?,
            Format::Table => print_table(&table(&listed, self.all))?,
        }
        let [(first, why), rest @ ..] = &listed.silent[..] else { return Ok(()) };
        Err(Failure::failed(format!(
            "{first} did not answer ({why}), nor did {} others: what they run is missing",
            rest.len()
        )))
    }
}

fn form(listed: &Listed) -> Value {
    let silent: Vec<&str> = listed.silent.iter().map(|(node, _)| node.as_str()).collect();
    json!({"tasks": listed.tasks.iter().map(task).collect::<Vec<_>>(), "silent": silent})
}

fn task((worker, row): &(NodeId, Row)) -> Value {
    json!({
        "task": shown(worker, &row.task),
        "node": worker.as_str(),
        "class": forms::class(&row.class),
        "state": row.state,
        "instance": row.instance,
        "end": row.ended.as_ref().map(|(end, _)| end),
        "ended_ms_ago": row.ended.as_ref().map(|(_, ago)| ago),
    })
}

fn table(listed: &Listed, all: bool) -> Table {
    let mut table = match all {
        true => Table::new(&["TASK", "CLASS", "STATE", "INSTANCE", "ENDED"]),
        false => Table::new(&["TASK", "CLASS", "STATE", "INSTANCE"]),
    };
    for (worker, row) in &listed.tasks {
        let [name, class] = [shown(worker, &row.task), forms::class(&row.class)];
        let [state, instance] = [row.state.to_owned(), row.instance.clone().unwrap_or_default()];
        match all {
            true => table.row([name, class, state, instance, ago(row)]),
            false => table.row([name, class, state, instance]),
        }
    }
    table
}

/// In whole seconds: nobody reads more of it.
fn ago(row: &Row) -> String {
    let Some((_, ms)) = row.ended else { return String::new() };
    format!("{} ago", humantime::format_duration(Duration::from_secs(ms / 1_000)))
}

#[cfg(test)]
mod tests {
    use phalanx::{EndSummary, Reason, TaskState};

    use super::*;
    use crate::output::samples::{id, task_id};

    #[test]
    fn tasks_are_listed_with_their_ends() {
        let class = || ClassName { name: "process".into(), version: 1 };
        let running =
            TaskInfo { task: task_id(7), class: class(), instance: None, state: TaskState::Running };
        let ended = |number, end| EndedTask {
            task: task_id(number),
            class: class(),
            instance: None,
            ran_ms: 5_000,
            ended_ms_ago: 61_500,
            end,
        };
        let tasks = vec![
            (id("worker-1"), running.into()),
            (id("worker-1"), ended(8, EndSummary::Done).into()),
            (
                id("worker-2"),
                ended(9, EndSummary::Aborted(Reason::Panicked("at \u{1b}[2J".to_owned()))).into(),
            ),
        ];
        let listed = Listed { tasks, silent: vec![(id("worker-3"), "the deadline passed".to_owned())] };
        let text = table(&listed, true).render(false) + "\n" + &table(&listed, false).render(false);
        insta::assert_snapshot!(format!("{text}\n{:#}", form(&listed)));
    }
}
