//! The worker's tasks: how one begins, waits for an earlier attempt of its instance, is told to stop, and is killed.
//!
//! A later attempt is accepted at once and begins when the earlier one has ended, so that two of one instance never run
//! beside each other here. The earlier one is told to stop and has [`SUPERSEDED_GRACE`]; then its future is dropped, and what
//! its destructors leave behind is its own affair.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use phalanx_base::{Fence, Generation};

use super::{WorkerCore, WorkerEvent};
use crate::outcome::{Outcome, Reason, TaskEnd};
use crate::tasks::TaskStart;
use crate::wire::{ClassName, Instance, OnDisconnect, TaskId};

/// How long an attempt may still take that a later one replaces: time to put things down, and no reason to wait long, since
/// somebody has decided that it is to be elsewhere or anew.
pub const SUPERSEDED_GRACE: Duration = Duration::from_secs(5);

/// What a start asks for.
pub(super) struct Start {
    pub(super) class: ClassName,
    pub(super) body: Bytes,
    pub(super) on_disconnect: OnDisconnect,
    pub(super) instance: Option<Instance>,
}

/// A task that waits for the end of an earlier attempt. There is one for each instance, and it counts as a task.
#[derive(Debug)]
pub(super) struct Held {
    class: Cow<'static, str>,
    body: Bytes,
    instance: Option<Instance>,
}

impl WorkerCore {
    /// A task is accepted, and begins now or after the attempt before it.
    pub(super) fn begin_task(
        &mut self,
        now: Instant,
        task: TaskId,
        under: (Generation, Fence),
        start: Start,
    ) {
        let Start { class, body, on_disconnect, instance } = start;
        let found = match &instance {
            Some(instance) => self.instances.accept(instance, task.clone()),
            None => Default::default(),
        };
        let waits = found.running.is_some();
        let of_table = TaskStart { class: class.clone(), instance: instance.clone(), on_disconnect, waits };
        self.tasks.start(now, task.clone(), of_table);
        self.outbox.open(task.clone(), class.clone(), instance.clone());
        if waits {
            self.held.insert(task.clone(), Held { class: class.name, body, instance });
            self.events.push_back(WorkerEvent::TaskAccepted { task, under });
        } else {
            let under = Some(under);
            self.events.push_back(WorkerEvent::RunTask { task, under, class: class.name, body, instance });
        }
        if let Some(between) = found.waiting {
            self.handle_task_end(now, &between, TaskEnd::Aborted(Reason::Superseded));
        }
        if let Some(earlier) = found.running {
            self.stop_task(now, &earlier, now + SUPERSEDED_GRACE);
        }
    }

    /// A task that has waited begins.
    pub(super) fn begin_held(&mut self, now: Instant, task: TaskId) {
        let Some(Held { class, body, instance }) = self.held.remove(&task) else { return };
        self.tasks.begin(now, &task);
        self.events.push_back(WorkerEvent::RunTask { task, under: None, class, body, instance });
    }

    /// Tells a task that it must have stopped by then. One that has not begun need not begin.
    pub(super) fn stop_task(&mut self, now: Instant, task: &TaskId, at: Instant) {
        if self.held.contains_key(task) {
            return self.handle_task_end(now, task, TaskEnd::Stopped);
        }
        self.tasks.stop(task, at);
        self.events.push_back(WorkerEvent::StopTask(task.clone(), at));
    }

    /// Ends a task from outside, so.
    pub(super) fn abort_task(&mut self, now: Instant, task: &TaskId, end: TaskEnd) {
        if !self.held.contains_key(task) {
            self.events.push_back(WorkerEvent::AbortTask(task.clone()));
        }
        self.handle_task_end(now, task, end);
    }

    /// Does something to a task that may have ended: then it is done already.
    pub(super) fn end_task(&mut self, task: &TaskId, end: impl FnOnce(&mut Self)) -> Outcome {
        match self.tasks.check_alive(task) {
            Ok(()) => end(self),
            Err(Reason::TaskEnded) => {}
            Err(reason) => return Outcome::NotExecuted(reason),
        }
        Outcome::Done(crate::codec::unit())
    }
}
