//! A control node's service: shards of proxies, calls between control nodes, and the calls of this node's users.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use phalanx_base::{Boot, Fence, Generation, NodeId, NodeStatus, Role, Spawn};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::call::Locations;
use super::entrance::Entrance;
use super::shard::{Serving, Shard, ShardSettings};
use super::worker_handle::WorkerHandle;
use super::{INBOX_MAX, mass, now, peers, shard};
use crate::carrier::{Carrier, Stream};
use crate::config::Config;
use crate::control::{LossCounts, ProxyCall};
use crate::lifecycle::EndSummary;
use crate::outcome::{Outcome, Reason};
use crate::ownership::{Directory, Owners};
use crate::registry::EventHandlers;
use crate::session::LinkId;
use crate::wire::{CallId, ClassName, HostedWorker, Hosting, Instance, TaskId};

/// How many changes a slow subscriber may be behind before it is told that it has missed some.
const CHANGES_MAX: usize = 4_096;

/// How long a roster is new: less than the patience of a call, so that a worker which nobody knows is said to be so in
/// the end.
const NEW_ROSTER: Duration = Duration::from_secs(3);

/// What a control node's service runs with.
pub struct ControlConfig {
    /// This node and its boot: the callers' half of every id that it makes.
    pub boot: Boot,
    /// Timing and caps.
    pub config: Config,
    /// How many shards the proxies are spread over; one a core is right.
    pub shards: usize,
    /// What becomes of events.
    pub handlers: EventHandlers,
    /// Who owns whom, to begin with.
    pub owners: Arc<dyn Owners>,
    /// Who is said to host whom; [`NoDirectory`](crate::NoDirectory) where nobody says it.
    pub directory: Arc<dyn Directory>,
    /// How it starts work.
    pub spawn: Arc<dyn Spawn>,
}

/// What has changed about the workers whose proxies this node hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerChange {
    /// How a worker is now.
    Status {
        /// Which worker.
        worker: NodeId,
        /// How it is; `NotConnected` when its link is lost.
        status: NodeStatus,
        /// Under which fence this node hosts its proxy, if it does.
        hosted: Option<Fence>,
    },
    /// A worker has new labels.
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
    /// A task has ended that this node has told to have started. It is told by whoever is the owner then, once; of a worker
    /// that is lost for good nobody can tell it.
    TaskEnded {
        /// Which worker.
        worker: NodeId,
        /// Which task.
        task: TaskId,
        /// Its class.
        class: ClassName,
        /// Which attempt of which instance of a job it was, if it was one.
        instance: Option<Instance>,
        /// How. `Lost` when the worker has started anew since.
        end: EndSummary,
    },
    /// Events came twice after a lost link or a move, and were dropped by their number.
    Redelivered {
        /// How many.
        count: u64,
    },
    /// More than half of the workers that this node hosts, of four or more, were lost within thirty seconds without having
    /// said that they stop: rather the way to them is lost than they are. It is said once, and lasts until
    /// [`WorkerChange::MassFailureEnded`].
    MassFailure {
        /// How many were lost.
        lost: usize,
        /// Of how many.
        known: usize,
    },
    /// Most of the workers that were lost in a mass failure are back, or forgotten since they have been lost for so long.
    MassFailureEnded,
}

/// One worker that this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerInfo {
    /// Which worker.
    pub worker: NodeId,
    /// How it is.
    pub status: NodeStatus,
    /// Under which fence this node hosts its proxy, if it does.
    pub hosted: Option<Fence>,
}

/// The shards of this node, for whoever needs a proxy.
#[derive(Clone)]
pub(super) struct Local {
    shards: Arc<[mpsc::Sender<shard::Input>]>,
}

impl Local {
    fn shard(&self, worker: &NodeId) -> &mpsc::Sender<shard::Input> {
        let mut hasher = DefaultHasher::new();
        worker.hash(&mut hasher);
        let at = hasher.finish() % self.shards.len() as u64;
        &self.shards[usize::try_from(at).expect("a number below a length of a slice is a usize")]
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = &mpsc::Sender<shard::Input>> {
        self.shards.iter()
    }

    async fn ask<T>(
        &self,
        worker: &NodeId,
        input: impl FnOnce(oneshot::Sender<T>) -> shard::Input,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.shard(worker).send(input(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Gives a call to the worker's proxy, which answers it by its deadline and a little; the call comes back while the inbox is
    /// full.
    pub(super) fn begin_call(
        &self,
        worker: &NodeId,
        call: ProxyCall,
    ) -> Result<oneshot::Receiver<Outcome>, Box<ProxyCall>> {
        let (reply, answer) = oneshot::channel();
        match self.shard(worker).try_send(shard::Input::Call(worker.clone(), call, reply)) {
            Err(TrySendError::Full(shard::Input::Call(_, call, _))) => Err(Box::new(call)),
            // A service that has stopped has dropped the reply, which says so.
            Ok(()) | Err(_) => Ok(answer),
        }
    }

    /// Gives a call to the worker's proxy, once there is room. Dropping the future does not cancel the call.
    pub(super) async fn call(&self, worker: &NodeId, call: ProxyCall) -> Outcome {
        let outcome = self.ask(worker, |reply| shard::Input::Call(worker.clone(), call, reply)).await;
        outcome.unwrap_or(Outcome::Unknown(Reason::ShuttingDown))
    }

    /// Tells a worker's shard something, unless its inbox is full.
    pub(super) fn tell(&self, worker: &NodeId, input: shard::Input) {
        let _ = self.shard(worker).try_send(input);
    }

    /// The caller went away. A cancellation that finds the inbox full is left to the deadline.
    pub(super) fn cancel(&self, worker: NodeId, id: CallId) {
        let shard = self.shard(&worker);
        let _ = shard.try_send(shard::Input::Cancel(worker, id));
    }

    pub(super) async fn hosting(&self, worker: &NodeId) -> Hosting {
        let hosting = self.ask(worker, |reply| shard::Input::Hosting(worker.clone(), reply)).await;
        hosting.unwrap_or(Hosting::Unknown)
    }

    pub(super) async fn hosted(&self, worker: &NodeId) -> Option<HostedWorker> {
        self.ask(worker, |reply| shard::Input::Hosted(worker.clone(), reply)).await.flatten()
    }

    pub(super) async fn serving(&self, worker: &NodeId) -> Option<Serving> {
        self.ask(worker, |reply| shard::Input::Serving(worker.clone(), reply)).await.flatten()
    }
}

pub(super) struct Inner {
    pub(super) boot: Boot,
    pub(super) local: Local,
    pub(super) peers: mpsc::Sender<peers::Input>,
    spawn: Arc<dyn Spawn>,
    owners: watch::Sender<Arc<dyn Owners>>,
    /// When this node learnt of the present roster.
    roster_since: Mutex<Instant>,
    mass_failure: watch::Receiver<bool>,
    changes: broadcast::Sender<WorkerChange>,
    sequence: AtomicU64,
    /// A cache and nothing more: no decision rests on it, since the owner checks what it is asked.
    pub(super) locations: Mutex<Locations>,
    pub(super) directory: Arc<dyn Directory>,
    /// How often another control node was asked whether it hosts a worker.
    pub(super) locations_asked: AtomicU64,
}

/// A handle to a control node's service: cheap to clone. It stops when the last one is dropped.
#[derive(Clone)]
pub struct ControlService(pub(super) Arc<Inner>);

impl ControlService {
    /// Starts the service.
    #[must_use]
    pub fn start(settings: ControlConfig) -> Self {
        let ControlConfig { boot, config, shards, handlers, owners, directory, spawn } = settings;
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        let (peers, inbox) = mpsc::channel(INBOX_MAX);
        let count = shards.max(1);
        let (losses, losses_receiver) = watch::channel(vec![LossCounts::default(); count]);
        let shards: Vec<mpsc::Sender<shard::Input>> = (0..count)
            .map(|number| {
                let (sender, inbox) = mpsc::channel(INBOX_MAX);
                let settings = ShardSettings {
                    config: config.clone(),
                    owners: owners.clone(),
                    handlers: handlers.clone(),
                    spawn: spawn.clone(),
                    changes: changes.clone(),
                    shards: count,
                    losses: (number, losses.clone()),
                    peers: peers.downgrade(),
                };
                spawn.spawn(Box::pin(Shard::new(settings, inbox, sender.downgrade()).run()));
                sender
            })
            .collect();
        let local = Local { shards: shards.into() };
        spawn.spawn(Box::pin(peers::Peers::new(local.clone(), inbox).run()));
        let (mass_sender, mass_failure) = watch::channel(false);
        spawn.spawn(Box::pin(mass::follow(losses_receiver, changes.downgrade(), mass_sender)));
        let (owners, _) = watch::channel(owners);
        Self(Arc::new(Inner {
            boot,
            local,
            peers,
            spawn,
            owners,
            roster_since: Mutex::new(now()),
            mass_failure,
            changes,
            sequence: AtomicU64::new(1),
            locations: Mutex::default(),
            directory,
            locations_asked: AtomicU64::new(0),
        }))
    }

    /// A link is up: to a worker, to another control node, or to this node's own worker.
    pub async fn link_up(&self, carrier: Arc<dyn Carrier>) {
        if carrier.role() == Role::Control && carrier.peer().node != self.0.boot.node {
            let _ = self.0.peers.send(peers::Input::Link(carrier.clone())).await;
        }
        // A service that has stopped wants to know nothing.
        let shard = self.0.local.shard(&carrier.peer().node);
        let _ = shard.send(shard::Input::Link(carrier)).await;
    }

    /// A link is lost. `left`: the peer has closed it because it stops, so that nobody has to look for it.
    pub async fn link_lost(&self, peer: &NodeId, link: LinkId, left: bool) {
        let _ = self.0.peers.send(peers::Input::LinkLost(link)).await;
        let _ = self.0.local.shard(peer).send(shard::Input::LinkLost(link, left)).await;
    }

    /// Waits until nothing is hosted here that has another owner, and no call is under way: then this node may go. For a
    /// node whose [`Owners`] say that it leaves. Cancellation safe.
    pub async fn handed_over(&self) {
        let asked = self.0.local.shards().map(|shard| async move {
            let (reply, answer) = oneshot::channel();
            // A shard that has stopped has nothing left.
            if shard.send(shard::Input::WhenEmptyHanded(reply)).await.is_ok() {
                let _ = answer.await;
            }
        });
        join_all(asked).await;
    }

    /// Gives up at once every worker that has another owner: this node must go. What handlers have in hand comes again
    /// at the next owner, and callers ask again there.
    pub async fn release_all(&self) {
        for shard in self.0.local.shards() {
            let _ = shard.send(shard::Input::ReleaseAll).await;
        }
    }

    /// Placement or membership has changed.
    pub async fn set_owners(&self, owners: Arc<dyn Owners>) {
        let before = self.0.owners.send_replace(owners.clone());
        if before.roster() != owners.roster() {
            *self.0.roster_since.lock().unwrap_or_else(PoisonError::into_inner) = now();
        }
        for shard in self.0.local.shards.iter() {
            let _ = shard.send(shard::Input::Owners(owners.clone())).await;
        }
    }

    /// A handle to a worker, by its name. It does no I/O; an unknown name is an error of the call.
    #[must_use]
    pub fn worker(&self, worker: NodeId) -> WorkerHandle {
        WorkerHandle::new(Entrance::Control(self.clone()), worker)
    }

    /// The workers that this node knows: those whose proxies it hosts, and those it has lately met.
    pub async fn workers(&self) -> Vec<WorkerInfo> {
        let asked = self.0.local.shards.iter().map(|shard| async move {
            let (reply, answer) = oneshot::channel();
            shard.send(shard::Input::Workers(reply)).await.ok()?;
            answer.await.ok()
        });
        let mut workers: Vec<WorkerInfo> = join_all(asked)
            .await
            .into_iter()
            .flatten()
            .flatten()
            .map(|(worker, status, hosted)| WorkerInfo { worker, status, hosted })
            .collect();
        workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        workers
    }

    /// Drops what this node keeps for a worker that is lost and will not come back: who asks it something learns at once that
    /// nobody hosts it, and it counts no more as missing. Other control nodes keep what they know.
    pub async fn forget(&self, worker: &NodeId) -> crate::Forgotten {
        let (reply, answer) = oneshot::channel();
        // A service that has stopped knows nobody.
        let _ = self.0.local.shard(worker).send(shard::Input::Forget(worker.clone(), reply)).await;
        answer.await.unwrap_or(crate::Forgotten::Unknown)
    }

    /// How many questions this node has put to other control nodes since its start, whether they host a worker: one for each
    /// worker that it has not called lately, as long as placement or the [`Directory`] is right.
    #[must_use]
    pub fn locations_asked(&self) -> u64 {
        self.0.locations_asked.load(Ordering::Relaxed)
    }

    /// What changes about the workers whose proxies this node hosts, from now on. Whoever reads too slowly is told how
    /// many changes were missed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<WorkerChange> {
        self.0.changes.subscribe()
    }

    pub(super) async fn peer_stream(&self, link: LinkId, stream: Stream) {
        let _ = self.0.peers.send(peers::Input::Stream(link, stream)).await;
    }

    pub(super) fn has_mass_failure(&self) -> bool {
        *self.0.mass_failure.borrow()
    }

    pub(super) fn spawn(&self) -> &dyn Spawn {
        self.0.spawn.as_ref()
    }

    pub(super) fn owners(&self) -> Arc<dyn Owners> {
        self.0.owners.borrow().clone()
    }

    /// Whether this node has lately learnt of control nodes that it did not know, or is new itself: then a worker that
    /// nobody is known to host may be hosted by somebody whom it has not met.
    pub(super) fn knows_little(&self) -> bool {
        let since = *self.0.roster_since.lock().unwrap_or_else(PoisonError::into_inner);
        now().saturating_duration_since(since) < NEW_ROSTER
    }

    /// A new id, never used before in this boot.
    pub(super) fn new_id(&self) -> CallId {
        CallId { caller: self.0.boot.clone(), sequence: self.0.sequence.fetch_add(1, Ordering::Relaxed) }
    }

    pub(super) fn cached_location(&self, worker: &NodeId) -> Option<(NodeId, Generation)> {
        self.0.locations.lock().unwrap_or_else(PoisonError::into_inner).find(worker)
    }

    pub(super) fn cache_location(&self, worker: &NodeId, location: Option<(NodeId, Generation)>) {
        self.0.locations.lock().unwrap_or_else(PoisonError::into_inner).keep(worker, location);
    }
}
