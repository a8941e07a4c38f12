//! What control nodes have heard of tasks, in the order in which they handled it.

use std::ops::RangeInclusive;

use phalanx::{EventContext, EventHandler, Generation, NodeId, TaskError, TaskId};
use tokio::sync::watch;

use crate::probe::{Oops, Probe, Said};
use crate::wait::soon;

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An event.
    Event(Said),
    /// Events that will not come.
    Gap(RangeInclusive<u64>),
    /// The end of the task.
    Ended(Result<String, TaskError<Oops>>),
}

/// One entry.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which control node has handled it.
    pub control: String,
    /// The worker of the task.
    pub worker: NodeId,
    /// The worker's boot.
    pub generation: Generation,
    /// The task.
    pub task: TaskId,
    /// The number of the event in its task.
    pub sequence: u64,
    /// What the handler's own state said: how many entries of this task came before.
    pub before: u64,
    /// What it is.
    pub what: What,
}

/// All that the control nodes of one cluster have handled. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Record(watch::Sender<Vec<Seen>>);

impl Record {
    /// All entries of a task.
    #[must_use]
    pub fn of(&self, task: &TaskId) -> Vec<Seen> {
        self.0.borrow().iter().filter(|seen| seen.task == *task).cloned().collect()
    }

    /// The events of a task, without its end.
    #[must_use]
    pub fn events(&self, task: &TaskId) -> Vec<Said> {
        let event = |seen: Seen| match seen.what {
            What::Event(said) => Some(said),
            What::Gap(_) | What::Ended(_) => None,
        };
        self.of(task).into_iter().filter_map(event).collect()
    }

    /// Waits until the entries of a task are as they should be, and returns them.
    pub async fn wait_for(&self, what: &str, task: &TaskId, holds: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let mut changes = self.0.subscribe();
        let waiting = async {
            loop {
                let entries: Vec<Seen> =
                    changes.borrow_and_update().iter().filter(|seen| seen.task == *task).cloned().collect();
                // The sender lives as long as this value.
                if holds(&entries) || changes.changed().await.is_err() {
                    return entries;
                }
            }
        };
        soon(what, waiting).await
    }

    /// Waits until a task has so many events.
    pub async fn wait_events(&self, task: &TaskId, count: usize) -> Vec<Seen> {
        self.wait_for(&format!("{count} events of {task}"), task, |seen| seen.len() >= count).await
    }

    /// Waits until a task has ended, and returns its entries.
    pub async fn wait_ended(&self, task: &TaskId) -> Vec<Seen> {
        let is_end = |seen: &Seen| matches!(seen.what, What::Ended(_));
        self.wait_for(&format!("the end of {task}"), task, |seen| seen.iter().any(is_end)).await
    }
}

/// The control node's half of the class: writes everything down.
#[derive(Debug, Clone)]
pub struct Recorder {
    control: String,
    record: Record,
}

impl Recorder {
    /// Writes what the control node of this name handles.
    #[must_use]
    pub fn new(control: &str, record: &Record) -> Self {
        Self { control: control.to_owned(), record: record.clone() }
    }

    fn write(&self, cx: &EventContext, before: &mut u64, what: What) {
        let seen = Seen {
            control: self.control.clone(),
            worker: cx.worker.clone(),
            generation: cx.generation,
            task: cx.task.clone(),
            sequence: cx.sequence,
            before: *before,
            what,
        };
        *before += 1;
        self.record.0.send_modify(|entries| entries.push(seen));
    }
}

impl EventHandler<Probe> for Recorder {
    type State = u64;

    async fn event(&self, cx: &EventContext, before: &mut u64, said: Said) {
        self.write(cx, before, What::Event(said));
    }

    async fn gap(&self, cx: &EventContext, before: &mut u64, missing: RangeInclusive<u64>) {
        self.write(cx, before, What::Gap(missing));
    }

    async fn ended(&self, cx: &EventContext, before: &mut u64, end: Result<String, TaskError<Oops>>) {
        self.write(cx, before, What::Ended(end));
    }
}
