//! Supervises this control node's share of the jobs: takes in what is written of them and how the workers are, and does
//! what the core decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;
use phalanx_base::{Boot, Generation, NodeId};
use phalanx_jobs::wire::TaskId;
use phalanx_jobs::{ControlService, Nodes};
use phalanx_membership::ClusterView;
use phalanx_metadata::Key;
use phalanx_supervision::{
    Action, End, Event, InstanceName, InstanceRecord, JobName, Listing, StartFailure, Supervisor, Tag,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::Surroundings;
use super::acting::{self, Start};
use super::records::{self, Stored};
use super::workers::Workers;
use crate::cluster::Ownership;
use crate::event_log::EventLog;
use crate::events::ClusterEvent;
use crate::metadata::MetadataHandle;

/// How often the whole cluster is looked at while there are jobs to supervise.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long changes of what is written are gathered before it is read: a rollout writes much at one time.
const READ_PAUSE: Duration = Duration::from_millis(50);

/// How long a record that was not written waits to be written again.
const WRITE_RETRY: Duration = Duration::from_secs(2);

/// What was done.
enum Done {
    Read(BTreeMap<JobName, Stored>, BTreeMap<JobName, Vec<InstanceRecord>>),
    Looked(Nodes),
    Recorded(JobName, InstanceName, u64),
    Started(Tag, NodeId, Generation, Result<TaskId, StartFailure>),
    /// `None`: nobody waits for it any more.
    Ended(Tag, NodeId, Option<End>),
    Listed(NodeId, u64, Option<Listing>),
    Nothing,
}

/// The task that supervises.
pub(crate) struct Supervising {
    core: Supervisor,
    me: Boot,
    metadata: MetadataHandle,
    service: ControlService,
    ownership: watch::Receiver<Ownership>,
    view: watch::Receiver<Arc<ClusterView>>,
    changes: watch::Receiver<u64>,
    forgotten: mpsc::Receiver<NodeId>,
    log: EventLog,
    workers: Workers,
    mine: BTreeSet<JobName>,
    followed: BTreeMap<Tag, AbortHandle>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    read_at: Option<Instant>,
    look_at: Option<Instant>,
}

impl Supervising {
    pub(super) fn new(
        metadata: MetadataHandle,
        around: Surroundings,
        forgotten: mpsc::Receiver<NodeId>,
    ) -> Self {
        let Surroundings { service, ownership, view, log, entropy } = around;
        let me = view.borrow().local.clone();
        Self {
            core: Supervisor::new(Instant::now().into_std(), entropy.bits64()),
            me,
            changes: metadata.changes(),
            metadata,
            service,
            ownership,
            view,
            forgotten,
            log,
            workers: Workers::default(),
            mine: BTreeSet::new(),
            followed: BTreeMap::new(),
            work: FuturesUnordered::new(),
            read_at: Some(Instant::now()),
            look_at: None,
        }
    }

    /// Supervises until the node stops.
    pub(crate) async fn run(mut self) {
        while self.turn().await {}
    }

    async fn turn(&mut self) -> bool {
        let core = self.core.poll_timeout().map(Instant::from_std);
        let timeout = [core, self.read_at, self.look_at].into_iter().flatten().min();
        let mut read_soon = false;
        tokio::select! {
            biased;
            Some(done) = self.work.next() => self.handle(done),
            Some(node) = self.forgotten.recv() => self.core.handle_node_removed(now(), &node),
            changed = self.changes.changed() => match changed {
                Ok(()) => read_soon = true,
                Err(_) => return false,
            },
            changed = self.ownership.changed() => match changed {
                Ok(()) => read_soon = true,
                Err(_) => return false,
            },
            changed = self.view.changed() => match changed {
                Ok(()) => read_soon = true,
                Err(_) => return false,
            },
            () = until(timeout) => self.handle_time(),
        }
        if read_soon {
            self.read_at.get_or_insert(Instant::now() + READ_PAUSE);
        }
        self.act();
        true
    }

    fn handle_time(&mut self) {
        let now = Instant::now();
        if self.read_at.is_some_and(|at| at <= now) {
            self.read_at = None;
            let metadata = self.metadata.clone();
            self.work.push(Box::pin(async move {
                let (jobs, instances) = records::read(&metadata).await;
                Done::Read(jobs, instances)
            }));
        }
        if self.look_at.is_some_and(|at| at <= now) {
            // Set anew when the answers are there.
            self.look_at = None;
            let service = self.service.clone();
            self.work.push(Box::pin(async move { Done::Looked(service.nodes().await) }));
        }
        self.core.handle_timeout(now.into_std());
    }

    fn handle(&mut self, done: Done) {
        match done {
            Done::Read(jobs, instances) => self.handle_read(jobs, instances),
            Done::Looked(nodes) => self.handle_nodes(nodes),
            Done::Recorded(job, instance, revision) => {
                self.core.handle_recorded(now(), &job, &instance, revision);
            }
            Done::Started(tag, node, generation, answer) => {
                if let Ok(task) = &answer {
                    self.follow(tag.clone(), node, generation, task.clone());
                }
                self.core.handle_started(now(), &tag, answer.map(|task| acting::name_of(&task)));
            }
            Done::Ended(tag, node, end) => {
                // One that was let go has a successor under the same tag, or none.
                if let Some(end) = end {
                    self.followed.remove(&tag);
                    self.core.handle_ended(now(), &tag, &node, end);
                }
            }
            Done::Listed(node, listing, answer) => {
                for found in answer.iter().flat_map(|answer| &answer.tasks) {
                    if let (None, Some(task), Some(answer)) =
                        (&found.end, acting::task_of(&found.task), &answer)
                    {
                        self.follow(found.tag.clone(), node.clone(), answer.generation, task);
                    }
                }
                self.core.handle_listing(now(), &node, listing, answer);
            }
            Done::Nothing => {}
        }
    }

    /// Takes this node's share of the jobs, and lets go of the rest. Without a majority it has none: the others have it.
    fn handle_read(
        &mut self,
        jobs: BTreeMap<JobName, Stored>,
        mut instances: BTreeMap<JobName, Vec<InstanceRecord>>,
    ) {
        let now = now();
        let majority = self.view.borrow_and_update().majority;
        let ownership = self.ownership.borrow_and_update().clone();
        let is_mine = |name: &JobName| {
            majority && ownership.acting_owner(&place_of(name)).as_ref() == Some(&self.me.node)
        };
        let mine: BTreeSet<JobName> = jobs.keys().filter(|name| is_mine(name)).cloned().collect();
        for released in self.mine.difference(&mine) {
            self.core.handle_release(released);
            let of_it = |tag: &Tag| tag.job == *released;
            self.followed.iter().filter(|(tag, _)| of_it(tag)).for_each(|(_, abort)| abort.abort());
            self.followed.retain(|tag, _| !of_it(tag));
        }
        self.core.handle_may_replace(now, self.may_replace());
        for (name, stored) in jobs.into_iter().filter(|(name, _)| mine.contains(name)) {
            let (spec, is_removed) = match stored {
                Stored::Job(spec) => (spec, false),
                Stored::Removing(spec) => (spec, true),
            };
            let records = instances.remove(&name).unwrap_or_default();
            match self.core.handle_job(now, spec, records) {
                Ok(()) if is_removed => self.core.handle_job_removed(now, &name),
                Ok(()) => {}
                Err(error) => tracing::debug!(job = %name, %error, "a job is left as it is"),
            }
        }
        if self.mine != mine {
            tracing::debug!(jobs = ?mine, "this node's share of the jobs");
        }
        self.mine = mine;
        if !self.mine.is_empty() && self.look_at.is_none() {
            self.look_at = Some(Instant::now());
        }
    }

    fn may_replace(&self) -> bool {
        self.service.may_replace() && !self.workers.has_mass_failure()
    }

    fn handle_nodes(&mut self, mut nodes: Nodes) {
        // A control node that is down hosts nobody: whom it hosted is elsewhere by now, or lost.
        let view = self.view.borrow().clone();
        nodes.silent.retain(|control| view.is_alive(control));
        let changes = self.workers.look(Instant::now(), nodes);
        let now = now();
        self.core.handle_may_replace(now, self.may_replace());
        for report in changes.there {
            self.core.handle_node(now, report);
        }
        for node in changes.lost {
            self.core.handle_node_lost(now, &node);
        }
        self.look_at = (!self.mine.is_empty()).then(|| Instant::now() + LOOK_INTERVAL);
    }

    /// Does what the core decides, and tells what has happened.
    fn act(&mut self) {
        while let Some(action) = self.core.poll_action() {
            match action {
                Action::Record(record) => self.record(*record),
                Action::Forget(record) => {
                    let key = records::instance_key(&record.job, &record.instance);
                    self.remove(key);
                }
                Action::Start { tag, node, generation, class, body, stop_after } => {
                    let worker = self.service.worker(node.clone());
                    self.work.push(Box::pin(async move {
                        let start = Start { tag: tag.clone(), generation, class, body, stop_after };
                        let answer = acting::start(worker, start).await;
                        Done::Started(tag, node, generation, answer)
                    }));
                }
                Action::Stop { tag: _, node, task, grace } => {
                    let Some(task) = acting::task_of(&task) else { continue };
                    let worker = self.service.worker(node);
                    self.work.push(Box::pin(async move {
                        // Repeated by the core where nothing comes of it.
                        if let Err(error) = worker.stop_task(&task, grace).await {
                            tracing::debug!(%task, %error, "a task was not told to stop");
                        }
                        Done::Nothing
                    }));
                }
                Action::List { node, listing, known } => {
                    let work = acting::list(self.service.clone(), node.clone(), known);
                    self.work.push(Box::pin(async move { Done::Listed(node, listing, work.await) }));
                }
            }
        }
        while let Some(event) = self.core.poll_event() {
            tracing::debug!(?event, "a job");
            if let Event::JobRemoved { job } = &event {
                self.remove(records::job_key(job));
            }
            self.log.push(ClusterEvent::Job(event));
        }
    }

    /// Writes a record down, and again where that fails: what follows waits for it.
    fn record(&mut self, record: InstanceRecord) {
        let metadata = self.metadata.clone();
        self.work.push(Box::pin(async move {
            let InstanceRecord { job, instance, revision, .. } = record.clone();
            let (key, value) = (records::instance_key(&job, &instance), records::encode(&record));
            while let Err(error) = metadata.set(key.clone(), value.clone()).await {
                tracing::warn!(%job, %error, "what became of a job cannot be written down: it is tried again");
                sleep(WRITE_RETRY).await;
            }
            Done::Recorded(job, instance, revision)
        }));
    }

    fn remove(&mut self, key: Key) {
        let metadata = self.metadata.clone();
        self.work.push(Box::pin(async move {
            if let Err(error) = metadata.remove(key).await {
                tracing::warn!(%error, "what is over stays written down");
            }
            Done::Nothing
        }));
    }

    /// Follows a task to its end. Who has followed it so far, perhaps in an earlier boot of its worker, is let go.
    fn follow(&mut self, tag: Tag, node: NodeId, generation: Generation, task: TaskId) {
        if !self.mine.contains(&tag.job) {
            return;
        }
        let (work, abort) = abortable(acting::follow(self.service.worker(node.clone()), task, generation));
        if let Some(former) = self.followed.insert(tag.clone(), abort) {
            former.abort();
        }
        self.work.push(Box::pin(async move { Done::Ended(tag, node, work.await.ok()) }));
    }
}

/// Where a job is in the ring: its name as if it were a node's, so that each job has an owner, and standbys, as a worker has.
fn place_of(job: &JobName) -> NodeId {
    let hash = blake3::hash(job.as_str().as_bytes());
    let mut bits = [0; 16];
    bits.copy_from_slice(&hash.as_bytes()[..16]);
    NodeId::from_bits(u128::from_le_bytes(bits))
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
