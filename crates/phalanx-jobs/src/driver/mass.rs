//! Adds up what the shards have lost, and tells everybody when it is a mass failure.

use tokio::sync::{broadcast, watch};

use super::control::{ControlService, WorkerChange};
use crate::control::{LossCounts, MassChange, MassFailure};

/// The counts of each shard: the last ones only, so that none is too slow for another.
pub(super) type ShardLosses = watch::Sender<Vec<LossCounts>>;

/// Follows the counts for as long as a shard runs.
pub(super) async fn follow(
    mut losses: watch::Receiver<Vec<LossCounts>>,
    changes: broadcast::WeakSender<WorkerChange>,
    lasts: watch::Sender<bool>,
) {
    let mut mass = MassFailure::default();
    while losses.changed().await.is_ok() {
        let counts = LossCounts::joined(losses.borrow_and_update().iter());
        let Some(change) = mass.handle_counts(counts) else { continue };
        lasts.send_replace(mass.lasts());
        let change = match change {
            MassChange::Began { lost, known } => {
                tracing::warn!(
                    lost,
                    known,
                    "most workers are lost at one time: nothing is replaced until most are back or forgotten"
                );
                WorkerChange::MassFailure { lost, known }
            }
            MassChange::Ended => {
                tracing::info!(missing = counts.missing, "most workers that were lost are back or forgotten");
                WorkerChange::MassFailureEnded
            }
        };
        if let Some(changes) = changes.upgrade() {
            // Nobody has to listen.
            let _ = changes.send(change);
        }
    }
}

impl ControlService {
    /// Whether work of workers that are lost may be started elsewhere now. Whoever replaces anything must ask right before
    /// each replacement, and ask again later where the answer is no: not while most workers are lost at one time
    /// ([`WorkerChange::MassFailure`]), since those are likely to run on where nobody sees them; not while this node sees
    /// at most half of the control nodes, since the others may replace the same; and not while it leaves, since its
    /// workers are the next owner's.
    #[must_use]
    pub fn may_replace(&self) -> bool {
        let owners = self.owners();
        !self.has_mass_failure() && owners.may_give() && !owners.is_leaving()
    }
}
