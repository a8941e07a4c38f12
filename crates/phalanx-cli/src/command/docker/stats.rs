//! The command that shows what containers use.

use clap::Args;
use futures_util::{StreamExt, stream};
use phalanx::{CallError, NodeId, TaskId};
use phalanx_drivers::docker::{Container, ContainerError, Docker, DockerError, Stats as Used};
use phalanx_operator::{Calls, Client};
use serde_json::{Value, json};

use super::super::task::finding::find;
use super::super::task::name::{TaskName, shown};
use super::list::{Found, asked};
use crate::exit::Failure;
use crate::output::{Format, FormatArguments, Table, print_json, print_table};
use crate::size::Size;
use crate::target::Target;

/// How many containers are asked about at one time: each answer is a look of a daemon.
const ASKED_AT_ONCE_MAX: usize = 16;

const NANOSECONDS_PER_SECOND: f64 = 1e9;

#[derive(Debug, Args)]
#[command(after_help = "Example: phalanx docker stats camera-7/control-1@18c2a#7")]
pub(super) struct Stats {
    /// The containers' tasks; else those of all workers
    task: Vec<TaskName>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

/// A container and what it uses.
type Row = (String, Used);

impl Stats {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (mut client, calls) = self.target.both().await?;
        let (tasks, found) = tasks(&mut client, &calls, &self.task).await?;
        let asking = tasks.into_iter().map(|(node, task)| {
            let calls = &calls;
            async move { (shown(&node, &task), used(calls, &node, &task).await) }
        });
        let mut answers = stream::iter(asking).buffered(ASKED_AT_ONCE_MAX);
        let mut rows: Vec<Row> = Vec::new();
        while let Some((name, answer)) = answers.next().await {
            match answer {
                Ok(used) => rows.push((name, used)),
                // One of all that has ended meanwhile is none any more.
                Err(CallError::Failed(DockerError::NotRunning)) if self.task.is_empty() => {}
                Err(error) => return Err(Failure::from(error)),
            }
        }
        match self.format.output {
            Format::Json => print_json(&rows.iter().map(form).collect())?,
            Format::Table => print_table(&table(&rows))?,
        }
        found.map_or(Ok(()), |found| found.complete())
    }
}

/// Those that are named, or all that run, and then who did not answer.
async fn tasks(
    client: &mut Client,
    calls: &Calls,
    names: &[TaskName],
) -> Result<(Vec<(NodeId, TaskId)>, Option<Found>), Failure> {
    if names.is_empty() {
        let found = Found::ask(client, calls, Vec::new()).await?;
        let running = found.containers.iter().filter(|(_, listed)| listed.has_task);
        let tasks =
            running.filter_map(|(node, listed)| Some((node.clone(), listed.container.task.parse().ok()?)));
        return Ok((tasks.collect(), Some(found)));
    }
    let mut tasks = Vec::new();
    for name in names {
        tasks.push(find(client, calls, name).await?);
    }
    Ok((tasks, None))
}

async fn used(calls: &Calls, node: &NodeId, task: &TaskId) -> Result<Used, ContainerError> {
    let worker = asked(calls.worker(node));
    let handle = worker.task::<Docker>(task).await.map_err(|_| CallError::Failed(DockerError::NotRunning))?;
    Container::of(&worker, handle).stats().await
}

fn seconds(used: &Used) -> f64 {
    used.cpu_ns as f64 / NANOSECONDS_PER_SECOND
}

fn form((task, used): &Row) -> Value {
    json!({
        "task": task,
        "cpu_seconds": seconds(used),
        "memory_bytes": used.memory_bytes,
        "memory_bytes_max": used.memory_bytes_max,
        "processes": used.processes,
        "received_bytes": used.received_bytes,
        "sent_bytes": used.sent_bytes,
    })
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["TASK", "CPU", "MEMORY", "OF", "PROCESSES", "RECEIVED", "SENT"]);
    for (task, used) in rows {
        table.row([
            task.clone(),
            format!("{:.1}s", seconds(used)),
            Size(used.memory_bytes).to_string(),
            Size(used.memory_bytes_max).to_string(),
            used.processes.to_string(),
            Size(used.received_bytes).to_string(),
            Size(used.sent_bytes).to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_shown() {
        let used = Used {
            cpu_ns: 1_250_000_000,
            memory_bytes: 3 << 20,
            memory_bytes_max: 1 << 30,
            processes: 2,
            received_bytes: 512,
            sent_bytes: 0,
        };
        let rows = [("worker-1/control-1@1a2b#7".to_owned(), used)];
        insta::assert_snapshot!(format!("{}\n{:#}", table(&rows).render(false), form(&rows[0])));
    }
}
