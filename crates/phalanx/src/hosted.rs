//! Which workers this control node begins to host, and which it has ceased to.

use std::collections::{BTreeMap, BTreeSet};

use phalanx_base::{Fence, Generation, NodeId};
use phalanx_jobs::{ControlService, NodeSummary, WorkerChange};
use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

/// How many workers are looked at before what has changed is told: what follows from it is done for all of them at one time.
const BATCH_MAX: usize = 1_024;

/// What has changed about a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostedChange {
    /// This node hosts it, in a boot or under a fence in which it did not.
    Began(NodeSummary),
    /// This node does not host it any more, as it did in that boot under that fence.
    Ended(NodeId, Generation, Fence),
}

/// The changes as they come. It asks the proxies themselves, so that nothing rests on whether each word of theirs was heard.
pub(crate) struct HostedChanges {
    service: ControlService,
    changes: broadcast::Receiver<WorkerChange>,
    has_missed: bool,
    /// Who is hosted, as was told last.
    known: BTreeMap<NodeId, (Generation, Fence)>,
    /// Who is to be looked at: at most a batch, or everybody who is known.
    pending: BTreeSet<NodeId>,
    told: Vec<HostedChange>,
}

impl HostedChanges {
    /// From now on: for a node that hosts nobody yet.
    pub(crate) fn new(service: ControlService) -> Self {
        Self {
            changes: service.subscribe(),
            service,
            has_missed: false,
            known: BTreeMap::new(),
            pending: BTreeSet::new(),
            told: Vec::new(),
        }
    }

    /// The next changes, at least one; `None` once the service has stopped. Cancellation safe.
    pub(crate) async fn next(&mut self) -> Option<Vec<HostedChange>> {
        loop {
            if self.has_missed {
                let workers = self.service.workers().await;
                self.has_missed = false;
                self.pending.extend(self.known.keys().cloned());
                self.pending.extend(workers.into_iter().map(|info| info.worker));
            }
            while let Some(worker) = self.pending.first().cloned() {
                let hosted = self.service.hosted(&worker).await;
                self.pending.remove(&worker);
                self.note(worker, hosted);
            }
            if !self.told.is_empty() {
                return Some(std::mem::take(&mut self.told));
            }
            match self.changes.recv().await {
                Ok(change) => self.take(change),
                Err(RecvError::Lagged(_)) => self.has_missed = true,
                Err(RecvError::Closed) => return None,
            }
            self.take_what_waits();
        }
    }

    fn take_what_waits(&mut self) {
        while self.pending.len() < BATCH_MAX {
            match self.changes.try_recv() {
                Ok(change) => self.take(change),
                Err(TryRecvError::Lagged(_)) => self.has_missed = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn take(&mut self, change: WorkerChange) {
        if let WorkerChange::Status { worker, .. } = change {
            self.pending.insert(worker);
        }
    }

    fn note(&mut self, worker: NodeId, hosted: Option<NodeSummary>) {
        let present = hosted.as_ref().map(|summary| (summary.generation, summary.fence));
        let before = match present {
            Some(present) => self.known.insert(worker.clone(), present),
            None => self.known.remove(&worker),
        };
        match (before, hosted) {
            (before, Some(summary)) if before != present => self.told.push(HostedChange::Began(summary)),
            (Some((generation, fence)), None) => {
                self.told.push(HostedChange::Ended(worker, generation, fence));
            }
            _ => {}
        }
    }
}
