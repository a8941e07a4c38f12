//! Choosing where: a worker for a task, or for a key, by what the whole cluster says of itself now.

use std::collections::BTreeMap;

use phalanx_base::{Labels, NodeId};
use phalanx_jobs::wire::ClassName;
use phalanx_jobs::{CallError, JobClass, NodeSummary, Nodes, TaskHandle, Tasks, WorkerHandle};
use phalanx_placement::{
    Assignees, Choice, Class, Explanation, NeverPlaceable, Preferences, Requirements, WorkerView, choose,
    explain,
};

use crate::control::Control;
use crate::meter::metrics;

/// The workers of a cluster at one moment, to choose among. A choice reserves nothing: who submits much in a short time counts
/// for itself, or chooses by lot.
#[derive(Debug, Clone)]
pub struct Workforce {
    workers: Vec<Worker>,
    silent: Vec<NodeId>,
    seed: u64,
}

#[derive(Debug, Clone)]
struct Worker {
    summary: NodeSummary,
    classes: Vec<Class>,
    /// How many tasks of the class that is asked for it runs, where they were counted.
    tasks_of_class: u32,
}

/// Why a task was not submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError<E> {
    /// No worker meets the requirements. The task was started nowhere.
    #[error("no worker can take the task: {0}")]
    NeverPlaceable(#[source] NeverPlaceable),
    /// The best workers were asked, and this is what the last of them said. Unless it says *not executed*, the task may have
    /// started there.
    #[error("{worker} did not take the task: {error}")]
    Call {
        /// Which worker.
        worker: NodeId,
        /// Why not.
        error: CallError<E>,
    },
}

impl Workforce {
    fn new(nodes: Nodes, seed: u64) -> Self {
        let worker = |summary: NodeSummary| {
            let classes = summary.classes.iter().map(class).collect();
            Worker { summary, classes, tasks_of_class: 0 }
        };
        Self { workers: nodes.nodes.into_iter().map(worker).collect(), silent: nodes.silent, seed }
    }

    /// Counts the tasks of a class, for preferences that spread them.
    fn count(&mut self, tasks: &Tasks, class: &ClassName) {
        let mut counts: BTreeMap<&NodeId, u32> = BTreeMap::new();
        for (node, _) in tasks.tasks.iter().filter(|(_, task)| task.class == *class) {
            *counts.entry(node).or_default() += 1;
        }
        for worker in &mut self.workers {
            worker.tasks_of_class = counts.get(&worker.summary.node).copied().unwrap_or_default();
        }
    }

    fn views(&self) -> impl Iterator<Item = WorkerView<'_>> + Clone {
        self.workers.iter().map(|worker| {
            let Worker { summary, classes, tasks_of_class } = worker;
            let (node, labels): (&NodeId, &Labels) = (&summary.node, &summary.labels);
            WorkerView {
                classes,
                tasks: summary.tasks,
                tasks_of_job: *tasks_of_class,
                metrics: metrics(&summary.usage),
                ..WorkerView::new(node, labels, summary.status)
            }
        })
    }

    /// The best workers for some work.
    ///
    /// # Errors
    /// [`NeverPlaceable`] says for how many workers which requirement was not met.
    pub fn choose<'r>(
        &self,
        requirements: &'r Requirements,
        preferences: &'r Preferences,
    ) -> Result<Choice<'r>, NeverPlaceable> {
        choose(requirements, preferences, self.views(), self.seed)
    }

    /// The same with the reasons: for each worker why it was refused, or its score and of what that is made.
    #[must_use]
    pub fn explain<'r>(
        &self,
        requirements: &'r Requirements,
        preferences: &'r Preferences,
    ) -> Explanation<'r> {
        explain(requirements, preferences, self.views(), self.seed)
    }

    /// The worker that a key belongs to, such as a device or a call: the same for everybody who asks while it lives and meets
    /// the requirements; `None` where no worker meets them.
    #[must_use]
    pub fn assign(&self, requirements: &Requirements, key: &[u8]) -> Option<NodeId> {
        Assignees::new(requirements, self.views()).assign(key).cloned()
    }

    /// The control nodes that did not answer: the workers that they host are missing here.
    #[must_use]
    pub fn silent(&self) -> &[NodeId] {
        &self.silent
    }
}

impl Control {
    /// The workers of the whole cluster, to choose among: each control node is asked what it hosts.
    pub async fn workforce(&self) -> Workforce {
        Workforce::new(self.nodes().await, self.entropy.bits64())
    }

    /// Starts a task on the best worker for it. Of those that are ranked first, the next is asked where one says that it has
    /// not taken it. The task starts at most once.
    ///
    /// The class is required by itself. Preferences that spread tasks ask every worker which tasks it runs, and cost as much.
    /// Dropping the future may leave the task started or not.
    ///
    /// # Errors
    /// [`SubmitError`] says whether it may have started.
    pub async fn submit<C: JobClass>(
        &self,
        task: C::Task,
        requirements: &Requirements,
        preferences: &Preferences,
    ) -> Result<TaskHandle<C>, SubmitError<C::Error>>
    where
        C::Task: Clone,
    {
        let name = ClassName { name: C::NAME.into(), version: C::VERSION };
        let requirements = Requirements { class: Some(class(&name)), ..requirements.clone() };
        let mut workforce = self.workforce().await;
        if !preferences.spreads().is_empty() {
            workforce.count(&self.tasks().await, &name);
        }
        let choice = workforce.choose(&requirements, preferences).map_err(SubmitError::NeverPlaceable)?;
        let mut ranked = choice.ranked().iter().map(|ranked| ranked.node.clone());
        let mut worker = choice.best().clone();
        ranked.next();
        loop {
            let error = match self.worker(&worker).start::<C>(task.clone()).await {
                Ok(handle) => return Ok(handle),
                Err(error) => error,
            };
            match (&error, ranked.next()) {
                (CallError::NotExecuted(reason), Some(next)) => {
                    tracing::debug!(%worker, %reason, %next, "a worker has not taken a task: the next is asked");
                    worker = next;
                }
                _ => return Err(SubmitError::Call { worker, error }),
            }
        }
    }

    /// The worker that a key belongs to, as [`Workforce::assign`] says it now.
    pub async fn assign(&self, requirements: &Requirements, key: &[u8]) -> Option<WorkerHandle> {
        let worker = self.workforce().await.assign(requirements, key)?;
        Some(self.worker(worker))
    }
}

fn class(name: &ClassName) -> Class {
    Class { name: name.name.to_string(), version: name.version }
}
