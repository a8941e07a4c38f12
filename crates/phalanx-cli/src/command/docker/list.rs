//! The command that lists the containers of workers.

use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, stream};
use phalanx::{CallOptions, JobClass, NodeId, WorkerHandle};
use phalanx_drivers::docker::{Docker, Listed, containers};
use phalanx_operator::{Calls, Client};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::output::{Format, FormatArguments, Table, json as forms, print_json, print_table};
use crate::target::Target;

/// How many workers are asked at one time: each asks its daemon.
const ASKED_AT_ONCE_MAX: usize = 32;

/// How long each may take: one that is away is named and not waited for.
const WORKER_TIMEOUT: Duration = Duration::from_secs(10);

/// As many digits of an id as tell containers apart.
const ID_DIGITS: usize = 12;

#[derive(Debug, Args)]
#[command(after_help = "Example: phalanx docker ps camera-7")]
pub(super) struct List {
    /// Only those of these workers; else of all that run containers
    node: Vec<NodeId>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

/// The containers of some workers.
pub(super) struct Found {
    /// In the order of the workers, the oldest first.
    pub(super) containers: Vec<(NodeId, Listed)>,
    /// The workers that did not answer, and why.
    pub(super) silent: Vec<(NodeId, String)>,
}

/// Whether a worker takes containers.
fn has_class(classes: &[String]) -> bool {
    classes.iter().any(|class| *class == format!("{}/{}", Docker::NAME, Docker::VERSION))
}

/// The same worker, for a question that is not to take long.
pub(super) fn asked(worker: WorkerHandle) -> WorkerHandle {
    worker.with(CallOptions { deadline: WORKER_TIMEOUT, idempotent: true, ..CallOptions::default() })
}

impl Found {
    /// Asks these workers, or all that take containers.
    pub(super) async fn ask(client: &mut Client, calls: &Calls, only: Vec<NodeId>) -> Result<Self, Failure> {
        let mut found = Self { containers: Vec::new(), silent: Vec::new() };
        let workers = if only.is_empty() {
            let nodes = client.nodes().await?;
            let words = "it does not say whom it hosts";
            found.silent.extend(nodes.silent.into_iter().map(|node| (node, words.to_owned())));
            nodes.nodes.into_iter().filter(|node| has_class(&node.classes)).map(|node| node.node).collect()
        } else {
            only
        };
        let asking = workers.into_iter().map(|node| {
            let worker = asked(calls.worker(&node));
            async move { (node, containers(&worker).await) }
        });
        let mut answers = stream::iter(asking).buffered(ASKED_AT_ONCE_MAX);
        while let Some((node, answer)) = answers.next().await {
            match answer {
                Ok(listed) => {
                    found.containers.extend(listed.into_iter().map(|listed| (node.clone(), listed)))
                }
                Err(error) => found.silent.push((node, Failure::from(error).to_string())),
            }
        }
        Ok(found)
    }

    /// Fails where somebody did not answer.
    pub(super) fn complete(&self) -> Result<(), Failure> {
        let silent: Vec<String> =
            self.silent.iter().map(|(node, why)| format!("{node} is missing here: {why}")).collect();
        if silent.is_empty() { Ok(()) } else { Err(Failure::failed(silent.join("\n"))) }
    }
}

impl List {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (mut client, calls) = self.target.both().await?;
        let found = Found::ask(&mut client, &calls, self.node).await?;
        match self.format.output {
            Format::Json => print_json(&form(&found))?,
            Format::Table => print_table(&table(&found))?,
        }
        found.complete()
    }
}

/// The name of its task, as this program shows tasks.
pub(super) fn task(node: &NodeId, listed: &Listed) -> String {
    format!("{node}/{}", listed.container.task)
}

/// How it is, in one word.
fn state(listed: &Listed) -> &'static str {
    match (listed.has_task, listed.container.is_running, listed.container.is_kept) {
        (true, true, _) => "running",
        (true, false, _) => "ending",
        (false, true, _) => "orphan",
        (false, false, true) => "kept",
        (false, false, false) => "left",
    }
}

/// The first digits of an id.
pub(super) fn short(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(ID_DIGITS).collect()
}

fn form(found: &Found) -> Value {
    let silent: Vec<&str> = found.silent.iter().map(|(node, _)| node.as_str()).collect();
    let containers = found.containers.iter().map(|(node, listed)| {
        json!({
            "task": task(node, listed),
            "node": node.as_str(),
            "image": listed.container.image,
            "state": state(listed),
            "running": listed.container.is_running,
            "kept": listed.container.is_kept,
            "created": created(listed.container.created_s),
            "container": listed.container.container,
        })
    });
    json!({"containers": containers.collect::<Vec<_>>(), "silent": silent})
}

/// A moment of the daemon's clock.
pub(super) fn created(created_s: u64) -> String {
    forms::time(created_s.saturating_mul(1_000))
}

fn table(found: &Found) -> Table {
    let mut table = Table::new(&["TASK", "IMAGE", "STATE", "CREATED", "CONTAINER"]);
    for (node, listed) in &found.containers {
        table.row([
            task(node, listed),
            listed.container.image.clone(),
            state(listed).to_owned(),
            created(listed.container.created_s),
            short(&listed.container.container),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use phalanx_drivers::docker::Orphan;

    use super::*;
    use crate::output::samples::id;

    #[test]
    fn containers_are_listed_with_their_tasks() {
        let listed = |has_task, is_running, is_kept| Listed {
            container: Orphan {
                container: "0123456789abcdef".repeat(4),
                image: "docker.io/library/busybox:1".to_owned(),
                task: "control-1@1a2b#7".to_owned(),
                is_running,
                is_kept,
                created_s: 1_700_000_000,
            },
            has_task,
        };
        let containers = [
            listed(true, true, false),
            listed(true, false, false),
            listed(false, true, false),
            listed(false, false, true),
            listed(false, false, false),
        ];
        let containers = containers.into_iter().map(|listed| (id("worker-1"), listed)).collect();
        let found = Found { containers, silent: vec![(id("worker-2"), "the deadline passed".to_owned())] };
        insta::assert_snapshot!(format!("{}\n{:#}", table(&found).render(false), form(&found)));
        assert!(found.complete().unwrap_err().to_string().contains("worker-2 is missing here"));
    }

    #[test]
    fn workers_with_the_class_are_asked() {
        assert!(has_class(&["kv/1".to_owned(), "docker/1".to_owned()]));
        assert!(!has_class(&["docker/2".to_owned(), "docker".to_owned()]));
    }
}
