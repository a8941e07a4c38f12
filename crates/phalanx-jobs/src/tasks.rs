//! The worker's table of tasks: what runs, in which order it takes commands, and how it ended.
//!
//! A task belongs to its worker, not to a link: nothing here knows of sessions. An end is said once and kept for a
//! while, with the last lines that the task has logged, so that whoever asks late still learns it.
//!
//! It is asked at each turn of the worker, so nothing that is asked then walks over tasks: what runs and what has ended are
//! apart, and the times at which something is due are in order.

mod ended;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use phalanx_base::planted;

use self::ended::{Ended, EndedTasks};
use crate::lifecycle::{EndSummary, TaskState};
use crate::operations::{EndedTask, TaskDetails, TaskInfo};
use crate::outcome::{Cap, Reason, TaskEnd};
use crate::task_logs::TaskLogs;
use crate::wire::{CallId, ClassName, CommandStream, Instance, OnDisconnect, TaskId};

pub use self::ended::{ENDED_OUTPUT_BYTES_MAX, ENDED_TASKS_MAX};

/// How many commands wait in one task: a task that does not listen must not collect work.
pub const COMMANDS_MAX: usize = 64;

/// How many streams of commands one task remembers; each handle of a task has one.
const COMMAND_STREAMS_MAX: usize = 64;

/// How many callers wait for the end of one task.
const WATCHERS_MAX: usize = 1_024;

/// What a task starts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStart {
    /// Its class.
    pub class: ClassName,
    /// Which attempt of which instance of a job it is, if it is one.
    pub instance: Option<Instance>,
    /// What happens when the worker loses its owner.
    pub on_disconnect: OnDisconnect,
    /// Another task must end before it begins; see [`TaskTable::begin`].
    pub waits: bool,
}

/// What is known of a task from its start on.
#[derive(Debug)]
struct About {
    class: ClassName,
    instance: Option<Instance>,
    /// When it began, or was accepted to wait.
    since: Instant,
}

#[derive(Debug)]
struct Running {
    about: About,
    on_disconnect: OnDisconnect,
    /// It has not begun.
    waits: bool,
    /// Whether its work goes on when the worker's process ends.
    outlives: bool,
    /// When it is told to stop, unless the worker has an owner before.
    abandoned_at: Option<Instant>,
    stop_at: Option<Instant>,
    streams: BTreeMap<CommandStream, u64>,
    commands: Vec<CallId>,
    watchers: Vec<CallId>,
}

impl Running {
    fn outlives(&self) -> bool {
        self.outlives && self.stop_at.is_none()
    }

    /// When something is to be done about it.
    fn due_at(&self) -> Option<Instant> {
        [self.stop_at, self.abandoned_at].into_iter().flatten().min()
    }

    fn state(&self) -> TaskState {
        if self.waits {
            TaskState::Starting
        } else if self.stop_at.is_some() {
            TaskState::Stopping
        } else {
            TaskState::Running
        }
    }
}

fn milliseconds(now: Instant, since: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
}

/// Who is to be told that a task has ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Calls that wait for its output.
    pub watchers: Vec<CallId>,
    /// Commands that it has not answered.
    pub commands: Vec<CallId>,
}

/// What became of a question for a task's end.
#[derive(Debug, PartialEq, Eq)]
pub enum Watch {
    /// It has ended so.
    Ended(TaskEnd),
    /// The call will be told.
    Waiting,
    /// It cannot be told.
    Refused(Reason),
}

/// The table. See the module's page.
#[derive(Debug, Default)]
pub struct TaskTable {
    running: BTreeMap<TaskId, Running>,
    /// When something is to be done about a running task; each is in it at most once.
    due: BTreeSet<(Instant, TaskId)>,
    /// How many running tasks a worker leaves alone when it stops.
    outliving: usize,
    ended: EndedTasks,
    logs: TaskLogs,
}

impl TaskTable {
    /// How many tasks run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// The tasks that run, in the order of their ids.
    #[must_use]
    pub fn running_ids(&self) -> Vec<TaskId> {
        self.running.keys().cloned().collect()
    }

    /// The tasks that run, in the order of their ids, and when each is ended that was told to stop.
    pub fn stopping(&self) -> impl Iterator<Item = (&TaskId, Option<Instant>)> {
        self.running.iter().map(|(task, running)| (task, running.stop_at))
    }

    /// A task starts. Its id is the id of a call that has never begun, so it is new.
    pub fn start(&mut self, now: Instant, task: TaskId, start: TaskStart) {
        let TaskStart { class, instance, on_disconnect, waits } = start;
        let running = Running {
            about: About { class, instance, since: now },
            on_disconnect,
            waits,
            outlives: false,
            abandoned_at: None,
            stop_at: None,
            streams: BTreeMap::new(),
            commands: Vec::new(),
            watchers: Vec::new(),
        };
        self.running.insert(task, running);
    }

    /// A task that has waited begins.
    pub fn begin(&mut self, now: Instant, task: &TaskId) {
        if let Some(running) = self.running.get_mut(task) {
            running.waits = false;
            running.about.since = now;
        }
    }

    /// Whether a task has not ended.
    ///
    /// # Errors
    /// [`Reason::TaskEnded`], or [`Reason::NoSuchTask`] for one that is not known (any more).
    pub fn check_alive(&self, task: &TaskId) -> Result<(), Reason> {
        self.alive(task).map(|_| ())
    }

    fn alive(&self, task: &TaskId) -> Result<&Running, Reason> {
        self.running.get(task).ok_or_else(|| self.why_not_alive(task))
    }

    fn why_not_alive(&self, task: &TaskId) -> Reason {
        if self.ended.get(task).is_some() { Reason::TaskEnded } else { Reason::NoSuchTask }
    }

    /// Whether a task's work goes on when the worker's process ends.
    pub fn set_outlives(&mut self, task: &TaskId, outlives: bool) {
        self.change(task, |running| running.outlives = outlives);
    }

    /// Whether a task runs that a worker leaves alone when it stops. One that was told to stop by itself is none.
    #[must_use]
    pub fn outlives(&self, task: &TaskId) -> bool {
        self.running.get(task).is_some_and(Running::outlives)
    }

    /// How many such tasks run.
    #[must_use]
    pub fn outliving(&self) -> usize {
        self.outliving
    }

    /// What a task that runs does without an owner.
    #[must_use]
    pub fn on_disconnect_of(&self, task: &TaskId) -> Option<OnDisconnect> {
        self.running.get(task).map(|running| running.on_disconnect)
    }

    /// Whether a task runs, and so can be told something.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check_running(&self, task: &TaskId) -> Result<(), Reason> {
        if self.alive(task)?.waits { Err(Reason::TaskStarting) } else { Ok(()) }
    }

    /// A task has logged something. What comes after its end is not kept.
    pub fn log(&mut self, task: &TaskId, text: &str) {
        if self.check_alive(task).is_ok() {
            self.logs.push(task, text);
        }
    }

    /// A command has come; `call` is to be told if the task ends first.
    ///
    /// # Errors
    /// Why it must not be delivered: the task does not run, an earlier command of the stream is missing, or too many
    /// wait. Nothing has changed then.
    pub fn command(
        &mut self,
        task: &TaskId,
        stream: &CommandStream,
        sequence: u64,
        call: &CallId,
    ) -> Result<(), Reason> {
        self.check_running(task)?;
        let running = self.running.get_mut(task).ok_or(Reason::NoSuchTask)?;
        if running.commands.len() >= COMMANDS_MAX {
            return Err(Reason::Busy(Cap::Commands));
        }
        if running.streams.get(stream).copied().unwrap_or(0) != sequence {
            return Err(Reason::CommandOutOfOrder);
        }
        if !running.streams.contains_key(stream) && running.streams.len() >= COMMAND_STREAMS_MAX {
            // Streams are named by growing numbers, so the first one is among the oldest of its caller.
            running.streams.pop_first();
        }
        running.streams.insert(stream.clone(), sequence + 1);
        running.commands.push(call.clone());
        Ok(())
    }

    /// A command has been answered.
    pub fn command_done(&mut self, task: &TaskId, call: &CallId) {
        if let Some(running) = self.running.get_mut(task) {
            running.commands.retain(|waiting| waiting != call);
        }
    }

    /// A call wants to know how a task ends.
    pub fn watch(&mut self, task: &TaskId, call: &CallId) -> Watch {
        if let Some(running) = self.running.get_mut(task) {
            if running.watchers.len() >= WATCHERS_MAX {
                return Watch::Refused(Reason::Busy(Cap::Tasks));
            }
            running.watchers.push(call.clone());
            return Watch::Waiting;
        }
        let Some(ended) = self.ended.get_mut(task) else { return Watch::Refused(Reason::NoSuchTask) };
        let told = ended.end.clone();
        if planted!("changing-end") {
            ended.end = TaskEnd::Stopped;
        }
        Watch::Ended(told)
    }

    /// A call does not wait any more.
    pub fn unwatch(&mut self, task: &TaskId, call: &CallId) {
        if let Some(running) = self.running.get_mut(task) {
            running.watchers.retain(|waiting| waiting != call);
        }
    }

    /// A task must have ended by then, or it is ended.
    pub fn stop(&mut self, task: &TaskId, at: Instant) {
        self.change(task, |running| {
            running.stop_at = Some(running.stop_at.map_or(at, |before| before.min(at)));
        });
    }

    /// A task has ended. `None` if it had ended before: an end never changes.
    pub fn end(&mut self, now: Instant, task: &TaskId, end: TaskEnd) -> Option<Waiting> {
        let (task, running) = self.running.remove_entry(task)?;
        self.uncount(&task, running.due_at(), running.outlives());
        self.logs.end(&task);
        for forgotten in self.ended.push(task, Ended { about: running.about, end, at: now }) {
            self.logs.forget(&forgotten);
        }
        Some(Waiting { watchers: running.watchers, commands: running.commands })
    }

    /// The tasks that have not ended, in the order of their ids.
    pub fn infos(&self) -> impl Iterator<Item = TaskInfo> + '_ {
        self.running.iter().map(|(task, running)| TaskInfo {
            task: task.clone(),
            class: running.about.class.clone(),
            instance: running.about.instance.clone(),
            state: running.state(),
        })
    }

    /// The ended tasks that are kept, in the order of their ids.
    pub fn ended(&self, now: Instant) -> impl Iterator<Item = EndedTask> + '_ {
        self.ended.iter().map(move |(task, Ended { about, end, at })| EndedTask {
            task: task.clone(),
            class: about.class.clone(),
            instance: about.instance.clone(),
            ran_ms: milliseconds(*at, about.since),
            ended_ms_ago: milliseconds(now, *at),
            end: EndSummary::from(end),
        })
    }

    /// All that is known of a task, while it runs and is kept.
    #[must_use]
    pub fn details(&self, now: Instant, task: &TaskId) -> Option<TaskDetails> {
        let (about, state, until, ended) = match self.running.get(task) {
            Some(running) => (&running.about, running.state(), now, None),
            None => {
                let Ended { about, end, at } = self.ended.get(task)?;
                let end = EndSummary::from(end);
                (about, end.state(), *at, Some((milliseconds(now, *at), end)))
            }
        };
        let (ended_ms_ago, end) = ended.unzip();
        Some(TaskDetails {
            task: task.clone(),
            class: about.class.clone(),
            instance: about.instance.clone(),
            state,
            running_ms: milliseconds(until, about.since),
            ended_ms_ago,
            end,
            log: self.logs.lines(task),
        })
    }

    /// The class of a task, while it runs and is kept.
    #[must_use]
    pub fn class(&self, task: &TaskId) -> Option<&ClassName> {
        let running = self.running.get(task).map(|running| &running.about);
        Some(&running.or_else(|| Some(&self.ended.get(task)?.about))?.class)
    }

    /// The worker has lost its owner: from now on counts the time of the tasks that do not go on for ever without one.
    pub fn on_disconnect(&mut self, now: Instant) {
        self.change_all(|running| {
            running.abandoned_at = match running.on_disconnect {
                OnDisconnect::Keep => None,
                // A time beyond the clock's end never passes.
                OnDisconnect::StopAfter { milliseconds } => {
                    now.checked_add(Duration::from_millis(milliseconds))
                }
            };
        });
    }

    /// The worker has an owner again: who has not been told to stop goes on.
    pub fn on_connect(&mut self) {
        self.change_all(|running| running.abandoned_at = None);
    }

    /// The tasks that are to be told to stop now, since the worker has had no owner for too long. Each is named once.
    pub fn abandoned(&mut self, now: Instant) -> Vec<TaskId> {
        let tasks = self.due_by(now, |running| running.abandoned_at);
        for task in &tasks {
            self.change(task, |running| running.abandoned_at = None);
        }
        tasks
    }

    /// The tasks whose time to stop has passed.
    #[must_use]
    pub fn overdue(&self, now: Instant) -> Vec<TaskId> {
        self.due_by(now, |running| running.stop_at)
    }

    /// When the next task's time to stop passes.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The tasks whose time of this kind has come, in the order of their ids.
    fn due_by(&self, now: Instant, time: impl Fn(&Running) -> Option<Instant>) -> Vec<TaskId> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, task)| task);
        let is_due = |task: &&TaskId| self.running.get(*task).and_then(&time).is_some_and(|at| at <= now);
        let mut tasks: Vec<TaskId> = due.filter(is_due).cloned().collect();
        tasks.sort_unstable();
        tasks
    }

    /// Changes what is due of a task that runs, or whether it outlives the worker.
    fn change(&mut self, task: &TaskId, change: impl FnOnce(&mut Running)) {
        let Some(running) = self.running.get_mut(task) else { return };
        let before = (running.due_at(), running.outlives());
        change(running);
        let after = (running.due_at(), running.outlives());
        if before != after {
            self.uncount(task, before.0, before.1);
            self.due.extend(after.0.map(|at| (at, task.clone())));
            self.outliving += usize::from(after.1);
        }
    }

    fn change_all(&mut self, mut change: impl FnMut(&mut Running)) {
        for task in self.running_ids() {
            self.change(&task, &mut change);
        }
    }

    fn uncount(&mut self, task: &TaskId, due_at: Option<Instant>, outlived: bool) {
        if let Some(at) = due_at {
            self.due.remove(&(at, task.clone()));
        }
        self.outliving -= usize::from(outlived);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests;
