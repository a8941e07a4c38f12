//! What happens in the cluster, as one node sees it.

use bytes::Bytes;
use phalanx_base::{Fence, NodeId, NodeStatus};
use phalanx_jobs::wire::{ClassName, Instance, TaskId};
use phalanx_jobs::{EndSummary, WorkerChange, WorkerView};
use phalanx_membership::Event as MemberEvent;
use phalanx_membership::driver::Events;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::event_log::{EventLog, Read};
use crate::severed::Severed;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterEvent {
    /// To a control node, or to the roster.
    Member(MemberEvent),
    /// To a worker whose proxy this node hosts or hosted; at a worker, to itself.
    Worker {
        /// Which worker.
        worker: NodeId,
        /// How it is now.
        status: NodeStatus,
        /// Under which fence this node hosts its proxy, if it does.
        hosted: Option<Fence>,
    },
    /// A worker whose proxy this node hosts has new labels.
    Labelled {
        /// Which worker.
        worker: NodeId,
    },
    /// A worker has a task. Each owner of the worker tells it once, when it starts the task or first learns of it: so the next
    /// owner tells it again after a move, and who needs it once in the cluster looks at the task's id.
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
    /// A task has ended, which was told to have started. It is told by whoever hosts the worker then; of a worker that is lost
    /// for good nobody can tell it.
    TaskStopped {
        /// Which worker.
        worker: NodeId,
        /// Which task.
        task: TaskId,
        /// Its class.
        class: ClassName,
        /// Which attempt of which instance of a job it was, if it was one.
        instance: Option<Instance>,
        /// How it has ended: with the text of a panic, where it was one.
        end: EndSummary,
    },
    /// Events of tasks came twice after a lost link or a move, and were dropped by their number.
    Redelivered {
        /// How many.
        count: u64,
    },
    /// More than half of the workers that this node hosts, of four or more, were lost within thirty seconds without having
    /// said that they stop: rather the way to them is lost than they are, and they run on. It is said once.
    MassFailure {
        /// How many were lost.
        lost: usize,
        /// Of how many.
        known: usize,
    },
    /// Most of the workers that were lost in a mass failure are back, or have been lost for so long that they are forgotten.
    MassFailureEnded,
    /// Two or more other control nodes went down within ten seconds without having left: rather the way to them is lost than
    /// they are. Told on each side of a partition that sees it so; who sees no more than half of all knows it for certain, and
    /// tells [`MemberEvent::PartitionOccurred`] too.
    PartitionSuspected {
        /// Which; who goes down a little later is not named.
        away: Vec<NodeId>,
    },
    /// After [`ClusterEvent::PartitionSuspected`]: all of those are back, or have been removed.
    PartitionEnded,
    /// To a job that this node supervises.
    Job(phalanx_supervision::Event),
    /// A control node has published something of the user's own to every node.
    User {
        /// Which control node.
        from: NodeId,
        /// What it is about.
        name: String,
        /// The rest.
        payload: Bytes,
    },
    /// The reader was too slow, or came back too late: so many events are not kept any more.
    Missed {
        /// How many.
        count: u64,
    },
    /// The reader asked for what came after a number that this boot of this node has not given out. What happened between
    /// that and the next event is not known here.
    Gap {
        /// The number that was asked for.
        after: u64,
    },
}

impl ClusterEvent {
    /// How much of the users' own it holds.
    pub(crate) fn payload_bytes(&self) -> usize {
        match self {
            Self::User { name, payload, .. } => name.len() + payload.len(),
            _ => 0,
        }
    }
}

impl From<MemberEvent> for ClusterEvent {
    fn from(event: MemberEvent) -> Self {
        match event {
            MemberEvent::Missed(count) => Self::Missed { count },
            event => Self::Member(event),
        }
    }
}

impl From<WorkerChange> for ClusterEvent {
    fn from(change: WorkerChange) -> Self {
        match change {
            WorkerChange::Status { worker, status, hosted } => Self::Worker { worker, status, hosted },
            WorkerChange::Labelled { worker } => Self::Labelled { worker },
            WorkerChange::Redelivered { count } => Self::Redelivered { count },
            WorkerChange::MassFailure { lost, known } => Self::MassFailure { lost, known },
            WorkerChange::MassFailureEnded => Self::MassFailureEnded,
            WorkerChange::TaskStarted { worker, task, class, instance } => {
                Self::TaskStarted { worker, task, class, instance }
            }
            WorkerChange::TaskEnded { worker, task, class, instance, end } => {
                Self::TaskStopped { worker, task, class, instance, end }
            }
        }
    }
}

/// An event with its number at the node that tells it: later ones have greater numbers, also after a restart of the node
/// with its store. Other nodes number for themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedEvent {
    /// Its number; below 2^53.
    pub number: u64,
    /// When the node learnt of it, in milliseconds since the Unix epoch by its clock.
    pub unix_ms: u64,
    /// What has happened.
    pub event: ClusterEvent,
}

/// The events of a cluster as one node sees them, in their order. Each reader has a place of its own, and may be as slow as it
/// likes: the node keeps the last 16,384 events, and says how many a reader has missed.
pub struct ClusterEvents {
    log: EventLog,
    last: watch::Receiver<u64>,
    after: u64,
}

impl ClusterEvents {
    pub(crate) fn new(log: EventLog, last: watch::Receiver<u64>, after: u64) -> Self {
        Self { log, last, after }
    }

    /// The next event; `None` once the node has stopped. Cancellation safe.
    pub async fn next(&mut self) -> Option<ClusterEvent> {
        Some(self.next_numbered().await?.event)
    }

    /// The next event with its number, which [`subscribe_since`](crate::Control::subscribe_since) takes; `None` once the node
    /// has stopped. Cancellation safe.
    pub async fn next_numbered(&mut self) -> Option<NumberedEvent> {
        loop {
            self.last.mark_unchanged();
            match self.log.read(self.after) {
                Read::Event(event) => {
                    self.after = event.number;
                    return Some(event);
                }
                Read::Closed => return None,
                // The log lives as long as this reader, so that this waits until something has changed.
                Read::Nothing => drop(self.last.changed().await),
            }
        }
    }
}

/// Writes down what happens at a control node, until it stops.
pub(crate) async fn record_control(
    log: EventLog,
    mut members: Events,
    mut workers: broadcast::Receiver<WorkerChange>,
) {
    let _closes = CloseOnDrop(log.clone());
    let mut severed = Severed::default();
    loop {
        tokio::select! {
            biased;
            member = members.next() => {
                let Some(event) = member else { return };
                let follows = severed.handle(Instant::now(), &event);
                log.push(event.into());
                follows.into_iter().for_each(|event| log.push(event));
            }
            worker = workers.recv() => match worker {
                Ok(change) => log.push(change.into()),
                Err(RecvError::Lagged(count)) => log.push(ClusterEvent::Missed { count }),
                Err(RecvError::Closed) => return,
            },
        }
    }
}

/// Writes down how a worker is, until it stops.
pub(crate) async fn record_worker(log: EventLog, worker: NodeId, mut view: watch::Receiver<WorkerView>) {
    let _closes = CloseOnDrop(log.clone());
    let mut told = None;
    loop {
        let status = view.borrow_and_update().status;
        if told.replace(status) != Some(status) {
            log.push(ClusterEvent::Worker { worker: worker.clone(), status, hosted: None });
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

/// Whoever writes the log closes it, also where it is ended in the middle.
struct CloseOnDrop(EventLog);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
