//! The worker's table of tasks: what runs, in which order it takes commands, and how it ended.
//!
//! A task belongs to its worker, not to a link: nothing here knows of sessions. An end is said once and kept for a
//! while, with the last lines that the task has logged, so that whoever asks late still learns it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use phalanx_base::planted;

use crate::lifecycle::{EndSummary, TaskState};
use crate::operations::{EndedTask, TaskDetails, TaskInfo};
use crate::outcome::{Cap, Reason, TaskEnd};
use crate::task_logs::TaskLogs;
use crate::wire::{CallId, ClassName, CommandStream, Instance, OnDisconnect, TaskId};

/// How many ended tasks are kept for those who ask late.
pub const ENDED_TASKS_MAX: usize = 4_096;

/// How many bytes of outputs of ended tasks are kept.
pub const ENDED_OUTPUT_BYTES_MAX: usize = 16 << 20;

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

#[derive(Debug)]
struct Known {
    class: ClassName,
    instance: Option<Instance>,
    /// When it began, or was accepted to wait.
    since: Instant,
    state: State,
}

#[derive(Debug)]
struct Running {
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
}

#[derive(Debug)]
enum State {
    Running(Running),
    Ended { end: TaskEnd, at: Instant },
}

impl Known {
    fn running(&self) -> Option<&Running> {
        match &self.state {
            State::Running(running) => Some(running),
            State::Ended { .. } => None,
        }
    }

    fn task_state(&self) -> TaskState {
        match &self.state {
            State::Running(running) if running.waits => TaskState::Starting,
            State::Running(running) if running.stop_at.is_some() => TaskState::Stopping,
            State::Running(_) => TaskState::Running,
            State::Ended { end, .. } => EndSummary::from(end).state(),
        }
    }

    /// How long it ran, or has run so far.
    fn ran_ms(&self, now: Instant) -> u64 {
        let until = match &self.state {
            State::Running(_) => now,
            State::Ended { at, .. } => *at,
        };
        milliseconds(until, self.since)
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
    tasks: BTreeMap<TaskId, Known>,
    ended: VecDeque<(TaskId, usize)>,
    ended_bytes: usize,
    running: usize,
    logs: TaskLogs,
}

impl TaskTable {
    /// How many tasks run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// The tasks that run, in the order of their ids.
    #[must_use]
    pub fn running_ids(&self) -> Vec<TaskId> {
        self.running_tasks().map(|(task, _)| task.clone()).collect()
    }

    /// The tasks that run, in the order of their ids, and when each is ended that was told to stop.
    pub fn stopping(&self) -> impl Iterator<Item = (&TaskId, Option<Instant>)> {
        self.running_tasks().map(|(task, running)| (task, running.stop_at))
    }

    /// A task starts. Its id is the id of a call that has never begun, so it is new.
    pub fn start(&mut self, now: Instant, task: TaskId, start: TaskStart) {
        let TaskStart { class, instance, on_disconnect, waits } = start;
        let running = Running {
            on_disconnect,
            waits,
            outlives: false,
            abandoned_at: None,
            stop_at: None,
            streams: BTreeMap::new(),
            commands: Vec::new(),
            watchers: Vec::new(),
        };
        self.tasks.insert(task, Known { class, instance, since: now, state: State::Running(running) });
        self.running += 1;
    }

    /// A task that has waited begins.
    pub fn begin(&mut self, now: Instant, task: &TaskId) {
        if let Some(Known { since, state: State::Running(running), .. }) = self.tasks.get_mut(task) {
            running.waits = false;
            *since = now;
        }
    }

    /// Whether a task has not ended.
    ///
    /// # Errors
    /// [`Reason::TaskEnded`], or [`Reason::NoSuchTask`] for one that is not known (any more).
    pub fn check_alive(&self, task: &TaskId) -> Result<(), Reason> {
        match self.tasks.get(task).map(|known| &known.state) {
            Some(State::Running(_)) => Ok(()),
            Some(State::Ended { .. }) => Err(Reason::TaskEnded),
            None => Err(Reason::NoSuchTask),
        }
    }

    /// Whether a task's work goes on when the worker's process ends.
    pub fn set_outlives(&mut self, task: &TaskId, outlives: bool) {
        if let Some(Known { state: State::Running(running), .. }) = self.tasks.get_mut(task) {
            running.outlives = outlives;
        }
    }

    /// Whether a task runs that a worker leaves alone when it stops. One that was told to stop by itself is none.
    #[must_use]
    pub fn outlives(&self, task: &TaskId) -> bool {
        matches!(self.tasks.get(task), Some(Known { state: State::Running(running), .. }) if running.outlives())
    }

    /// How many such tasks run.
    #[must_use]
    pub fn outliving(&self) -> usize {
        self.running_tasks().filter(|(_, running)| running.outlives()).count()
    }

    /// What a task that runs does without an owner.
    #[must_use]
    pub fn on_disconnect_of(&self, task: &TaskId) -> Option<OnDisconnect> {
        match self.tasks.get(task) {
            Some(Known { state: State::Running(running), .. }) => Some(running.on_disconnect),
            _ => None,
        }
    }

    /// Whether a task runs, and so can be told something.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check_running(&self, task: &TaskId) -> Result<(), Reason> {
        self.check_alive(task)?;
        let waits = self.running_task(task).is_some_and(|running| running.waits);
        if waits { Err(Reason::TaskStarting) } else { Ok(()) }
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
        let running = self.running_task_mut(task).ok_or(Reason::NoSuchTask)?;
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
        if let Some(running) = self.running_task_mut(task) {
            running.commands.retain(|waiting| waiting != call);
        }
    }

    /// A call wants to know how a task ends.
    pub fn watch(&mut self, task: &TaskId, call: &CallId) -> Watch {
        match self.tasks.get_mut(task).map(|known| &mut known.state) {
            Some(State::Ended { end, .. }) => {
                let told = end.clone();
                if planted!("changing-end") {
                    *end = TaskEnd::Stopped;
                }
                Watch::Ended(told)
            }
            Some(State::Running(running)) if running.watchers.len() >= WATCHERS_MAX => {
                Watch::Refused(Reason::Busy(Cap::Tasks))
            }
            Some(State::Running(running)) => {
                running.watchers.push(call.clone());
                Watch::Waiting
            }
            None => Watch::Refused(Reason::NoSuchTask),
        }
    }

    /// A call does not wait any more.
    pub fn unwatch(&mut self, task: &TaskId, call: &CallId) {
        if let Some(running) = self.running_task_mut(task) {
            running.watchers.retain(|waiting| waiting != call);
        }
    }

    /// A task must have ended by then, or it is ended.
    pub fn stop(&mut self, task: &TaskId, at: Instant) {
        if let Some(running) = self.running_task_mut(task) {
            running.stop_at = Some(running.stop_at.map_or(at, |before| before.min(at)));
        }
    }

    /// A task has ended. `None` if it had ended before: an end never changes.
    pub fn end(&mut self, now: Instant, task: &TaskId, end: TaskEnd) -> Option<Waiting> {
        let known = self.tasks.get_mut(task)?;
        let State::Running(running) = &mut known.state else { return None };
        let waiting = Waiting {
            watchers: std::mem::take(&mut running.watchers),
            commands: std::mem::take(&mut running.commands),
        };
        let bytes = match &end {
            TaskEnd::Done(body) | TaskEnd::Failed(body) => body.len(),
            TaskEnd::Stopped | TaskEnd::Aborted(_) | TaskEnd::Lost | TaskEnd::Killed => 0,
        };
        known.state = State::Ended { end, at: now };
        self.running -= 1;
        self.logs.end(task);
        self.ended.push_back((task.clone(), bytes));
        self.ended_bytes += bytes;
        while self.ended.len() > ENDED_TASKS_MAX || self.ended_bytes > ENDED_OUTPUT_BYTES_MAX {
            let Some((oldest, bytes)) = self.ended.pop_front() else { break };
            self.ended_bytes -= bytes;
            self.tasks.remove(&oldest);
            self.logs.forget(&oldest);
        }
        Some(waiting)
    }

    /// The tasks that have not ended, in the order of their ids.
    pub fn infos(&self) -> impl Iterator<Item = TaskInfo> + '_ {
        let running = self.tasks.iter().filter(|(_, known)| known.running().is_some());
        running.map(|(task, known)| TaskInfo {
            task: task.clone(),
            class: known.class.clone(),
            instance: known.instance.clone(),
            state: known.task_state(),
        })
    }

    /// The ended tasks that are kept, in the order of their ids.
    pub fn ended(&self, now: Instant) -> impl Iterator<Item = EndedTask> + '_ {
        self.tasks.iter().filter_map(move |(task, known)| {
            let State::Ended { end, at } = &known.state else { return None };
            Some(EndedTask {
                task: task.clone(),
                class: known.class.clone(),
                instance: known.instance.clone(),
                ran_ms: known.ran_ms(now),
                ended_ms_ago: milliseconds(now, *at),
                end: EndSummary::from(end),
            })
        })
    }

    /// All that is known of a task, while it runs and is kept.
    #[must_use]
    pub fn details(&self, now: Instant, task: &TaskId) -> Option<TaskDetails> {
        let known = self.tasks.get(task)?;
        let ended = match &known.state {
            State::Running(_) => None,
            State::Ended { end, at } => Some((milliseconds(now, *at), EndSummary::from(end))),
        };
        let (ended_ms_ago, end) = ended.unzip();
        Some(TaskDetails {
            task: task.clone(),
            class: known.class.clone(),
            instance: known.instance.clone(),
            state: known.task_state(),
            running_ms: known.ran_ms(now),
            ended_ms_ago,
            end,
            log: self.logs.lines(task),
        })
    }

    /// The class of a task, while it runs and is kept.
    #[must_use]
    pub fn class(&self, task: &TaskId) -> Option<&ClassName> {
        self.tasks.get(task).map(|known| &known.class)
    }

    /// The worker has lost its owner: from now on counts the time of the tasks that do not go on for ever without one.
    pub fn on_disconnect(&mut self, now: Instant) {
        for running in self.running_tasks_mut() {
            running.abandoned_at = match running.on_disconnect {
                OnDisconnect::Keep => None,
                // A time beyond the clock's end never passes.
                OnDisconnect::StopAfter { milliseconds } => {
                    now.checked_add(Duration::from_millis(milliseconds))
                }
            };
        }
    }

    /// The worker has an owner again: who has not been told to stop goes on.
    pub fn on_connect(&mut self) {
        for running in self.running_tasks_mut() {
            running.abandoned_at = None;
        }
    }

    /// The tasks that are to be told to stop now, since the worker has had no owner for too long. Each is named once.
    pub fn abandoned(&mut self, now: Instant) -> Vec<TaskId> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let tasks: Vec<TaskId> = self
            .running_tasks()
            .filter(|(_, running)| due(running.abandoned_at))
            .map(|(task, _)| task.clone())
            .collect();
        for running in self.running_tasks_mut() {
            running.abandoned_at = running.abandoned_at.filter(|at| *at > now);
        }
        tasks
    }

    /// The tasks whose time to stop has passed.
    pub fn overdue(&self, now: Instant) -> Vec<TaskId> {
        self.running_tasks()
            .filter(|(_, running)| running.stop_at.is_some_and(|at| at <= now))
            .map(|(task, _)| task.clone())
            .collect()
    }

    /// When the next task's time to stop passes.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.running_tasks().flat_map(|(_, running)| [running.stop_at, running.abandoned_at]).flatten().min()
    }

    fn running_task(&self, task: &TaskId) -> Option<&Running> {
        self.tasks.get(task)?.running()
    }

    fn running_task_mut(&mut self, task: &TaskId) -> Option<&mut Running> {
        match &mut self.tasks.get_mut(task)?.state {
            State::Running(running) => Some(running),
            State::Ended { .. } => None,
        }
    }

    fn running_tasks_mut(&mut self) -> impl Iterator<Item = &mut Running> {
        self.tasks.values_mut().filter_map(|known| match &mut known.state {
            State::Running(running) => Some(running),
            State::Ended { .. } => None,
        })
    }

    fn running_tasks(&self) -> impl Iterator<Item = (&TaskId, &Running)> {
        self.tasks.iter().filter_map(|(task, known)| Some((task, known.running()?)))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests;
