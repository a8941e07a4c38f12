//! What happens in the cluster, as one control node sees it.

use phalanx_base::{Fence, NodeId, NodeStatus};
use phalanx_jobs::WorkerChange;
use phalanx_membership::Event as MemberEvent;
use phalanx_membership::driver::Events;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterEvent {
    /// To a control node, or to the roster.
    Member(MemberEvent),
    /// To a worker whose proxy this node hosts or hosted.
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
    /// The reader was too slow: so many events were dropped.
    Missed {
        /// How many.
        count: u64,
    },
}

/// The events of a cluster, from the moment of the subscription on.
pub struct ClusterEvents {
    members: Events,
    workers: Receiver<WorkerChange>,
}

impl ClusterEvents {
    pub(crate) fn new(members: Events, workers: Receiver<WorkerChange>) -> Self {
        Self { members, workers }
    }

    /// The next event; `None` once the node has stopped. Cancellation safe.
    pub async fn next(&mut self) -> Option<ClusterEvent> {
        tokio::select! {
            biased;
            member = self.members.next() => member.map(|event| match event {
                MemberEvent::Missed(count) => ClusterEvent::Missed { count },
                event => ClusterEvent::Member(event),
            }),
            worker = self.workers.recv() => match worker {
                Ok(WorkerChange::Status { worker, status, hosted }) => {
                    Some(ClusterEvent::Worker { worker, status, hosted })
                }
                Ok(WorkerChange::Labelled { worker }) => Some(ClusterEvent::Labelled { worker }),
                Ok(WorkerChange::Redelivered { count }) => Some(ClusterEvent::Redelivered { count }),
                Ok(WorkerChange::MassFailure { lost, known }) => {
                    Some(ClusterEvent::MassFailure { lost, known })
                }
                Ok(WorkerChange::MassFailureEnded) => Some(ClusterEvent::MassFailureEnded),
                Err(RecvError::Lagged(count)) => Some(ClusterEvent::Missed { count }),
                Err(RecvError::Closed) => None,
            },
        }
    }
}
