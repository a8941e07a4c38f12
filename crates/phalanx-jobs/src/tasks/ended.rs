//! Tasks that have ended, kept for those who ask late: the last ones, as far as their outputs have room.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::About;
use crate::outcome::TaskEnd;
use crate::wire::TaskId;

/// How many ended tasks are kept for those who ask late.
pub const ENDED_TASKS_MAX: usize = 4_096;

/// How many bytes of outputs of ended tasks are kept.
pub const ENDED_OUTPUT_BYTES_MAX: usize = 16 << 20;

/// A task that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) about: About,
    pub(super) end: TaskEnd,
    pub(super) at: Instant,
}

/// The last tasks that have ended. Each is told of once.
#[derive(Debug, Default)]
pub(super) struct EndedTasks {
    tasks: BTreeMap<TaskId, Ended>,
    order: VecDeque<TaskId>,
    output_bytes: usize,
}

impl EndedTasks {
    pub(super) fn get(&self, task: &TaskId) -> Option<&Ended> {
        self.tasks.get(task)
    }

    pub(super) fn get_mut(&mut self, task: &TaskId) -> Option<&mut Ended> {
        self.tasks.get_mut(task)
    }

    /// In the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&TaskId, &Ended)> {
        self.tasks.iter()
    }

    /// Keeps one, and returns the oldest ones that it leaves no room for.
    pub(super) fn push(&mut self, task: TaskId, ended: Ended) -> Vec<TaskId> {
        self.output_bytes += output_bytes(&ended.end);
        self.order.push_back(task.clone());
        self.tasks.insert(task, ended);
        let mut forgotten = Vec::new();
        while self.order.len() > ENDED_TASKS_MAX || self.output_bytes > ENDED_OUTPUT_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.output_bytes -= self.tasks.remove(&oldest).map_or(0, |ended| output_bytes(&ended.end));
            forgotten.push(oldest);
        }
        forgotten
    }
}

fn output_bytes(end: &TaskEnd) -> usize {
    match end {
        TaskEnd::Done(body) | TaskEnd::Failed(body) => body.len(),
        TaskEnd::Stopped | TaskEnd::Aborted(_) | TaskEnd::Lost | TaskEnd::Killed => 0,
    }
}
