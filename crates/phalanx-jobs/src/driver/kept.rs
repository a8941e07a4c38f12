//! Asks the handlers of a worker that starts which tasks of its earlier boots go on.

use std::time::Duration;

use futures_util::future::join_all;
use phalanx_base::Spawn;
use tokio::time::timeout;

use crate::registry::{AnyKept, Jobs};

/// How long a handler may take to name the tasks that it has kept: it looks at a disk. The worker has no owner meanwhile.
pub const KEPT_TIMEOUT: Duration = Duration::from_secs(10);

/// How much longer all of them may take together: one that blocks its thread stops the clock of the others.
const MARGIN: Duration = Duration::from_secs(1);

/// What all handlers have kept. One that does not answer in time keeps none; if one blocks its thread, none does.
pub(super) async fn kept(jobs: &Jobs, spawn: &dyn Spawn) -> Vec<AnyKept> {
    let (answer, answered) = async_channel::bounded(1);
    let asked: Vec<_> = jobs
        .all()
        .map(|job| async move {
            let named = timeout(KEPT_TIMEOUT, job.kept()).await;
            named.unwrap_or_else(|_| {
                let class = job.name().name;
                tracing::error!(%class, "a handler did not name its kept tasks in time: they are lost");
                Vec::new()
            })
        })
        .collect();
    spawn.spawn_user(Box::pin(async move {
        let named: Vec<AnyKept> = join_all(asked).await.into_iter().flatten().collect();
        // A worker that has given up does not listen.
        let _ = answer.send(named).await;
    }));
    match timeout(KEPT_TIMEOUT + MARGIN, answered.recv()).await {
        Ok(Ok(named)) => named,
        Ok(Err(_)) | Err(_) => {
            tracing::error!("the handlers did not say which tasks they have kept: those are lost");
            Vec::new()
        }
    }
}
