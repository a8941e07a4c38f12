//! Where the proxy of each worker is, as all control nodes know it.
//!
//! Who hosts a worker writes it down under the worker's name, ordered by the worker's boot and the fence: the latest is right,
//! whatever comes late. So a worker that moves costs one write; who had it before leaves its own record to the greater one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use phalanx_base::{Fence, Generation, NodeId};
use phalanx_jobs::{ControlService, Directory, LOST_PROXY_KEPT};
use phalanx_metadata::{Entry, Key, Order, Rule};
use tokio::time::Instant;

use crate::hosted::{HostedChange, HostedChanges};
use crate::metadata::{MetadataHandle, Ordered, until};
use crate::tables::{Declared, Mirror, table};

/// The greatest boot and fence wins. A record has no content: whose log it stands in says where the worker is.
pub(crate) const TABLE: Declared = ("locations", Rule::Greatest);

/// How many workers that are hosted here no more wait until their records are removed: as many as a shard has proxies. Of
/// one more the oldest record stays, which costs one question.
const LOST_MAX: usize = 65_536;

fn key_of(worker: &NodeId) -> Key {
    Key::of_node(table(TABLE.0), worker)
}

fn order_of(generation: Generation, fence: Fence) -> Order {
    Order(generation.as_u64(), fence.0)
}

/// Who hosts whom, as this node knows it: ready for each call.
#[derive(Default)]
pub(crate) struct Locations(RwLock<BTreeMap<NodeId, NodeId>>);

impl Directory for Locations {
    fn location(&self, worker: &NodeId) -> Option<NodeId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(worker).cloned()
    }
}

impl Mirror for Locations {
    fn changed(&self, name: &str, entry: Option<Entry<'_>>) {
        let Ok(worker) = NodeId::new(name) else { return };
        let mut locations = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match entry {
            Some(entry) => drop(locations.insert(worker, entry.origin.node.clone())),
            None => drop(locations.remove(&worker)),
        }
    }

    fn replaced(&self, entries: &mut dyn Iterator<Item = Entry<'_>>) {
        let all = entries.filter_map(|entry| {
            let worker = NodeId::new(entry.key.name()).ok()?;
            Some((worker, entry.origin.node.clone()))
        });
        let all = all.collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
    }
}

/// A worker that was hosted here until then.
struct Lost {
    at: Instant,
    worker: NodeId,
    order: Order,
}

/// What follows from who is hosted here.
#[derive(Default)]
struct Records {
    /// In the order in which they were lost.
    lost: VecDeque<Lost>,
}

/// Writes down whom this node hosts.
pub(crate) struct Locating {
    metadata: MetadataHandle,
    hosted: HostedChanges,
    records: Records,
}

impl Locating {
    pub(crate) fn new(metadata: MetadataHandle, service: ControlService) -> Self {
        Self { metadata, hosted: HostedChanges::new(service), records: Records::default() }
    }

    /// Writes until the node stops.
    pub(crate) async fn run(mut self) {
        loop {
            let remove_at = self.records.remove_at();
            let writes = tokio::select! {
                biased;
                changes = self.hosted.next() => match changes {
                    Some(changes) => self.records.take(Instant::now(), changes),
                    None => return,
                },
                () = until(remove_at) => self.records.removals(Instant::now()),
            };
            if let Err(error) = self.metadata.write_ordered(writes).await {
                tracing::warn!(%error, "other control nodes have to ask where some workers are");
            }
        }
    }
}

impl Records {
    /// When there is something to remove.
    fn remove_at(&self) -> Option<Instant> {
        self.lost.front().map(|lost| lost.at + LOST_PROXY_KEPT)
    }

    /// What to write.
    fn take(&mut self, now: Instant, changes: Vec<HostedChange>) -> Vec<Ordered> {
        let mut writes = Vec::new();
        for change in changes {
            match change {
                HostedChange::Began(worker) => {
                    let order = order_of(worker.generation, worker.fence);
                    writes.push(Ordered { key: key_of(&worker.node), order, value: Some(Bytes::new()) });
                }
                HostedChange::Ended(worker, generation, fence) => {
                    if self.lost.len() >= LOST_MAX {
                        self.lost.pop_front();
                    }
                    self.lost.push_back(Lost { at: now, worker, order: order_of(generation, fence) });
                }
            }
        }
        writes
    }

    /// Takes back what was written of workers that have not come back for as long as their proxies are kept. Where one is hosted
    /// again, here or elsewhere, its record has a greater order and stays.
    fn removals(&mut self, now: Instant) -> Vec<Ordered> {
        let mut removals = Vec::new();
        while let Some(lost) = self.lost.pop_front_if(|lost| lost.at + LOST_PROXY_KEPT <= now) {
            removals.push(Ordered { key: key_of(&lost.worker), order: lost.order, value: None });
        }
        removals
    }
}

/// The copy of the table, empty as yet.
pub(crate) fn directory() -> Arc<Locations> {
    Arc::default()
}

#[cfg(test)]
#[path = "locations_tests.rs"]
mod tests;
