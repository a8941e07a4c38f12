//! Whether a node serves, and if not, why: in words for people, from one place for all who tell them.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use phalanx::{ClusterEvents, ClusterView, Control, DiscoveryView, NodeStatus, Worker};
use phalanx_base::RosterState;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::Operated;
use crate::answer::is_counted;
use crate::discovery::complaints;

/// Whether a node serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whether it does.
    pub ready: bool,
    /// What it does, or why it does not serve and what to do.
    pub explanation: String,
    /// Whether it has given up waiting for the control nodes that it was told to expect.
    pub gave_up: bool,
}

impl Operated {
    /// Whether the node serves now: a control node when its cluster has formed, a worker when a control node hosts it.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        match self {
            Self::Control(control) => of_control(control),
            Self::Worker { worker, .. } => of_worker(worker),
        }
    }
}

/// How often a worker's owner is looked at: a worker that changes hands tells no event of it.
const OWNER_PAUSE: Duration = Duration::from_secs(1);

/// Follows the readiness of a node.
pub struct ReadinessWatch {
    node: Operated,
    source: Source,
    told: Option<Readiness>,
}

/// What to wait for.
enum Source {
    Control {
        formation: watch::Receiver<phalanx::Formation>,
        cluster: watch::Receiver<Arc<ClusterView>>,
        discovery: watch::Receiver<Arc<DiscoveryView>>,
    },
    Worker(ClusterEvents),
}

impl Operated {
    /// Follows the readiness of the node.
    #[must_use]
    pub fn watch_readiness(&self) -> ReadinessWatch {
        let source = match self {
            Self::Control(control) => Source::Control {
                formation: control.formation(),
                cluster: control.cluster(),
                discovery: control.discovery(),
            },
            Self::Worker { worker, .. } => Source::Worker(worker.subscribe()),
        };
        ReadinessWatch { node: self.clone(), source, told: None }
    }
}

impl ReadinessWatch {
    /// How the node is now, and then whenever that is another way; `None` once the node has stopped. Cancellation safe.
    pub async fn next(&mut self) -> Option<Readiness> {
        loop {
            let readiness = self.node.readiness();
            if self.told.as_ref() != Some(&readiness) {
                self.told = Some(readiness.clone());
                return Some(readiness);
            }
            self.source.changed().await?;
        }
    }
}

impl Source {
    /// Returns when the node may be another way; `None` once it has stopped.
    async fn changed(&mut self) -> Option<()> {
        match self {
            Self::Control { formation, cluster, discovery } => tokio::select! {
                biased;
                // A cluster that has formed tells no more of how it forms, and a node that has stopped of nothing.
                Ok(()) = formation.changed() => Some(()),
                Ok(()) = discovery.changed() => Some(()),
                changed = cluster.changed() => changed.ok(),
            },
            Self::Worker(events) => tokio::select! {
                biased;
                event = events.next() => event.map(|_| ()),
                () = sleep(OWNER_PAUSE) => Some(()),
            },
        }
    }
}

fn of_control(control: &Control) -> Readiness {
    let formation = *control.formation().borrow();
    let gave_up = matches!(formation, phalanx::Formation::GaveUp { .. });
    if !formation.is_formed() {
        let mut explanation = formation.to_string();
        for complaint in complaints(control) {
            // Writing to a string does not fail.
            let _ = write!(explanation, "; {complaint}");
        }
        return Readiness { ready: false, explanation, gave_up };
    }
    let view = control.cluster().borrow().clone();
    let own = view.roster.entries().iter().find(|entry| entry.node == *control.id());
    if own.is_some_and(|own| matches!(own.state, RosterState::Draining | RosterState::Gone)) {
        let explanation = "leaving: gives its workers to other control nodes".to_owned();
        return Readiness { ready: false, explanation, gave_up };
    }
    let alive = view.members.iter().filter(|member| member.liveness.is_alive()).count();
    let known = view.members.iter().filter(|member| is_counted(member.liveness)).count();
    let mut explanation = format!("serving: {alive} of {known} control nodes are alive");
    if !view.majority {
        explanation.push_str("; that is no majority: workers stay where they are until it is");
    }
    Readiness { ready: true, explanation, gave_up }
}

fn of_worker(worker: &Worker) -> Readiness {
    let (status, owner) = (worker.status(), worker.owner());
    let ready = matches!(status, NodeStatus::Ready | NodeStatus::Standby) && owner.is_some();
    let explanation = match owner {
        Some(owner) => format!("{status}: hosted by {owner}"),
        None => format!(
            "{status}: looking for a control node that hosts this worker; check that discovery finds one"
        ),
    };
    Readiness { ready, explanation, gave_up: false }
}
