//! Labels that an operator has given to a worker, and that stay.
//!
//! What was written is the same at all control nodes. Whoever hosts the worker gives it the labels, and nobody else does, so
//! that of two writes the later one is what the worker has in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use phalanx_base::{Labels, NodeId};
use phalanx_jobs::ControlService;
use phalanx_metadata::{Entry, Key, Rule};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::hosted::{HostedChange, HostedChanges};
use crate::metadata::{MetadataHandle, SetError};
use crate::tables::{Declared, Mirror, table};

/// Whoever writes last wins.
pub(crate) const TABLE: Declared = ("labels", Rule::LastWriter);

/// How many workers are labelled at one time: one that does not answer holds up nobody, and a thousand do not flood a node.
const AT_ONCE_MAX: usize = 32;

/// How long a worker that could not be labelled is left alone.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Why labels were not written down. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the labels cannot be written down: {0}")]
pub struct LabelsChangeError(String);

impl From<SetError> for LabelsChangeError {
    fn from(error: SetError) -> Self {
        Self(error.to_string())
    }
}

/// What operators have labelled workers with, at any control node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Labelling(MetadataHandle);

impl Labelling {
    pub(crate) fn new(metadata: MetadataHandle) -> Self {
        Self(metadata)
    }

    pub(crate) async fn set(&self, worker: &NodeId, labels: &Labels) -> Result<(), LabelsChangeError> {
        let value = postcard::to_stdvec(labels).expect("labels are a text, which always encodes");
        Ok(self.0.set(key_of(worker), value.into()).await?)
    }

    pub(crate) async fn clear(&self, worker: &NodeId) -> Result<(), LabelsChangeError> {
        Ok(self.0.remove(key_of(worker)).await?)
    }

    /// What cannot be read, as from a later version of the program, counts as nothing.
    pub(crate) async fn of(&self, worker: &NodeId) -> Option<Labels> {
        postcard::from_bytes(&self.0.value(key_of(worker)).await?).ok()
    }
}

fn key_of(worker: &NodeId) -> Key {
    Key::of_node(table(TABLE.0), worker)
}

/// The workers whose labels were written, by anybody, and that were not looked at since: no more than the table has keys.
#[derive(Default)]
pub(crate) struct Written {
    workers: Mutex<BTreeSet<NodeId>>,
    wake: Notify,
}

impl Written {
    fn add(&self, names: impl Iterator<Item = NodeId>) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
        self.wake.notify_one();
    }

    /// Waits until there are some. Cancellation safe.
    async fn next(&self) -> BTreeSet<NodeId> {
        loop {
            let workers = std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
            if !workers.is_empty() {
                return workers;
            }
            self.wake.notified().await;
        }
    }
}

impl Mirror for Written {
    /// Who is not labelled any more keeps what it has until it starts again.
    fn changed(&self, name: &str, entry: Option<Entry<'_>>) {
        self.add(entry.and_then(|_| NodeId::new(name).ok()).into_iter());
    }

    fn replaced(&self, entries: &mut dyn Iterator<Item = Entry<'_>>) {
        self.add(entries.filter_map(|entry| NodeId::new(entry.key.name()).ok()));
    }
}

/// Gives the workers of this node the labels that are written.
pub(crate) struct Applying {
    labelling: Labelling,
    service: ControlService,
    written: Arc<Written>,
    hosted: HostedChanges,
    /// Who is to be labelled, with the labels that it is known to have: none where something was written since. Only who is
    /// in the table or has just come.
    waiting: BTreeMap<NodeId, Option<Labels>>,
    under_way: BTreeSet<NodeId>,
    work: FuturesUnordered<BoxFuture<'static, NodeId>>,
}

impl Applying {
    pub(crate) fn new(labelling: Labelling, service: ControlService, written: Arc<Written>) -> Self {
        Self {
            labelling,
            hosted: HostedChanges::new(service.clone()),
            service,
            written,
            waiting: BTreeMap::new(),
            under_way: BTreeSet::new(),
            work: FuturesUnordered::new(),
        }
    }

    /// Labels workers until the node stops.
    pub(crate) async fn run(mut self) {
        let written = self.written.clone();
        loop {
            tokio::select! {
                biased;
                Some(worker) = self.work.next() => drop(self.under_way.remove(&worker)),
                workers = written.next() => {
                    self.waiting.extend(workers.into_iter().map(|worker| (worker, None)));
                }
                changes = self.hosted.next() => match changes {
                    Some(changes) => self.take(changes),
                    None => return,
                },
            }
            self.start();
        }
    }

    fn take(&mut self, changes: Vec<HostedChange>) {
        for change in changes {
            if let HostedChange::Began(worker) = change {
                self.waiting.entry(worker.node).or_insert(Some(worker.labels));
            }
        }
    }

    /// Begins with as many as may be under way; of each worker only one at a time, so that the later labels come later.
    fn start(&mut self) {
        let free = AT_ONCE_MAX.saturating_sub(self.under_way.len());
        let ready = self.waiting.keys().filter(|worker| !self.under_way.contains(worker));
        for worker in ready.take(free).cloned().collect::<Vec<_>>() {
            let Some(known) = self.waiting.remove(&worker) else { continue };
            self.under_way.insert(worker.clone());
            let (labelling, service) = (self.labelling.clone(), self.service.clone());
            self.work.push(Box::pin(async move {
                apply(&labelling, &service, &worker, known).await;
                worker
            }));
        }
    }
}

/// Labels a worker until it has what is written, or is hosted here no more: then whoever hosts it does it.
async fn apply(labelling: &Labelling, service: &ControlService, worker: &NodeId, mut known: Option<Labels>) {
    while service.hosted(worker).await.is_some() {
        let Some(labels) = labelling.of(worker).await else { return };
        // It is read again after each success: something else may have been written meanwhile.
        if known.as_ref() == Some(&labels) {
            return;
        }
        match service.worker(worker.clone()).set_labels(labels.clone()).await {
            Ok(()) => known = Some(labels),
            Err(error) => {
                tracing::debug!(%worker, %error, "a worker has not got its labels: it is tried again");
                sleep(RETRY_PAUSE).await;
            }
        }
    }
}
