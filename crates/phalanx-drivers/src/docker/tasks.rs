//! The containers of this worker's tasks: those that run, and for a while the output of those that have ended.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use phalanx_jobs::wire::TaskId;

use super::backlog::Backlog;
use super::class::OutputState;

/// The output of how many ended tasks is kept, and how much it takes in all: the oldest end goes first. Somebody may be reading
/// the end of it, or come to look why.
const ENDED_MAX: usize = 256;
const ENDED_BYTES_MAX: usize = 16 << 20;

/// A task that has a container, or is about to.
#[derive(Debug, Clone)]
struct Task {
    container: String,
    backlog: Arc<Backlog>,
}

#[derive(Debug, Default)]
struct State {
    running: BTreeMap<TaskId, Task>,
    /// Each with what it took at its end.
    ended: VecDeque<(TaskId, Arc<Backlog>, usize)>,
    ended_bytes: usize,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<State>);

/// A task among those that run, until it is dropped.
pub(super) struct Registered {
    tasks: Arc<Tasks>,
    task: TaskId,
    pub(super) container: String,
    pub(super) backlog: Arc<Backlog>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Whoever reads it waits for no more, however the task has ended.
        self.backlog.close(OutputState::Over);
        self.tasks.lock().end(&self.task);
    }
}

impl State {
    fn end(&mut self, task: &TaskId) {
        let Some(Task { backlog, .. }) = self.running.remove(task) else { return };
        let bytes = backlog.cost();
        self.ended_bytes += bytes;
        self.ended.push_back((task.clone(), backlog, bytes));
        while (self.ended.len() > ENDED_MAX || self.ended_bytes > ENDED_BYTES_MAX)
            && let Some((_, _, bytes)) = self.ended.pop_front()
        {
            self.ended_bytes -= bytes;
        }
    }
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task with the name of its container. With a reader it waits for him.
    pub(super) fn register(self: &Arc<Self>, task: &TaskId, container: String, waits: bool) -> Registered {
        let backlog = Arc::new(Backlog::new(waits));
        let entry = Task { container: container.clone(), backlog: backlog.clone() };
        self.lock().running.insert(task.clone(), entry);
        Registered { tasks: self.clone(), task: task.clone(), container, backlog }
    }

    /// The container of a task that runs.
    pub(super) fn container(&self, task: &TaskId) -> Option<String> {
        self.lock().running.get(task).map(|task| task.container.clone())
    }

    /// The containers of all tasks that run.
    pub(super) fn containers(&self) -> BTreeSet<String> {
        self.lock().running.values().map(|task| task.container.clone()).collect()
    }

    /// The output of a task that runs, or has ended not long ago.
    pub(super) fn backlog(&self, task: &TaskId) -> Option<Arc<Backlog>> {
        let state = self.lock();
        let running = state.running.get(task).map(|task| &task.backlog);
        let ended = || state.ended.iter().find(|(own, ..)| own == task).map(|(_, backlog, _)| backlog);
        running.or_else(ended).cloned()
    }
}

#[cfg(test)]
mod tests {
    use phalanx_base::{Boot, Generation, NodeId};
    use phalanx_jobs::wire::CallId;

    use super::*;
    use crate::docker::Stream;

    fn task(sequence: u64) -> TaskId {
        let caller = Boot { node: NodeId::new("c").unwrap(), generation: Generation::from_u64(1) };
        TaskId(CallId { caller, sequence })
    }

    #[tokio::test]
    async fn output_outlives_its_task_and_gives_way_to_later_ones() {
        let tasks = Arc::new(Tasks::default());
        let first = tasks.register(&task(1), "one".to_owned(), false);
        assert_eq!(tasks.container(&task(1)).as_deref(), Some("one"));
        first.backlog.push(Stream::Stdout, b"word");
        drop(first);
        assert!(tasks.container(&task(1)).is_none() && tasks.containers().is_empty());
        let page = tasks.backlog(&task(1)).unwrap().page(0, std::time::Duration::ZERO).await;
        assert_eq!((page.next, page.state), (4, OutputState::Over));
        for number in 2..2 + ENDED_MAX as u64 {
            drop(tasks.register(&task(number), "more".to_owned(), false));
        }
        assert!(tasks.backlog(&task(1)).is_none() && tasks.backlog(&task(2)).is_some());
        assert_eq!(tasks.lock().ended_bytes, 0);
        for number in 1_000..1_020 {
            let large = tasks.register(&task(number), "large".to_owned(), false);
            (0..40).for_each(|_| large.backlog.push(Stream::Stdout, &[0; 32 << 10]));
        }
        assert!(tasks.backlog(&task(2)).is_none() && tasks.backlog(&task(1_019)).is_some());
        assert!(tasks.lock().ended_bytes <= ENDED_BYTES_MAX);
    }
}
