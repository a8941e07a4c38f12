//! The worker's table of tasks: what runs, in which order it takes commands, and how it ended.
//!
//! A task belongs to its worker, not to a link: nothing here knows of sessions. An end is said once and kept for a
//! while, so that whoever asks late still learns it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use phalanx_base::planted;

use crate::outcome::{Cap, Reason, TaskEnd};
use crate::wire::{CallId, CommandStream, OnDisconnect, TaskId};

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

#[derive(Debug)]
struct Running {
    on_disconnect: OnDisconnect,
    /// When it is told to stop, unless the worker has an owner before.
    abandoned_at: Option<Instant>,
    stop_at: Option<Instant>,
    streams: BTreeMap<CommandStream, u64>,
    commands: Vec<CallId>,
    watchers: Vec<CallId>,
}

#[derive(Debug)]
enum State {
    Running(Running),
    Ended(TaskEnd),
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
    tasks: BTreeMap<TaskId, State>,
    ended: VecDeque<(TaskId, usize)>,
    ended_bytes: usize,
    running: usize,
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
    pub fn start(&mut self, task: TaskId, on_disconnect: OnDisconnect) {
        let running = Running {
            on_disconnect,
            abandoned_at: None,
            stop_at: None,
            streams: BTreeMap::new(),
            commands: Vec::new(),
            watchers: Vec::new(),
        };
        self.tasks.insert(task, State::Running(running));
        self.running += 1;
    }

    /// Whether a task runs.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check_running(&self, task: &TaskId) -> Result<(), Reason> {
        match self.tasks.get(task) {
            Some(State::Running(_)) => Ok(()),
            Some(State::Ended(_)) => Err(Reason::TaskEnded),
            None => Err(Reason::NoSuchTask),
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
        let Some(State::Running(running)) = self.tasks.get_mut(task) else { return Err(Reason::NoSuchTask) };
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
        if let Some(State::Running(running)) = self.tasks.get_mut(task) {
            running.commands.retain(|waiting| waiting != call);
        }
    }

    /// A call wants to know how a task ends.
    pub fn watch(&mut self, task: &TaskId, call: &CallId) -> Watch {
        match self.tasks.get_mut(task) {
            Some(State::Ended(end)) => {
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
        if let Some(State::Running(running)) = self.tasks.get_mut(task) {
            running.watchers.retain(|waiting| waiting != call);
        }
    }

    /// A task must have ended by then, or it is ended.
    pub fn stop(&mut self, task: &TaskId, at: Instant) {
        if let Some(State::Running(running)) = self.tasks.get_mut(task) {
            running.stop_at = Some(running.stop_at.map_or(at, |before| before.min(at)));
        }
    }

    /// A task has ended. `None` if it had ended before: an end never changes.
    pub fn end(&mut self, task: &TaskId, end: TaskEnd) -> Option<Waiting> {
        let state = self.tasks.get_mut(task)?;
        let State::Running(running) = state else { return None };
        let waiting = Waiting {
            watchers: std::mem::take(&mut running.watchers),
            commands: std::mem::take(&mut running.commands),
        };
        let bytes = match &end {
            TaskEnd::Done(body) | TaskEnd::Failed(body) => body.len(),
            TaskEnd::Stopped | TaskEnd::Aborted(_) | TaskEnd::Lost => 0,
        };
        *state = State::Ended(end);
        self.running -= 1;
        self.ended.push_back((task.clone(), bytes));
        self.ended_bytes += bytes;
        while self.ended.len() > ENDED_TASKS_MAX || self.ended_bytes > ENDED_OUTPUT_BYTES_MAX {
            let Some((oldest, bytes)) = self.ended.pop_front() else { break };
            self.ended_bytes -= bytes;
            self.tasks.remove(&oldest);
        }
        Some(waiting)
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

    fn running_tasks_mut(&mut self) -> impl Iterator<Item = &mut Running> {
        self.tasks.values_mut().filter_map(|state| match state {
            State::Running(running) => Some(running),
            State::Ended(_) => None,
        })
    }

    fn running_tasks(&self) -> impl Iterator<Item = (&TaskId, &Running)> {
        self.tasks.iter().filter_map(|(task, state)| match state {
            State::Running(running) => Some((task, running)),
            State::Ended(_) => None,
        })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use phalanx_base::{Boot, Generation, NodeId};

    fn call(sequence: u64) -> CallId {
        let caller = Boot { node: NodeId::new("c").unwrap(), generation: Generation::from_u64(1) };
        CallId { caller, sequence }
    }

    #[test]
    fn commands_come_in_order_or_not_at_all() {
        let (task, stream) = (TaskId(call(1)), CommandStream(call(2)));
        let mut table = TaskTable::default();
        assert_eq!(table.command(&task, &stream, 0, &call(3)), Err(Reason::NoSuchTask));
        table.start(task.clone(), OnDisconnect::Keep);
        assert_eq!(table.command(&task, &stream, 1, &call(4)), Err(Reason::CommandOutOfOrder));
        assert_eq!(table.command(&task, &stream, 0, &call(3)), Ok(()));
        assert_eq!(table.command(&task, &stream, 0, &call(5)), Err(Reason::CommandOutOfOrder));
        assert_eq!(table.command(&task, &stream, 1, &call(4)), Ok(()));
        table.command_done(&task, &call(3));
        let waiting = table.end(&task, TaskEnd::Stopped).unwrap();
        assert_eq!(waiting.commands, [call(4)]);
        assert_eq!(table.command(&task, &stream, 2, &call(6)), Err(Reason::TaskEnded));
    }

    #[test]
    fn an_end_never_changes() {
        let task = TaskId(call(1));
        let mut table = TaskTable::default();
        table.start(task.clone(), OnDisconnect::Keep);
        assert_eq!(table.watch(&task, &call(7)), Watch::Waiting);
        let done = TaskEnd::Done(Bytes::from_static(b"4"));
        assert_eq!(table.end(&task, done.clone()).unwrap().watchers, [call(7)]);
        assert_eq!(table.end(&task, TaskEnd::Lost), None);
        assert_eq!(table.watch(&task, &call(8)), Watch::Ended(done));
        assert_eq!(table.running(), 0);
    }

    #[test]
    fn tasks_stop_when_their_time_has_passed() {
        let now = Instant::now();
        let task = TaskId(call(1));
        let mut table = TaskTable::default();
        table.start(task.clone(), OnDisconnect::StopAfter { milliseconds: 500 });
        let at = now + Duration::from_millis(500);
        table.stop(&task, at);
        assert_eq!(table.poll_timeout(), Some(at));
        assert_eq!(table.overdue(now), Vec::<TaskId>::new());
        assert_eq!(table.overdue(at), [task]);
    }

    #[test]
    fn a_task_without_an_owner_is_told_to_stop_once_unless_one_returns() {
        let now = Instant::now();
        let task = TaskId(call(1));
        let mut table = TaskTable::default();
        table.start(task.clone(), OnDisconnect::StopAfter { milliseconds: 500 });
        table.start(TaskId(call(2)), OnDisconnect::Keep);
        let at = now + Duration::from_millis(500);
        table.on_disconnect(now);
        table.on_connect();
        assert_eq!((table.poll_timeout(), table.abandoned(at)), (None, Vec::new()));
        table.on_disconnect(now);
        assert_eq!(table.abandoned(now), Vec::<TaskId>::new());
        assert_eq!(table.poll_timeout(), Some(at));
        assert_eq!(table.abandoned(at), [task]);
        assert_eq!(table.abandoned(at), Vec::<TaskId>::new());
    }

    #[test]
    fn a_task_with_a_full_queue_refuses_commands() {
        let (task, stream) = (TaskId(call(1)), CommandStream(call(2)));
        let mut table = TaskTable::default();
        table.start(task.clone(), OnDisconnect::Keep);
        for sequence in 0..COMMANDS_MAX as u64 {
            assert_eq!(table.command(&task, &stream, sequence, &call(10 + sequence)), Ok(()));
        }
        let refused = table.command(&task, &stream, COMMANDS_MAX as u64, &call(999));
        assert_eq!(refused, Err(Reason::Busy(Cap::Commands)));
    }
}
