//! Hands events to the control node's handlers, and keeps their states between batches.

use std::collections::BTreeMap;

use bytes::Bytes;
use phalanx_base::{Generation, NodeId, Spawn};
use tokio::sync::mpsc;

use super::shard::Input;
use crate::control::Handle;
use crate::handler::EventContext;
use crate::registry::{AnyState, EventHandlers};
use crate::wire::{ClassName, EventBody, OFFER_STATES_BYTES_MAX, Offer, TaskId, TaskState};

/// A batch that has come back from its handler.
pub(super) struct Handled {
    pub(super) worker: NodeId,
    pub(super) generation: Generation,
    pub(super) task: TaskId,
    pub(super) through: u64,
    pub(super) checkpoint: Option<Bytes>,
    /// The state, unless the task has ended with this batch.
    pub(super) state: Option<Kept>,
}

/// The states of the tasks whose events this shard follows, while no handler has them.
pub(super) struct States {
    handlers: EventHandlers,
    states: BTreeMap<(NodeId, TaskId), Kept>,
}

/// The state of one task, and whose it is.
pub(super) struct Kept {
    pub(super) class: ClassName,
    pub(super) state: AnyState,
}

impl States {
    pub(super) fn new(handlers: EventHandlers) -> Self {
        Self { handlers, states: BTreeMap::new() }
    }

    /// Starts the handler of a batch. Without a handler for its class the batch counts as handled, and is returned.
    pub(super) fn handle(
        &mut self,
        batch: Handle,
        spawn: &dyn Spawn,
        inbox: &mpsc::Sender<Input>,
    ) -> Option<Handled> {
        let Handle { worker, generation, task, class, restore, entries } = batch;
        let ended = matches!(entries.last(), Some((_, EventBody::Ended(_))));
        let through = entries.last().map_or(0, |(sequence, body)| match body {
            EventBody::Gap { through } => *through,
            EventBody::Emitted(_) | EventBody::Ended(_) => *sequence,
        });
        let key = (worker.clone(), task.clone());
        let before = self.states.remove(&key);
        let handled = Handled { worker, generation, task, through, checkpoint: None, state: None };
        let Some(handler) = self.handlers.class(&class) else { return Some(handled) };
        let state = match (restore, before) {
            (Some(checkpoint), _) => handler.restore(checkpoint.as_deref()),
            (None, Some(kept)) => kept.state,
            (None, None) => handler.restore(None),
        };
        let cx = EventContext {
            worker: handled.worker.clone(),
            generation,
            task: handled.task.clone(),
            sequence: 0,
        };
        let inbox = inbox.clone();
        spawn.spawn_user(Box::pin(async move {
            let (state, checkpoint) = handler.handle(cx, state, entries).await;
            let state = (!ended).then_some(Kept { class, state });
            let handled = Handled { checkpoint, state, ..handled };
            // A shard that has stopped has forgotten its tasks.
            let _ = inbox.send(Input::Handled(handled)).await;
        }));
        None
    }

    pub(super) fn keep(&mut self, worker: NodeId, task: TaskId, state: Kept) {
        self.states.insert((worker, task), state);
    }

    /// Adds the states of tasks to an offer, as far as they fit. One that does not begins anew at the next owner.
    pub(super) fn add(&self, offer: &mut Offer, tasks: &[TaskId]) {
        let mut room = OFFER_STATES_BYTES_MAX;
        for task in tasks {
            let key = (offer.worker.clone(), task.clone());
            let Some(kept) = self.states.get(&key) else { continue };
            match self.handlers.class(&kept.class).and_then(|handler| handler.save(&kept.state)) {
                Some(state) if state.len() <= room => {
                    room -= state.len();
                    offer.states.push(TaskState { task: task.clone(), state });
                }
                _ => tracing::warn!(
                    worker = %offer.worker, %task, class = %kept.class.name,
                    "the state of an event handler is too large to move: it begins anew at the next owner"
                ),
            }
        }
    }

    /// Drops the states of all tasks of a worker.
    pub(super) fn forget(&mut self, worker: &NodeId) {
        self.states.retain(|(of, _), _| of != worker);
    }
}
