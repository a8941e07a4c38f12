//! The commands that let a worker come to an end: they watch its tasks go, and account for each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use phalanx::{
    CallOptions, EndSummary, NodeId, NodeStatus, StopProgress, StoppingTask, TaskId, WorkerHandle,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::super::task::name::shown;
use crate::exit::{Exit, Failure};
use crate::output::{Format, FormatArguments, json as forms, print};
use crate::target::Target;

/// How often a worker is asked how far it is.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a worker has beyond the deadline of its tasks to say that they are gone.
const MARGIN: Duration = Duration::from_secs(10);

/// How many of the tasks that are left are named to people.
const NAMED_MAX: usize = 5;

/// How long a question goes on while links and owners change.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(
    after_help = "Every task is told to stop at once, and what has not ended by the deadline is ended then. `phalanx node ready` takes it back.
Example: phalanx node stop camera-7 --deadline 2m"
)]
pub(crate) struct Stop {
    /// The worker
    node: NodeId,
    /// How long its tasks have
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    deadline: humantime::Duration,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The worker takes no new task, and those that run are left to end by themselves. At the deadline those that are left are named, \
and the code is 1; with --force they are told to stop then. `phalanx node ready` takes it back.
Example: phalanx node drain camera-7 --deadline 10m --force"
)]
pub(crate) struct Drain {
    /// The worker
    node: NodeId,
    /// How long its tasks may go on
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    deadline: humantime::Duration,
    /// Tell the tasks that are left at the deadline to stop, and end them after the grace
    #[arg(long)]
    force: bool,
    /// How long tasks have that were told to stop
    #[arg(long, value_name = "DURATION", default_value = "30s", requires = "force")]
    grace: humantime::Duration,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Stop {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut watch = Watch::new(&self.target, &self.node, self.format.output).await?;
        watch.stop(*self.deadline).await
    }
}

impl Drain {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut watch = Watch::new(&self.target, &self.node, self.format.output).await?;
        watch.worker.standby().await?;
        let left = watch.until(Instant::now() + *self.deadline, |progress| progress.tasks == 0).await?;
        match left {
            None => watch.stop(Duration::ZERO).await,
            Some(_) if self.force => watch.stop(*self.grace).await,
            Some(progress) => Err(Failure::new(
                Exit::Failed,
                format!(
                    "{} takes no new task, and {} after {}: wait for them, or drain it with --force",
                    self.node,
                    blocking(&self.node, &progress),
                    self.deadline
                ),
            )),
        }
    }
}

/// A worker that is watched while its tasks go.
struct Watch {
    worker: WorkerHandle,
    format: Format,
    /// Every task that was seen.
    seen: BTreeSet<TaskId>,
    /// What was said last to people, so that nothing is said twice.
    said: String,
}

impl Watch {
    async fn new(target: &Target, node: &NodeId, format: Format) -> Result<Self, Failure> {
        let options = CallOptions { idempotent: true, patience: PATIENCE, ..CallOptions::default() };
        let worker = target.calls().await?.worker(node).with(options);
        let mut watch = Self { worker, format, seen: BTreeSet::new(), said: String::new() };
        watch.look().await?;
        Ok(watch)
    }

    /// Notes the tasks that run.
    async fn look(&mut self) -> Result<(), Failure> {
        let tasks = self.worker.tasks().await?;
        self.seen.extend(tasks.into_iter().map(|task| task.task));
        Ok(())
    }

    /// Tells the tasks to stop, waits until none is left, and accounts for all of them.
    async fn stop(&mut self, grace: Duration) -> Result<(), Failure> {
        // Those that have started since then.
        self.look().await?;
        self.worker.stop(grace).await?;
        let until = Instant::now() + grace + MARGIN;
        if let Some(progress) = self.until(until, |progress| progress.status == NodeStatus::Stopped).await? {
            let node = self.worker.id();
            return Err(Failure::failed(format!(
                "{node} is {}: {}",
                progress.status,
                blocking(node, &progress)
            )));
        }
        self.account().await
    }

    /// Waits, and says how far it is; gives what is left when the time is up.
    async fn until(
        &mut self,
        deadline: Instant,
        is_over: impl Fn(&StopProgress) -> bool,
    ) -> Result<Option<StopProgress>, Failure> {
        loop {
            let progress = self.worker.stop_progress().await?;
            self.tell(&progress)?;
            if is_over(&progress) {
                return Ok(None);
            }
            if Instant::now() >= deadline {
                return Ok(Some(progress));
            }
            sleep(PAUSE.min(deadline - Instant::now())).await;
        }
    }

    fn tell(&mut self, progress: &StopProgress) -> Result<(), Failure> {
        let text = match self.format {
            Format::Json => form(self.worker.id(), progress).to_string(),
            Format::Table => words(self.worker.id(), progress),
        };
        if std::mem::replace(&mut self.said, text.clone()) == text {
            return Ok(());
        }
        match self.format {
            Format::Json => print(&format!("{text}\n")),
            // One line that changes for a person who watches, and lines for a log.
            Format::Table if std::io::stderr().is_terminal() && progress.tasks > 0 => {
                eprint!("\r\u{1b}[K{text}");
                Ok(())
            }
            Format::Table => {
                let clear = if std::io::stderr().is_terminal() { "\r\u{1b}[K" } else { "" };
                eprintln!("{clear}{text}");
                Ok(())
            }
        }
    }

    /// Says what became of every task that was seen.
    async fn account(&mut self) -> Result<(), Failure> {
        let left: BTreeSet<TaskId> = self.worker.tasks().await?.into_iter().map(|task| task.task).collect();
        let ended = self.worker.ended_tasks().await?.into_iter().map(|task| (task.task, task.end));
        let account = Account::new(std::mem::take(&mut self.seen), &left, &ended.collect());
        match self.format {
            Format::Json => print(&format!("{}\n", account.form(self.worker.id()))),
            Format::Table => {
                eprintln!("{} has stopped: {}", self.worker.id(), account.words());
                Ok(())
            }
        }
    }
}

/// What became of tasks.
struct Account(Vec<(TaskId, &'static str, Option<String>)>);

impl Account {
    fn new(seen: BTreeSet<TaskId>, left: &BTreeSet<TaskId>, ended: &BTreeMap<TaskId, EndSummary>) -> Self {
        let fate = |task: TaskId| match ended.get(&task) {
            Some(end) => (task, end.state().as_str(), Some(end.to_string())),
            None if left.contains(&task) => (task, "left", None),
            None => (task, "forgotten", None),
        };
        Self(seen.into_iter().map(fate).collect())
    }

    fn words(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        self.0.iter().for_each(|(_, state, _)| *counts.entry(state).or_default() += 1);
        let counts: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
        match self.0.len() {
            0 => "there was no task".to_owned(),
            1 => format!("of 1 task {}", counts.join(", ")),
            count => format!("of {count} tasks {}", counts.join(", ")),
        }
    }

    fn form(&self, node: &NodeId) -> Value {
        let task = |(task, state, end): &(TaskId, &str, Option<String>)| json!({"task": shown(node, task), "state": state, "end": end});
        json!({"status": "stopped", "accounted": self.0.iter().map(task).collect::<Vec<_>>()})
    }
}

/// Which tasks are left, and why.
fn blocking(node: &NodeId, progress: &StopProgress) -> String {
    let named: Vec<String> = progress.named.iter().take(NAMED_MAX).map(|task| reason(node, task)).collect();
    let more = usize::try_from(progress.tasks).unwrap_or(usize::MAX).saturating_sub(named.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} others") };
    match progress.tasks {
        0 => "no task is left".to_owned(),
        count => format!(
            "{count} {} left: {}{more}",
            if count == 1 { "task is" } else { "tasks are" },
            named.join(", ")
        ),
    }
}

fn reason(node: &NodeId, task: &StoppingTask) -> String {
    let why = match task.ends_in_ms {
        Some(0) => "is being ended".to_owned(),
        Some(ms) => format!("was told to stop, is ended in {} s", ms.div_ceil(1_000)),
        None => "runs on, was not told to stop".to_owned(),
    };
    format!("{} ({}, {why})", shown(node, &task.task), forms::class(&task.class))
}

fn words(node: &NodeId, progress: &StopProgress) -> String {
    format!("{node} is {}: {}", progress.status, blocking(node, progress))
}

fn form(node: &NodeId, progress: &StopProgress) -> Value {
    let task = |task: &StoppingTask| {
        json!({
            "task": shown(node, &task.task),
            "class": forms::class(&task.class),
            "ends_in_ms": task.ends_in_ms,
        })
    };
    json!({
        "status": forms::word(progress.status),
        "tasks": progress.tasks,
        "told": progress.told,
        "blocking": progress.named.iter().map(task).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use phalanx::ClassName;

    use super::*;
    use crate::output::samples::{id, task_id};

    #[test]
    fn what_blocks_is_named_with_its_reason() {
        let task = |number, ends_in_ms| StoppingTask {
            task: task_id(number),
            class: ClassName { name: "process".into(), version: 1 },
            ends_in_ms,
        };
        let named = vec![task(1, None), task(2, Some(4_100)), task(3, Some(0))];
        let progress =
            |tasks| StopProgress { status: NodeStatus::Stopping, tasks, told: 2, named: named.clone() };
        let (node, done) = (
            id("worker-1"),
            StopProgress { status: NodeStatus::Stopped, tasks: 0, told: 0, named: Vec::new() },
        );
        let told = [words(&node, &progress(3)), words(&node, &progress(90)), words(&node, &done)];
        insta::assert_snapshot!(format!("{}\n{:#}", told.join("\n"), form(&node, &progress(3))));
    }

    #[test]
    fn every_task_is_accounted_for() {
        let seen: BTreeSet<TaskId> = (1..=4).map(task_id).collect();
        let ended = [
            (task_id(1), EndSummary::Done),
            (task_id(2), EndSummary::Done),
            (task_id(3), EndSummary::Stopped),
        ];
        let account = Account::new(seen, &BTreeSet::from([task_id(4)]), &ended.into());
        assert_eq!(account.words(), "of 4 tasks 1 killed, 1 left, 2 succeeded");
        insta::assert_snapshot!(format!("{:#}", account.form(&id("worker-1"))));
        let none = Account::new(BTreeSet::from([task_id(9)]), &BTreeSet::new(), &BTreeMap::new());
        assert_eq!(none.words(), "of 1 task 1 forgotten");
    }
}
