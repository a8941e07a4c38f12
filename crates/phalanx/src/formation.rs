//! Whether enough control nodes are there to begin: the first service of a cluster waits for those that it was told to
//! expect, so that the first one does not take every worker and give most of them away again.
//!
//! It only ever delays the *first* service. A node that meets a cluster that serves, or that served once itself, does not
//! give up: nothing here can stop a cluster that runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use phalanx_base::{NodeId, RosterState};
use phalanx_jobs::Spawn;
use phalanx_membership::ClusterView;
use phalanx_membership::driver::MembershipHandle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::setup::stored;
use crate::store::Store;

/// How long a control node waits for the others at the first start of a cluster, unless it is told.
pub(crate) const FORM_DEADLINE: Duration = Duration::from_secs(60);

/// How long it waits at most where the cluster was formed before: it owes service, with whoever is there.
const REFORM_DEADLINE_MAX: Duration = Duration::from_secs(10);

/// Whether the control nodes that a node was told to expect are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Formation {
    /// Not yet; the node waits, and takes no workers.
    Forming {
        /// How many are there, itself among them.
        seen: usize,
        /// How many it was told to expect.
        expected: usize,
        /// When it gives up, or serves with whoever is there if it has done so before.
        deadline: Instant,
    },
    /// They are, or were: the cluster serves, and that does not change any more.
    Formed,
    /// They did not come in time. The node takes no workers; should they come after all, it does.
    GaveUp {
        /// How many are there, itself among them.
        seen: usize,
        /// How many it was told to expect.
        expected: usize,
    },
}

impl Formation {
    /// Whether the node serves, or is about to.
    #[must_use]
    pub fn is_formed(self) -> bool {
        matches!(self, Self::Formed)
    }
}

impl fmt::Display for Formation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Formed => f.write_str("formed"),
            Self::Forming { seen, expected, .. } => {
                write!(
                    f,
                    "forming: {seen} of {expected} expected control nodes are here; waiting for the others"
                )
            }
            Self::GaveUp { seen, expected } => write!(
                f,
                "gave up forming: only {seen} of {expected} expected control nodes came in time; start the others, \
                 check that discovery finds them, or expect fewer"
            ),
        }
    }
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Forming {
    expected: usize,
    deadline: Instant,
    served_before: bool,
    seen: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Formed,
    GaveUp,
}

impl Forming {
    /// `served_before`: this node has been part of the cluster while it served.
    pub(crate) fn new(now: Instant, expected: usize, patience: Duration, served_before: bool) -> Self {
        let patience = if served_before { patience.min(REFORM_DEADLINE_MAX) } else { patience };
        let expected = expected.max(1);
        let state = if expected == 1 { State::Formed } else { State::Waiting };
        Self { expected, deadline: now + patience, served_before, seen: 1, state }
    }

    /// How many are alive, itself among them, and whether one of the others serves.
    pub(crate) fn handle_seen(&mut self, alive: usize, other_serves: bool) {
        self.seen = alive;
        if alive >= self.expected || other_serves {
            self.state = State::Formed;
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Waiting && now >= self.deadline {
            self.state = if self.served_before { State::Formed } else { State::GaveUp };
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (self.state == State::Waiting).then_some(self.deadline)
    }

    pub(crate) fn formation(&self) -> Formation {
        let (seen, expected) = (self.seen, self.expected);
        match self.state {
            State::Waiting => Formation::Forming { seen, expected, deadline: self.deadline },
            State::Formed => Formation::Formed,
            State::GaveUp => Formation::GaveUp { seen, expected },
        }
    }
}

/// Whether this node was part of a cluster that served.
pub(crate) fn served_before(store: &dyn Store) -> bool {
    matches!(store.read(stored::SERVED), Ok(Some(_)))
}

/// Follows who is there, and lets this node own its share once enough are. Ends when the cluster is formed.
pub(crate) async fn follow(
    mut forming: Forming,
    mut view: watch::Receiver<Arc<ClusterView>>,
    told: watch::Sender<Formation>,
    membership: MembershipHandle,
    (store, spawn): (Arc<dyn Store>, Arc<dyn Spawn>),
) {
    loop {
        let (alive, other_serves) = seen(&view.borrow_and_update());
        forming.handle_seen(alive, other_serves);
        forming.handle_timeout(Instant::now());
        let formation = forming.formation();
        if told.send_replace(formation) != formation
            && let Formation::GaveUp { .. } = formation
        {
            tracing::warn!(%formation, "this node takes no workers");
        }
        if formation.is_formed() {
            break;
        }
        tokio::select! {
            biased;
            changed = view.changed() => if changed.is_err() {
                return;
            },
            () = wait_until(forming.poll_timeout()) => {}
        }
    }
    // A membership that has stopped needs no share.
    let _ = membership.activate().await;
    spawn.spawn_blocking(Box::new(move || {
        if let Err(error) = store.write(stored::SERVED, b"1") {
            tracing::warn!(%error, "that the cluster has formed was not stored");
        }
    }));
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// How many control nodes are alive, and whether one besides this one owns a share.
fn seen(view: &ClusterView) -> (usize, bool) {
    let me: &NodeId = &view.local.node;
    let alive = view.members.iter().filter(|member| member.liveness.is_alive()).count();
    let serves =
        view.roster.entries().iter().any(|entry| {
            entry.node != *me && entry.state == RosterState::Active && view.is_alive(&entry.node)
        });
    (alive, serves)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn forming(expected: usize, served_before: bool) -> (Instant, Forming) {
        let now = Instant::now();
        (now, Forming::new(now, expected, PATIENCE, served_before))
    }

    #[tokio::test]
    async fn it_waits_for_all_and_says_for_how_many() {
        let (now, mut forming) = forming(3, false);
        forming.handle_seen(2, false);
        forming.handle_timeout(now + PATIENCE / 2);
        let told = forming.formation();
        assert_eq!(told, Formation::Forming { seen: 2, expected: 3, deadline: now + PATIENCE });
        assert!(told.to_string().contains("2 of 3"), "{told}");
        forming.handle_seen(3, false);
        assert!(forming.formation().is_formed());
        forming.handle_seen(1, false);
        assert!(forming.formation().is_formed(), "it never stops a cluster that runs");
    }

    #[tokio::test]
    async fn at_the_deadline_it_gives_up_and_takes_who_comes_late() {
        let (now, mut forming) = forming(3, false);
        forming.handle_seen(2, false);
        forming.handle_timeout(now + PATIENCE);
        assert_eq!(forming.formation(), Formation::GaveUp { seen: 2, expected: 3 });
        assert_eq!(forming.poll_timeout(), None);
        forming.handle_seen(3, false);
        assert!(forming.formation().is_formed());
    }

    #[tokio::test]
    async fn who_meets_a_cluster_that_serves_or_has_served_does_not_give_up() {
        let (_, mut newcomer) = forming(3, false);
        newcomer.handle_seen(2, true);
        assert!(newcomer.formation().is_formed());
        let (now, mut returning) = forming(3, true);
        assert_eq!(returning.poll_timeout(), Some(now + REFORM_DEADLINE_MAX));
        returning.handle_timeout(now + REFORM_DEADLINE_MAX);
        assert!(returning.formation().is_formed());
    }

    #[tokio::test]
    async fn one_is_enough_where_none_is_expected() {
        assert!(forming(0, false).1.formation().is_formed());
        assert!(forming(1, false).1.formation().is_formed());
    }
}
