//! The control node's half of the contract, without I/O: [`ShardCore`], which holds many proxies.
//!
//! A [`Proxy`] is the control-side end of one worker's session: it claims, redirects and gives away as the
//! [`Steward`](crate::Steward) says, carries calls, and feeds events to their handler. Proxies know nothing of each other;
//! a shard routes to them and keeps their timers, so that one task can drive thousands.
//!
//! Order of calls: any `handle_…`, then [`ShardCore::poll_transmit`] and [`ShardCore::poll_event`] until both are empty;
//! [`ShardCore::handle_timeout`] when [`ShardCore::poll_timeout`] has passed. The caller owns the clock.

mod calling;
mod drain;
mod events;
mod following;
mod giving;
mod in_flight;
mod mass;
mod proxy;
mod shard;

pub use drain::{BLOCKED_NAMED_MAX, BlockReason, Blocked, DrainProgress};
pub use mass::{LossCounts, MASS_KNOWN_MIN, MASS_WINDOW, MassChange, MassFailure};
pub use proxy::{Proxy, WorkerLink};
pub use shard::{Forgotten, ShardCore};

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use phalanx_base::{Fence, Generation, NodeId, NodeStatus};

use crate::lifecycle::EndSummary;
use crate::outcome::Outcome;
use crate::session::LinkId;
use crate::transmit::Transmit;
use crate::wire::{
    CallId, ClassName, Declined, EventBody, Instance, Message, Offer, TaskId, Verb, Wanted, rule,
};

/// A call for a worker, as it enters its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyCall {
    /// Which call.
    pub id: CallId,
    /// The boot of the worker that it is meant for.
    pub generation: Generation,
    /// When its caller stops waiting.
    pub deadline: Instant,
    /// What is asked for.
    pub verb: Verb,
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlEvent {
    /// Open the lane on which the worker tells its events.
    OpenEventLane(LinkId),
    /// Tell the caller how its call has ended.
    Reply(CallId, Outcome),
    /// Let the handler of a class have these, in order, and then call `handle_handled`.
    Handle(Handle),
    /// How a worker is now. `NotConnected` when its link is lost.
    Status {
        /// Which worker.
        worker: NodeId,
        /// How it is.
        status: NodeStatus,
        /// Under which fence this node hosts its proxy, if it does.
        hosted: Option<Fence>,
    },
    /// A worker has new labels.
    Labelled(NodeId),
    /// A worker has a task: told once, by the first sign of it that this node gets.
    TaskStarted {
        /// Which worker.
        worker: NodeId,
        /// Which task.
        task: TaskId,
        /// Its class.
        class: ClassName,
        /// Which attempt of which instance of a job it is, if it is one.
        instance: Option<Instance>,
    },
    /// A task has ended that was told to have started.
    TaskEnded {
        /// Which worker.
        worker: NodeId,
        /// Which task.
        task: TaskId,
        /// Its class.
        class: ClassName,
        /// Which attempt of which instance of a job it was, if it was one.
        instance: Option<Instance>,
        /// How.
        end: EndSummary,
    },
    /// The events of a worker are not followed any more: drop the states of its tasks.
    Forgotten(NodeId),
    /// Entries that came twice and were dropped by their number.
    Redelivered(u64),
    /// Ask the worker's present owner to offer it to this node.
    Want {
        /// The present owner, as the worker names it.
        from: NodeId,
        /// What to ask.
        wanted: Wanted,
    },
    /// Offer a worker to another control node.
    Offer {
        /// Who shall have it.
        to: NodeId,
        /// The offer.
        offer: Offer,
        /// Whose states are to be added to it: the worker does not keep them, since they are too large.
        states_of: Vec<TaskId>,
    },
    /// Tell the owner that offers a worker to go on as before.
    Decline {
        /// Who offers.
        to: NodeId,
        /// What to say.
        declined: Declined,
    },
    /// Close a link: its peer broke the rules, or was silent.
    CloseLink(LinkId, &'static str),
}

/// Entries of one task's log for its handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle {
    /// Of which worker.
    pub worker: NodeId,
    /// The worker's boot.
    pub generation: Generation,
    /// Of which task.
    pub task: TaskId,
    /// Its class.
    pub class: ClassName,
    /// Forget the state and begin with this checkpoint: another node has handled events since.
    pub restore: Option<Option<Bytes>>,
    /// Each entry with its first number.
    pub entries: Vec<(u64, EventBody)>,
}

/// What proxies have decided and the driver has not done yet. It is emptied after each call.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    transmits: VecDeque<Transmit>,
    events: VecDeque<ControlEvent>,
}

impl Effects {
    fn send(&mut self, link: LinkId, message: impl Into<Message>) {
        let frame = message.into().to_frame();
        let lane = rule(frame.kind).expect("each message has its rule in the table").lane;
        self.transmits.push_back(Transmit { link, lane, frame });
    }

    fn event(&mut self, event: ControlEvent) {
        self.events.push_back(event);
    }
}

#[cfg(test)]
mod tests;
