//! What a node that gives all its workers away can say of it: how many are gone, how many are left, and what holds up
//! those.
//!
//! Whoever waits for a node to go has one question: *why is it not done?* So each worker that is still here has a reason,
//! which names who must do something about it. The reasons follow from the state of each proxy when they are asked for;
//! only the counts are kept.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use phalanx_base::NodeId;

use super::Proxy;
use super::proxy::Claim;
use crate::ownership::{GIVING_STEP_MAX, Giving, MOVES_IN_FLIGHT_MAX, MOVES_PER_SECOND, Owners, Stage};
use crate::wire::{ClassName, TaskId};

/// How many workers are named with their reasons: as many as somebody reads. The rest is counted.
pub const BLOCKED_NAMED_MAX: usize = 16;

/// How long a worker may take to link to its next owner before that is called a failure: several times what a dial over the
/// widest network takes.
const LINK_LATE: Duration = Duration::from_secs(5);

/// What holds up a worker that shall go. The text of each says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockReason {
    /// The handler of its events has not returned, so that nobody can say where the next owner begins.
    Handler {
        /// For which task.
        task: TaskId,
        /// The task's class, whose handler it is.
        class: ClassName,
    },
    /// It has no link to its next owner.
    NotLinked {
        /// The next owner.
        receiver: NodeId,
    },
    /// The next owner does not take it.
    OfferDeclined {
        /// The next owner.
        receiver: NodeId,
    },
    /// The next owner was offered it, and has not claimed it yet.
    OfferUnanswered {
        /// The next owner.
        receiver: NodeId,
    },
    /// Nobody is there to take it. It is not waited for.
    NoReceiver,
    /// It has just begun its session, and has not told yet how far its event logs are.
    Resuming,
    /// It is linking to its next owner, which has not asked for it yet.
    Calling {
        /// The next owner.
        receiver: NodeId,
    },
    /// It has moved, and calls that were sent over its former link have no answer yet.
    CallsUnderWay {
        /// How many.
        calls: usize,
    },
    /// It waits for its turn.
    Pace,
}

impl fmt::Display for BlockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler { task, class } => write!(
                f,
                "the handler of {}'s events has not returned for task {task}: let it return, or the worker is released, and \
                 the events that the handler has in hand come again at its next owner",
                class.name
            ),
            Self::NotLinked { receiver } => write!(
                f,
                "the worker has no link to {receiver}: see that it can reach an address that {receiver} advertises"
            ),
            Self::OfferDeclined { receiver } => write!(
                f,
                "{receiver} does not take itself for its owner: it is offered again, once both see the same control nodes"
            ),
            Self::OfferUnanswered { receiver } => write!(
                f,
                "{receiver} was offered it and has not claimed it: see that {receiver} is well, and linked to this node and \
                 to the worker"
            ),
            Self::NoReceiver => write!(f, "no other control node can take it: start one, or let one join"),
            Self::Resuming => {
                write!(f, "the worker has yet to say how far its event logs are: it needs a moment")
            }
            Self::Calling { receiver } => {
                write!(f, "the worker is linking to {receiver}, which then asks for it: it needs a moment")
            }
            Self::CallsUnderWay { calls } => {
                write!(f, "it has moved, and {calls} calls wait for their answers: ten seconds at most")
            }
            Self::Pace => write!(
                f,
                "it waits for its turn: {MOVES_PER_SECOND} workers move in a second, {MOVES_IN_FLIGHT_MAX} at one time"
            ),
        }
    }
}

/// A worker that shall go and is still here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocked {
    /// What holds it up.
    pub reason: BlockReason,
    /// Which worker.
    pub worker: NodeId,
    /// For how long it has been held up so, in whole seconds.
    pub waited: Duration,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (for {} s): {}", self.worker, self.waited.as_secs(), self.reason)
    }
}

/// How far a node is that gives all its workers away. `total` is the sum of the other four counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DrainProgress {
    /// How many workers it had to give away; control nodes work too.
    pub total: usize,
    /// How many have another owner, or were sent to it since they linked anew.
    pub moved: usize,
    /// How many were lost meanwhile, or have stopped.
    pub lost: usize,
    /// How many were given up without an offer, because their time was up. They look for their owner by themselves.
    pub released: usize,
    /// How many it still hosts.
    pub left: usize,
    /// What holds up the workers that are left, and what had held up those that were released; also workers that have
    /// moved, while calls to them are under way. [`BLOCKED_NAMED_MAX`] at most, those first about which something can be
    /// done.
    pub blocked: Vec<Blocked>,
    /// It has ended. What `left` counts then stays here, since nobody is there to take it.
    pub done: bool,
}

impl DrainProgress {
    /// The sum of what several shards say. It does not say that it has ended: whoever waits for them knows.
    #[must_use]
    pub fn joined(shards: impl IntoIterator<Item = Self>) -> Self {
        let mut sum = Self::default();
        for shard in shards {
            sum.total += shard.total;
            sum.moved += shard.moved;
            sum.lost += shard.lost;
            sum.released += shard.released;
            sum.left += shard.left;
            sum.blocked.extend(shard.blocked);
        }
        sum.blocked.sort();
        sum.blocked.truncate(BLOCKED_NAMED_MAX);
        sum
    }
}

/// The workers of one shard that are named: the first ones in the order of their reasons.
#[derive(Debug, Default)]
pub(super) struct Named(BTreeSet<Blocked>);

impl Named {
    pub(super) fn add(&mut self, blocked: Blocked) {
        self.0.insert(blocked);
        if self.0.len() > BLOCKED_NAMED_MAX {
            self.0.pop_last();
        }
    }

    pub(super) fn into_vec(self) -> Vec<Blocked> {
        self.0.into_iter().collect()
    }
}

/// What has become of the workers of one shard since its node began to leave.
#[derive(Debug)]
pub(super) struct Draining {
    since: Instant,
    hosted: BTreeSet<NodeId>,
    moved: usize,
    lost: usize,
    released: usize,
    /// What had held up those that were released.
    released_why: Vec<Blocked>,
}

impl Draining {
    pub(super) fn new(now: Instant, hosted: BTreeSet<NodeId>) -> Self {
        Self { since: now, hosted, moved: 0, lost: 0, released: 0, released_why: Vec::new() }
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// A proxy may have changed.
    pub(super) fn note(&mut self, worker: &NodeId, proxy: Option<&Proxy>) {
        if proxy.is_some_and(|proxy| proxy.serving().is_some()) {
            if !self.hosted.contains(worker) {
                self.hosted.insert(worker.clone());
            }
        } else if self.hosted.remove(worker) {
            match proxy.and_then(Proxy::link_id) {
                Some(_) => self.moved += 1,
                None => self.lost += 1,
            }
        }
    }

    /// The time is up for these.
    pub(super) fn note_released(&mut self, workers: &[NodeId], why: Vec<Blocked>) {
        let released = workers.iter().filter(|worker| self.hosted.remove(*worker)).count();
        self.released += released;
        if released > 0 {
            self.released_why = why;
        }
    }

    pub(super) fn progress(&self, now: Vec<Blocked>) -> DrainProgress {
        let Self { moved, lost, released, .. } = *self;
        let left = self.hosted.len();
        let blocked = self.released_why.iter().cloned().chain(now).collect();
        DrainProgress::joined([DrainProgress {
            total: moved + lost + released + left,
            moved,
            lost,
            released,
            left,
            blocked,
            done: false,
        }])
    }
}

impl Proxy {
    /// What keeps the worker here that shall go; `since` is when that was decided.
    pub(super) fn blocked(&self, now: Instant, since: Instant, owners: &dyn Owners) -> Option<Blocked> {
        let (reason, since) = self.block_reason(now, since, owners)?;
        let waited = Duration::from_secs(now.saturating_duration_since(since).as_secs());
        Some(Blocked { reason, worker: self.worker.clone(), waited })
    }

    fn block_reason(
        &self,
        now: Instant,
        since: Instant,
        owners: &dyn Owners,
    ) -> Option<(BlockReason, Instant)> {
        let elsewhere = self.acting.as_ref().filter(|acting| !owners.is_me(&acting.node));
        match (&self.claim, elsewhere) {
            (Claim::Active(_) | Claim::Giving(..), None) => Some((BlockReason::NoReceiver, since)),
            (Claim::Giving(_, giving), Some(_)) if giving.stage() == Stage::Calling => {
                Some(self.failure().unwrap_or_else(|| self.step_reason(now, giving)))
            }
            (Claim::Giving(_, giving), Some(_)) => Some(self.step_reason(now, giving)),
            (Claim::Active(_), Some(_)) if !owners.may_give() => Some((BlockReason::NoReceiver, since)),
            (Claim::Active(_), Some(_)) => Some(self.failure().unwrap_or((BlockReason::Pace, since))),
            _ if self.in_flight.is_empty() => None,
            _ => Some((BlockReason::CallsUnderWay { calls: self.in_flight.len() }, since)),
        }
    }

    /// Why the last try to give the worker away has failed, as long as that still holds.
    fn failure(&self) -> Option<(BlockReason, Instant)> {
        match &self.failed {
            Some((BlockReason::Handler { .. } | BlockReason::Resuming, _)) => self.handler_in_hand(),
            failed => failed.clone(),
        }
    }

    fn handler_in_hand(&self) -> Option<(BlockReason, Instant)> {
        let (task, class, since) = self.followed.as_ref()?.oldest_in_hand()?;
        Some((BlockReason::Handler { task: task.clone(), class: class.clone() }, since))
    }

    /// What the present step of a handover waits for, and since when.
    pub(super) fn step_reason(&self, now: Instant, giving: &Giving) -> (BlockReason, Instant) {
        // Each step has the same time, and says when that is over.
        let since = giving.until().checked_sub(GIVING_STEP_MAX).unwrap_or(now);
        let is_late = now.saturating_duration_since(since) >= LINK_LATE;
        let receiver = giving.to().clone();
        match giving.stage() {
            Stage::Calling if is_late => (BlockReason::NotLinked { receiver }, since),
            Stage::Calling => (BlockReason::Calling { receiver }, since),
            Stage::Quieting => self.handler_in_hand().unwrap_or((BlockReason::Resuming, since)),
            Stage::Offered => (BlockReason::OfferUnanswered { receiver }, since),
        }
    }
}
