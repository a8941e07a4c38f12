//! The seam for whoever checks promises: what a worker decides, at the moment it does.
//!
//! A log is for people; this is for programs, such as a simulator that compares what happened with what was promised.

use phalanx_base::{Boot, Fence, Generation};

use crate::wire::{CallId, TaskId};

/// What a worker has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation<'a> {
    /// A control node has become the owner.
    Granted {
        /// Who has decided.
        worker: &'a Boot,
        /// The owner, as its link has proved it.
        control: &'a Boot,
        /// Its fence.
        fence: Fence,
        /// Whether the owner before has handed the worker over.
        given: bool,
    },
    /// The owner is lost, and there is none now.
    Orphaned {
        /// Who has lost it.
        worker: &'a Boot,
    },
    /// A request, a task or a command begins.
    Begun {
        /// Where.
        worker: &'a Boot,
        /// Which call.
        call: &'a CallId,
        /// For which boot of the worker it was meant.
        generation: Generation,
        /// The fence that came with it.
        fence: Fence,
    },
    /// The owner has handled the events of a task up to a number.
    Acknowledged {
        /// Whose task.
        worker: &'a Boot,
        /// Which task.
        task: &'a TaskId,
        /// The last event that was handled.
        through: u64,
    },
}

/// Is told what workers decide. It runs on the task of the worker, so it must not block.
pub trait Observer: Send + Sync + 'static {
    /// Something was decided.
    fn observe(&self, observation: Observation<'_>);
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn observe(&self, _: Observation<'_>) {}
}
