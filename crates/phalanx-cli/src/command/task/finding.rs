//! Finds a task by its name, and lists those of a cluster.

use futures_util::{StreamExt, stream};
use phalanx::{CallOptions, NodeId, OperationError, TaskId, WorkerHandle};
use phalanx_operator::{Calls, Client};
use std::time::Duration;

use super::list::Row;
use super::name::{Fit, TaskName, shown};
use crate::exit::{Exit, Failure};

/// How many workers are asked at one time: enough for a cluster of thousands in some seconds, and little for its nodes.
const ASKED_AT_ONCE_MAX: usize = 32;

/// How long each may take: one that is away is named and not waited for.
const WORKER_TIMEOUT: Duration = Duration::from_secs(5);

/// How many of several tasks are named.
const NAMED_MAX: usize = 5;

/// The tasks of some workers.
pub(super) struct Listed {
    /// Each with its worker, in the order of their names.
    pub(super) tasks: Vec<(NodeId, Row)>,
    /// The workers that did not answer, and why.
    pub(super) silent: Vec<(NodeId, String)>,
}

/// Which tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that have not ended.
    Running,
    /// Also those that have ended, as far as their workers remember them.
    All,
}

async fn rows(worker: &WorkerHandle, which: Which) -> Result<Vec<Row>, OperationError> {
    let mut rows: Vec<Row> = worker.tasks().await?.into_iter().map(Row::from).collect();
    if which == Which::All {
        let ended = worker.ended_tasks().await?.into_iter().map(Row::from);
        // One that has ended between the two questions is in both answers.
        let ended: Vec<Row> = ended.collect();
        rows.retain(|row| ended.iter().all(|other| other.task != row.task));
        rows.extend(ended);
    }
    Ok(rows)
}

/// The same worker, for a question that is not to take long.
fn asked(calls: &Calls, worker: &NodeId) -> WorkerHandle {
    let options = CallOptions { deadline: WORKER_TIMEOUT, idempotent: true, ..CallOptions::default() };
    calls.worker(worker).with(options)
}

/// The workers to ask: this one, or all of the cluster.
async fn workers(client: &mut Client, only: Option<&NodeId>) -> Result<(Vec<NodeId>, Vec<NodeId>), Failure> {
    match only {
        Some(worker) => Ok((vec![worker.clone()], Vec::new())),
        None => {
            let nodes = client.nodes().await?;
            let workers =
                nodes.nodes.into_iter().filter(|node| node.status.runs_requests()).map(|node| node.node);
            Ok((workers.collect(), nodes.silent))
        }
    }
}

/// The tasks of one worker, or of all.
pub(super) async fn list(
    client: &mut Client,
    calls: &Calls,
    only: Option<&NodeId>,
    which: Which,
) -> Result<Listed, Failure> {
    let (workers, silent) = workers(client, only).await?;
    let asking = workers.into_iter().map(|worker| {
        let handle = asked(calls, &worker);
        async move { (worker, rows(&handle, which).await) }
    });
    let mut answers = stream::iter(asking).buffer_unordered(ASKED_AT_ONCE_MAX);
    let mut listed = Listed { tasks: Vec::new(), silent: Vec::new() };
    listed.silent.extend(silent.into_iter().map(|node| (node, "it does not say whom it hosts".to_owned())));
    while let Some((worker, answer)) = answers.next().await {
        match answer {
            Ok(tasks) => listed.tasks.extend(tasks.into_iter().map(|task| (worker.clone(), task))),
            // A single one that was asked for by name must answer.
            Err(error) if only.is_some() => return Err(Failure::from(error)),
            Err(error) => listed.silent.push((worker, error.to_string())),
        }
    }
    listed.tasks.sort_by(|one, other| (&one.0, &one.1.task).cmp(&(&other.0, &other.1.task)));
    listed.silent.sort();
    Ok(listed)
}

/// The one task that a name means, and its worker.
pub(crate) async fn find(
    client: &mut Client,
    calls: &Calls,
    name: &TaskName,
) -> Result<(NodeId, TaskId), Failure> {
    if let Some(whole) = name.whole() {
        return Ok(whole);
    }
    let listed = list(client, calls, name.worker.as_ref(), Which::All).await?;
    let tasks = listed.tasks.into_iter().map(|(worker, task)| (worker, task.task));
    only_one(name, tasks.collect(), &listed.silent)
}

/// Of these tasks the one that is meant.
fn only_one(
    name: &TaskName,
    tasks: Vec<(NodeId, TaskId)>,
    silent: &[(NodeId, String)],
) -> Result<(NodeId, TaskId), Failure> {
    let fit = |(worker, task): &(NodeId, TaskId)| name.fits(worker, task);
    let best = tasks.iter().map(fit).max().unwrap_or(Fit::Not);
    let mut found: Vec<_> = tasks.into_iter().filter(|task| best != Fit::Not && fit(task) == best).collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => {
            let missing = match silent {
                [] => String::new(),
                [(first, why), rest @ ..] => {
                    format!("; {first} did not answer ({why}), nor did {} others", rest.len())
                }
            };
            let words =
                format!("there is no task {name}: `phalanx task ls --all` lists what there is{missing}");
            Err(Failure::new(Exit::NotFound, words))
        }
        (Some(last), false) => {
            found.push(last);
            let names =
                found.iter().take(NAMED_MAX).map(|(worker, task)| shown(worker, task)).collect::<Vec<_>>();
            let more = if found.len() > NAMED_MAX { " and others" } else { "" };
            Err(Failure::usage(format!("{name} may be {}{more}: write more of it", names.join(" or "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{id, task_id};

    #[test]
    fn a_name_must_mean_one_task() {
        let tasks = || {
            vec![(id("worker-1"), task_id(7)), (id("worker-1"), task_id(71)), (id("worker-2"), task_id(8))]
        };
        let find = |text: &str| only_one(&text.parse().unwrap(), tasks(), &[]);
        assert_eq!(find("8").unwrap(), (id("worker-2"), task_id(8)));
        assert_eq!(find("worker-2").unwrap(), (id("worker-2"), task_id(8)));
        assert_eq!(find("control-1@1a2b#7").unwrap(), (id("worker-1"), task_id(7)), "what fits wholly wins");
        assert_eq!(find("7").unwrap(), (id("worker-1"), task_id(7)), "a number is meant as a whole");
        let several = find("worker-1/").unwrap_err().to_string();
        assert!(several.contains("worker-1/control-1@1a2b#7 or worker-1/control-1@1a2b#71"), "{several}");
        let silent = [(id("worker-3"), "the deadline passed".to_owned())];
        let none = only_one(&"9".parse().unwrap(), tasks(), &silent).unwrap_err().to_string();
        assert!(none.contains("no task 9") && none.contains("worker-3"), "{none}");
    }
}
