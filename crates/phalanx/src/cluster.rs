//! What follows from membership: who owns whom, what is stored, and when this node begins to own.

use std::sync::Arc;
use std::time::Duration;

use phalanx_base::NodeId;
use phalanx_jobs::{ControlService, Owners, Spawn};
use phalanx_membership::driver::Events;
use phalanx_membership::{ClusterView, Event as MemberEvent, RosterSnapshot};
use phalanx_placement::Placement;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::formation::Formation;
use crate::node::Node;
use crate::owners::PlacedOwners;
use crate::setup::stored;
use crate::store::{Store, StoreError};

/// How long a node that may serve waits for the shares of the others before it takes whole workers.
const SHARES_DEADLINE: Duration = Duration::from_secs(10);

/// How often a roster that changes is stored: often enough for a restart, seldom enough for a disk.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How long after a failure the roster is stored again: a full disk is seldom empty a second later.
const STORE_RETRY_PAUSE: Duration = Duration::from_secs(10);

/// Who owns whom, at one moment, as one control node sees it. Cheap to clone.
#[derive(Clone)]
pub struct Ownership(Arc<PlacedOwners>);

impl Ownership {
    pub(crate) fn nobody(view: &ClusterView) -> Self {
        Self(Arc::new(PlacedOwners::new(Placement::default(), view)))
    }

    pub(crate) fn owners(&self) -> Arc<dyn Owners> {
        self.0.clone()
    }

    /// The owners of all partitions.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        self.0.placement()
    }

    /// Whether this node is about to leave, and owns nothing any more.
    pub(crate) fn is_leaving(&self) -> bool {
        self.0.is_leaving()
    }

    /// The control node that should host a worker's proxy now: the first of owner and standbys that is alive.
    #[must_use]
    pub fn acting_owner(&self, worker: &NodeId) -> Option<NodeId> {
        self.0.acting(worker).map(|acting| acting.node)
    }
}

/// Keeps the job layer told who owns whom. Placement is computed only when the roster has changed, and away from the
/// threads that keep time, since it takes milliseconds. Nobody owns anything until the cluster has formed and the expected
/// control nodes own their shares, or have had their time: else the first would take all workers, and give most of them away
/// again.
pub(crate) async fn follow_owners(
    mut view: watch::Receiver<Arc<ClusterView>>,
    service: ControlService,
    spawn: Arc<dyn Spawn>,
    owners: watch::Sender<Ownership>,
    (mut formation, expected_controls): (watch::Receiver<Formation>, usize),
) {
    let shares_deadline = Instant::now() + SHARES_DEADLINE;
    let mut shared = false;
    let mut placement = Placement::default();
    loop {
        let seen = view.borrow_and_update().clone();
        let active = seen.roster.active().filter(|entry| seen.is_alive(&entry.node)).count();
        let formed = formation.borrow_and_update().is_formed();
        shared |= formed && (active >= expected_controls || Instant::now() >= shares_deadline);
        if shared && seen.roster.version() != placement.version() {
            let (sender, computed) = oneshot::channel();
            let roster = seen.roster.clone();
            #[cfg(phalanx_planted)]
            let roster = counted_twice(roster, &seen.local.node);
            spawn.spawn_blocking(Box::new(move || drop(sender.send(Placement::compute(&roster)))));
            match computed.await {
                Ok(new) => placement = new,
                Err(_) => return,
            }
        }
        let ownership = Ownership(Arc::new(PlacedOwners::new(placement.clone(), &seen)));
        service.set_owners(ownership.owners()).await;
        owners.send_replace(ownership);
        tokio::select! {
            biased;
            changed = view.changed() => if changed.is_err() {
                return;
            },
            // Once the cluster has formed nobody tells more.
            Ok(()) = formation.changed(), if !formed => {}
            () = sleep_until(shares_deadline), if formed && !shared => {}
        }
    }
}

/// The mistake of a node that takes itself for twice as much as it is.
#[cfg(phalanx_planted)]
fn counted_twice(roster: phalanx_base::RosterView, me: &NodeId) -> phalanx_base::RosterView {
    let mut entries = roster.entries().to_vec();
    let mine =
        entries.iter_mut().filter(|entry| entry.node == *me && phalanx_base::planted!("counted-twice"));
    mine.for_each(|entry| entry.weight *= 2);
    phalanx_base::RosterView::new(entries)
}

/// What was known of the cluster before the last stop. A damaged value counts as none: discovery finds the others again.
pub(crate) fn stored_roster(store: &dyn Store) -> Result<RosterSnapshot, StoreError> {
    let Some(bytes) = store.read(stored::ROSTER)? else { return Ok(RosterSnapshot::default()) };
    Ok(RosterSnapshot::decode(&bytes).unwrap_or_else(|error| {
        tracing::warn!(%error, "the stored roster is not used");
        RosterSnapshot::default()
    }))
}

/// Stores the roster when it changes, so that a total restart finds its members.
pub(crate) async fn keep_roster(
    mut view: watch::Receiver<Arc<ClusterView>>,
    store: Arc<dyn Store>,
    spawn: Arc<dyn Spawn>,
) {
    let mut written = RosterSnapshot::default();
    loop {
        let mut failed = false;
        let snapshot = view.borrow_and_update().snapshot.clone();
        if snapshot != written {
            let (sender, done) = oneshot::channel();
            let (store, bytes) = (store.clone(), snapshot.encode());
            spawn.spawn_blocking(Box::new(move || drop(sender.send(store.write(stored::ROSTER, &bytes)))));
            match done.await {
                Ok(Ok(())) => written = snapshot,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the roster was not stored: it is tried again");
                    failed = true;
                }
                Err(_) => return,
            }
        }
        if failed {
            sleep(STORE_RETRY_PAUSE).await;
            continue;
        }
        sleep(STORE_PAUSE).await;
        if view.changed().await.is_err() {
            return;
        }
    }
}

/// Ends a node that an operator has removed from the cluster: its workers look for their next owner, and the node must be
/// started anew to come back.
pub(crate) async fn end_when_expelled(mut events: Events, node: Arc<Node>) {
    while let Some(event) = events.next().await {
        if event == MemberEvent::Expelled {
            tracing::error!(node = %node.boot, "this node was removed from the cluster: start it anew to come back");
            return node.end();
        }
    }
}
