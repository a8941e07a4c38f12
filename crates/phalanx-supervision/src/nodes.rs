//! The workers, and which of them have to be asked what they run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use phalanx_base::{Generation, NodeId, NodeStatus};

use crate::node::NodeReport;

/// How many workers are known at most: twice what a cluster is made for. More are not looked at.
pub const NODES_MAX: usize = 200_000;

/// How many workers are asked at one time what they run: after a loss of many, their answers do not come all at once.
pub const LISTINGS_IN_FLIGHT_MAX: usize = 64;

/// After what time a worker that could not be asked is asked again.
pub const LISTING_RETRY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) report: NodeReport,
    pub(crate) lost_since: Option<Instant>,
    /// How many tasks were sent to it since its last report.
    pub(crate) sent: u32,
    asked: Option<u64>,
    retry_at: Option<Instant>,
}

impl Node {
    pub(crate) fn status(&self) -> NodeStatus {
        if self.lost_since.is_some() { NodeStatus::NotConnected } else { self.report.status }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.status() != NodeStatus::NotConnected
    }
}

/// What a report says that the one before did not.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Only how full it is.
    Load,
    /// How it is, what it has or is labelled with.
    Fitness,
    /// It is new or back, or has started anew.
    Presence,
}

#[derive(Debug, Default)]
pub(crate) struct Nodes {
    table: BTreeMap<NodeId, Node>,
    /// Who has to be asked what it runs.
    to_list: BTreeSet<NodeId>,
    /// The number of the last listing that was asked for.
    listings: u64,
    in_flight: usize,
}

impl Nodes {
    pub(crate) fn node(&self, node: &NodeId) -> Option<&Node> {
        self.table.get(node)
    }

    /// The number of the last listing that was asked for.
    pub(crate) fn listings(&self) -> u64 {
        self.listings
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, &Node)> + Clone {
        self.table.iter()
    }

    /// Whether this boot of a worker can be reached.
    pub(crate) fn is_connected(&self, node: &NodeId, generation: Generation) -> bool {
        self.node(node).is_some_and(|node| node.is_connected() && node.report.generation == generation)
    }

    /// A worker reports; `None` where there are too many. A report of an earlier boot says nothing.
    pub(crate) fn report(&mut self, report: NodeReport) -> Option<Change> {
        let Some(node) = self.table.get_mut(&report.node) else {
            if self.table.len() >= NODES_MAX {
                return None;
            }
            let name = report.node.clone();
            let node = Node { report, lost_since: None, sent: 0, asked: None, retry_at: None };
            self.table.insert(name, node);
            return Some(Change::Presence);
        };
        if report.generation < node.report.generation {
            return Some(Change::Load);
        }
        let was_connected = node.is_connected();
        let is_new_boot = report.generation != node.report.generation;
        let is_as_fit = (report.status, &report.labels, &report.classes)
            == (node.report.status, &node.report.labels, &node.report.classes);
        if report.status != NodeStatus::NotConnected {
            node.lost_since = None;
        }
        (node.report, node.sent) = (report, 0);
        if node.is_connected() && (!was_connected || is_new_boot) {
            // What it runs is asked anew, whatever was asked before.
            self.in_flight -= usize::from(node.asked.take().is_some());
            node.retry_at = None;
            self.to_list.insert(node.report.node.clone());
            return Some(Change::Presence);
        }
        Some(if is_as_fit { Change::Load } else { Change::Fitness })
    }

    /// A worker is lost. Whether that is news.
    pub(crate) fn lose(&mut self, now: Instant, name: &NodeId) -> bool {
        let Some(node) = self.table.get_mut(name).filter(|node| node.lost_since.is_none()) else {
            return false;
        };
        node.lost_since = Some(now);
        self.in_flight -= usize::from(node.asked.take().is_some());
        true
    }

    pub(crate) fn remove(&mut self, name: &NodeId) {
        if let Some(node) = self.table.remove(name) {
            self.in_flight -= usize::from(node.asked.is_some());
            self.to_list.remove(name);
        }
    }

    /// A task is sent to a worker.
    pub(crate) fn count_sent(&mut self, name: &NodeId) {
        if let Some(node) = self.table.get_mut(name) {
            node.sent = node.sent.saturating_add(1);
        }
    }

    /// A worker has to be asked what it runs. What is in doubt now is resolved by a listing above the number that is returned.
    pub(crate) fn need_listing(&mut self, name: &NodeId) -> u64 {
        if self.table.contains_key(name) {
            self.to_list.insert(name.clone());
        }
        self.listings
    }

    /// The next listing to ask for.
    pub(crate) fn ask(&mut self, now: Instant) -> Option<(NodeId, u64)> {
        if self.in_flight >= LISTINGS_IN_FLIGHT_MAX {
            return None;
        }
        let is_due = |name: &&NodeId| {
            let due = |node: &Node| {
                node.asked.is_none() && node.is_connected() && node.retry_at.is_none_or(|at| at <= now)
            };
            self.table.get(*name).is_some_and(due)
        };
        let name = self.to_list.iter().find(is_due)?.clone();
        self.to_list.remove(&name);
        let node = self.table.get_mut(&name)?;
        self.listings += 1;
        self.in_flight += 1;
        (node.asked, node.retry_at) = (Some(self.listings), None);
        Some((name, self.listings))
    }

    /// A listing was answered, or failed. Whether it is the one that was asked for.
    pub(crate) fn answer(&mut self, now: Instant, name: &NodeId, listing: u64, is_complete: bool) -> bool {
        let asked = |node: &&mut Node| node.asked == Some(listing);
        let Some(node) = self.table.get_mut(name).filter(asked) else { return false };
        node.asked = None;
        self.in_flight -= 1;
        if !is_complete {
            node.retry_at = Some(now + LISTING_RETRY);
            self.to_list.insert(name.clone());
        }
        true
    }

    /// When the next listing is due that waits for its time.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.in_flight >= LISTINGS_IN_FLIGHT_MAX {
            return None;
        }
        let waiting = self.to_list.iter().filter_map(|name| self.table.get(name));
        waiting
            .filter(|node| node.asked.is_none() && node.is_connected())
            .filter_map(|node| node.retry_at)
            .min()
    }
}
