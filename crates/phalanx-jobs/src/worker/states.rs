//! How the worker is, as its user and its operators want it: ready, standby, stopping, stopped; and what it is labelled with.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use phalanx_base::{Labels, NodeStatus};

use super::{WorkerCore, WorkerEvent};
use crate::operations::{EndedTask, STOPPING_NAMED_MAX, StopProgress, StoppingTask, TaskDetails, TaskInfo};
use crate::wire::{ClassName, TaskId};

impl WorkerCore {
    /// The worker takes new tasks again, whatever it was before. Tasks that were told to stop still do.
    pub fn handle_ready(&mut self) {
        self.set_status(NodeStatus::Ready);
    }

    /// The worker takes no new task; those that run go on.
    pub fn handle_standby(&mut self) {
        self.set_status(NodeStatus::Standby);
    }

    /// The worker takes no new task, and each that runs is told to stop, but for those that outlive the worker's process.
    /// What has not ended at `deadline` is ended then.
    pub fn handle_stop(&mut self, now: Instant, deadline: Instant) {
        self.set_status(NodeStatus::Stopping);
        for task in self.tasks.running_ids() {
            if self.tasks.outlives(&task) {
                continue;
            }
            self.stop_task(now, &task, deadline);
        }
        self.note_stopped();
    }

    /// The worker is labelled anew; its owner learns of it at once.
    pub fn handle_labels(&mut self, labels: Labels) {
        if self.identity.labels != labels {
            self.identity.labels = labels;
            self.labels_told = false;
            self.report_now();
        }
    }

    /// What the worker is labelled with.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.identity.labels
    }

    /// The job classes that it runs.
    #[must_use]
    pub fn classes(&self) -> &[ClassName] {
        &self.identity.classes
    }

    /// The tasks that have not ended, in the order of their ids.
    pub fn tasks(&self) -> impl Iterator<Item = TaskInfo> + '_ {
        self.tasks.infos()
    }

    /// The ended tasks that are kept, in the order of their ids.
    pub fn ended_tasks(&self, now: Instant) -> impl Iterator<Item = EndedTask> + '_ {
        self.tasks.ended(now)
    }

    /// All that is known of a task, while it runs and is kept.
    #[must_use]
    pub fn task_details(&self, now: Instant, task: &TaskId) -> Option<TaskDetails> {
        self.tasks.details(now, task)
    }

    /// How far the worker is with stopping: what still runs, those first that are ended last.
    #[must_use]
    pub fn stop_progress(&self, now: Instant) -> StopProgress {
        let mut running: Vec<(Option<Duration>, TaskId)> = self
            .tasks
            .stopping()
            .map(|(task, at)| (at.map(|at| at.saturating_duration_since(now)), task.clone()))
            .collect();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let told = count(running.iter().filter(|(ends_in, _)| ends_in.is_some()).count());
        let tasks = count(running.len());
        // Who was not told to stop may run for ever.
        running.sort_by_key(|(ends_in, _)| Reverse(ends_in.unwrap_or(Duration::MAX)));
        let named = running.into_iter().take(STOPPING_NAMED_MAX).filter_map(|(ends_in, task)| {
            let class = self.tasks.class(&task)?.clone();
            let ends_in_ms = ends_in.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            Some(StoppingTask { task, class, ends_in_ms })
        });
        StopProgress { status: self.status(), tasks, told, named: named.collect() }
    }

    /// A worker that is stopping has stopped once no task is left but those that outlive its process.
    pub(super) fn note_stopped(&mut self) {
        if self.status == NodeStatus::Stopping && self.tasks.running() == self.tasks.outliving() {
            self.set_status(NodeStatus::Stopped);
        }
    }

    fn set_status(&mut self, status: NodeStatus) {
        if self.status == status {
            return;
        }
        self.status = status;
        // Without an owner it is connecting, whatever it will be then.
        self.events.push_back(WorkerEvent::Status(self.status()));
        self.report_now();
    }

    fn report_now(&mut self) {
        if let Some(present) = self.arbiter.present() {
            let (link, fence) = (present.link, present.fence);
            self.report(link, fence);
        }
    }
}
