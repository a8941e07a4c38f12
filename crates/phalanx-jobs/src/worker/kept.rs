//! The tasks that outlive the worker's process: those of an earlier boot that go on in this one.

use std::time::Instant;

use super::WorkerCore;
use crate::begun::Begun;
use crate::codec;
use crate::outcome::Outcome;
use crate::tasks::TaskStart;
use crate::wire::{OnDisconnect, TaskId};

impl WorkerCore {
    /// A task of an earlier boot goes on. Its id counts as begun: to start it again is a repeat. It has a new event log, since
    /// the last one was in memory. Before the first session only.
    ///
    /// Says whether it was taken: not twice, and not beyond the room that there is for logs. It counts for
    /// [`tasks_max`](crate::Config::tasks_max), but is not held to it, since it runs already. So it is with its attempt.
    pub fn handle_kept(&mut self, now: Instant, task: TaskId, start: TaskStart) -> bool {
        // Of an earlier boot of its caller than another kept task it is, and so nothing that may begin, but not here twice.
        let is_new = matches!(self.begun.lookup(&task.0), Begun::No | Begun::Forgotten);
        if !is_new || !self.outbox.has_room() {
            return false;
        }
        self.begun.adopt(&task.0, Outcome::Done(codec::unit()));
        if let Some(instance) = &start.instance {
            self.instances.accept(instance, task.clone());
        }
        let (class, instance) = (start.class.clone(), start.instance.clone());
        self.tasks.start(now, task.clone(), start);
        self.outbox.open(task, class, instance);
        // There is no owner yet, and the time without one counts.
        self.tasks.on_disconnect(now);
        true
    }

    /// A task says whether its work goes on when the worker's process ends.
    pub fn handle_outlives(&mut self, task: &TaskId, outlives: bool) {
        self.tasks.set_outlives(task, outlives);
        self.note_stopped();
    }

    /// How many tasks run that a worker leaves alone when it stops as a whole.
    #[must_use]
    pub fn outliving_tasks(&self) -> usize {
        self.tasks.outliving()
    }

    /// What a task that runs does without an owner.
    #[must_use]
    pub fn on_disconnect(&self, task: &TaskId) -> Option<OnDisconnect> {
        self.tasks.on_disconnect_of(task)
    }
}
