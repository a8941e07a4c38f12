//! All workers of a cluster, asked for on any control node: each control node names those that it hosts.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use phalanx_base::{Fence, Generation, Labels, NodeId, NodeStatus, Usage};
use tokio::sync::oneshot;
use tokio::time::{Duration, timeout};

use super::control::{ControlService, Local};
use super::{peers, shard};
use crate::control::ShardCore;
use crate::operations::TaskInfo;
use crate::wire::{ClassName, HostedWorker, List, Listed, PAGE_BYTES_MAX};

/// How long another control node may take for one page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many workers are asked for their tasks at one time.
const ASKED_AT_ONCE_MAX: usize = 32;

/// One worker of the cluster, as its owner knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSummary {
    /// Which worker; a control node works too.
    pub node: NodeId,
    /// Its boot.
    pub generation: Generation,
    /// The control node that hosts its proxy.
    pub owner: NodeId,
    /// Under which fence.
    pub fence: Fence,
    /// How it is.
    pub status: NodeStatus,
    /// How many tasks it runs, as it said last: up to one heartbeat ago.
    pub tasks: u32,
    /// What it is labelled with.
    pub labels: Labels,
    /// The job classes that it runs.
    pub classes: Vec<ClassName>,
    /// How full it is, as it said last.
    pub usage: Usage,
}

/// The workers of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nodes {
    /// Those that a control node hosts, in the order of their names.
    pub nodes: Vec<NodeSummary>,
    /// The control nodes that did not answer: what they host is missing.
    pub silent: Vec<NodeId>,
}

/// The tasks of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tasks {
    /// Each task that runs, with its worker, in the order of the workers' names and the tasks' ids.
    pub tasks: Vec<(NodeId, TaskInfo)>,
    /// The control nodes and workers that did not answer: what they run is missing.
    pub silent: Vec<NodeId>,
}

/// One page of a shard: its workers after a name, and whether more follow.
pub(super) fn page(core: &ShardCore, after: Option<&NodeId>) -> (Vec<HostedWorker>, bool) {
    let mut hosted = core.hosted_after(after);
    let mut bytes = 0;
    let mut page = Vec::new();
    for worker in hosted.by_ref() {
        bytes += postcard::to_stdvec(&worker).map_or(0, |encoded| encoded.len());
        page.push(worker);
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
    }
    let more = hosted.next().is_some();
    (page, more)
}

impl Local {
    /// One page of all shards. Beyond the last name of a shard that has more, another page is asked.
    pub(super) async fn page(&self, after: Option<NodeId>) -> (Vec<HostedWorker>, bool) {
        let pages = join_all(self.shards().map(|shard| {
            let after = after.clone();
            async move {
                let (reply, answer) = oneshot::channel();
                shard.send(shard::Input::Page(after, reply)).await.ok()?;
                answer.await.ok()
            }
        }));
        let pages: Vec<(Vec<HostedWorker>, bool)> = pages.await.into_iter().flatten().collect();
        join_pages(pages)
    }
}

/// One page of several: up to the name where the first of them breaks off, and as many bytes as a page may have.
fn join_pages(pages: Vec<(Vec<HostedWorker>, bool)>) -> (Vec<HostedWorker>, bool) {
    let known_to = |(page, more): &(Vec<HostedWorker>, bool)| {
        page.last().filter(|_| *more).map(|last| last.worker.clone())
    };
    let end = pages.iter().filter_map(known_to).min();
    let mut more = end.is_some();
    let mut joined: Vec<HostedWorker> = pages.into_iter().flat_map(|(page, _)| page).collect();
    joined.sort_by(|a, b| a.worker.cmp(&b.worker));
    if let Some(end) = end {
        joined.retain(|hosted| hosted.worker <= end);
    }
    let mut bytes = 0;
    let fits = joined.iter().take_while(|hosted| {
        let before = bytes;
        bytes += postcard::to_stdvec(hosted).map_or(0, |encoded| encoded.len());
        before < PAGE_BYTES_MAX
    });
    let fits = fits.count();
    more |= fits < joined.len();
    joined.truncate(fits);
    (joined, more)
}

impl ControlService {
    /// Every worker that any control node hosts. Control nodes are asked at the same time, each page by page, so that a
    /// worker which moves meanwhile may be missing; of two that claim to host it the greater fence is right.
    pub async fn nodes(&self) -> Nodes {
        let asked = self.owners().controls().into_iter().map(|control| async move {
            let hosted = self.hosted_by(&control).await;
            (control, hosted)
        });
        let mut best: BTreeMap<NodeId, NodeSummary> = BTreeMap::new();
        let mut silent = Vec::new();
        for (control, hosted) in join_all(asked).await {
            let Some(hosted) = hosted else {
                silent.push(control);
                continue;
            };
            for summary in hosted.into_iter().map(|hosted| summary(hosted, control.clone())) {
                let newer = |known: &NodeSummary| {
                    (known.generation, known.fence) < (summary.generation, summary.fence)
                };
                if best.get(&summary.node).is_none_or(newer) {
                    best.insert(summary.node.clone(), summary);
                }
            }
        }
        Nodes { nodes: best.into_values().collect(), silent }
    }

    /// What this node knows of a worker, while it hosts its proxy.
    pub async fn hosted(&self, worker: &NodeId) -> Option<NodeSummary> {
        let hosted = self.0.local.hosted(worker).await?;
        Some(summary(hosted, self.0.boot.node.clone()))
    }

    /// Every task that runs on a worker which any control node hosts.
    pub async fn tasks(&self) -> Tasks {
        let Nodes { nodes, mut silent } = self.nodes().await;
        let asked = nodes.into_iter().map(|node| async move {
            let tasks = self.worker(node.node.clone()).tasks().await;
            (node.node, tasks)
        });
        let mut answers: Vec<_> = stream::iter(asked).buffered(ASKED_AT_ONCE_MAX).collect().await;
        let mut tasks = Vec::new();
        for (node, answer) in answers.drain(..) {
            match answer {
                Ok(running) => tasks.extend(running.into_iter().map(|task| (node.clone(), task))),
                Err(_) => silent.push(node),
            }
        }
        Tasks { tasks, silent }
    }

    async fn hosted_by(&self, control: &NodeId) -> Option<Vec<HostedWorker>> {
        let mut all: Vec<HostedWorker> = Vec::new();
        loop {
            let after = all.last().map(|last| last.worker.clone());
            let (page, more) = match *control == self.0.boot.node {
                true => self.0.local.page(after).await,
                false => timeout(PAGE_TIMEOUT, self.ask_page(control, after)).await.ok()??,
            };
            let more = more && !page.is_empty();
            all.extend(page);
            if !more {
                return Some(all);
            }
        }
    }

    async fn ask_page(&self, control: &NodeId, after: Option<NodeId>) -> Option<(Vec<HostedWorker>, bool)> {
        let (reply, answer) = oneshot::channel();
        let list = List { question: self.new_id().sequence, after };
        self.0.peers.send(peers::Input::List(control.clone(), list, reply)).await.ok()?;
        let Listed { workers, more, .. } = answer.await.ok()?;
        Some((workers, more))
    }
}

fn summary(hosted: HostedWorker, owner: NodeId) -> NodeSummary {
    let HostedWorker { worker, generation, fence, status, tasks, labels, classes, usage } = hosted;
    NodeSummary { node: worker, generation, owner, fence, status, tasks, labels, classes, usage }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosted(name: &str) -> HostedWorker {
        HostedWorker {
            worker: NodeId::new(name).unwrap(),
            generation: Generation::from_u64(1),
            fence: Fence(1),
            status: NodeStatus::Ready,
            tasks: 0,
            labels: Labels::default(),
            classes: Vec::new(),
            usage: Usage::default(),
        }
    }

    fn names(page: &[HostedWorker]) -> Vec<&str> {
        page.iter().map(|hosted| hosted.worker.as_str()).collect()
    }

    #[test]
    fn a_joined_page_ends_where_a_shard_breaks_off() {
        let (page, more) =
            join_pages(vec![(vec![hosted("a"), hosted("c")], true), (vec![hosted("b"), hosted("d")], false)]);
        assert_eq!((names(&page), more), (vec!["a", "b", "c"], true));
        let (page, more) = join_pages(vec![(vec![hosted("d")], false), (vec![], false)]);
        assert_eq!((names(&page), more), (vec!["d"], false));
    }
}
