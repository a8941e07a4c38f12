//! Tasks that run and should not: older attempts that came back with their worker, and second ones of the same attempt.

use std::collections::BTreeMap;
use std::time::Instant;

use phalanx_base::NodeId;

use crate::name::{Attempt, InstanceName};
use crate::record::TaskName;

/// How many strays of one job are known at one time; the others are found by a later listing.
pub(crate) const STRAYS_MAX: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Stray {
    pub(crate) task: TaskName,
    /// When it is next told to stop.
    pub(crate) stop_at: Instant,
    /// A listing with a greater number that does not show it says that it is gone.
    seen: u64,
}

/// Which instance, which attempt, where.
pub(crate) type StrayName = (InstanceName, Attempt, NodeId);

#[derive(Debug, Default)]
pub(crate) struct Strays(BTreeMap<StrayName, Stray>);

impl Strays {
    pub(crate) fn add(&mut self, now: Instant, name: StrayName, task: TaskName, seen: u64) {
        if let Some(stray) = self.0.get_mut(&name) {
            (stray.task, stray.seen) = (task, seen);
        } else if self.0.len() < STRAYS_MAX {
            self.0.insert(name, Stray { task, stop_at: now, seen });
        }
    }

    pub(crate) fn remove(&mut self, name: &StrayName) {
        self.0.remove(name);
    }

    pub(crate) fn retain_not_at(&mut self, node: &NodeId) {
        self.0.retain(|(.., at), _| at != node);
    }

    /// A listing of a worker is complete: what it did not show is gone.
    pub(crate) fn handle_listed(&mut self, node: &NodeId, listing: u64) {
        self.0.retain(|(.., at), stray| at != node || stray.seen >= listing);
    }

    pub(crate) fn has(&self, instance: &InstanceName) -> bool {
        let first = self.0.keys().find(|(name, ..)| name >= instance);
        first.is_some_and(|(name, ..)| name == instance)
    }

    pub(crate) fn contains(&self, name: &StrayName) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&StrayName, &mut Stray)> {
        self.0.iter_mut()
    }
}
