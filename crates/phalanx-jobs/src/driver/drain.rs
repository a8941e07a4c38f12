//! Gives all workers of a control node away by a deadline, and says all the while what is left and why.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{oneshot, watch};
use tokio::time::{interval, timeout};

use super::alarm::Alarm;
use super::control::ControlService;
use super::{now, shard};
use crate::config::LINGER;
use crate::control::DrainProgress;

/// How a control node gives its workers away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainOptions {
    /// How long it may take. Workers that are left then are released: they look for their owner by themselves, and what
    /// handlers of their events have in hand comes again there.
    pub deadline: Duration,
}

impl Default for DrainOptions {
    /// A minute: six thousand workers at a hundred a second, and time for a worker that is slow to link to its next owner.
    fn default() -> Self {
        Self { deadline: Duration::from_secs(60) }
    }
}

/// A drain that is under way. It goes on when this value is dropped.
#[derive(Debug, Clone)]
pub struct Drain {
    progress: watch::Receiver<DrainProgress>,
}

impl Drain {
    /// How it goes now: a fifth of a second old at most.
    #[must_use]
    pub fn progress(&self) -> DrainProgress {
        self.progress.borrow().clone()
    }

    /// How it goes, with notice of every change; the times of what is blocked change each second.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<DrainProgress> {
        self.progress.clone()
    }

    /// Waits until it has ended, and returns how; at the latest ten seconds after its deadline. Where the node stops before
    /// that, how it was last. Cancellation safe.
    pub async fn finished(&self) -> DrainProgress {
        let mut progress = self.progress.clone();
        match progress.wait_for(|progress| progress.done).await {
            Ok(done) => done.clone(),
            Err(_) => self.progress(),
        }
    }
}

/// How often the shards are asked how far they are.
const ASKED_INTERVAL: Duration = Duration::from_millis(200);

/// How often a drain that is under way is told to the log: often enough for whoever looks at a node that does not go.
const LOGGED_INTERVAL: Duration = Duration::from_secs(5);

impl ControlService {
    /// Gives all workers away; what is left at the deadline is released. For a node whose [`Owners`](crate::Owners) say that
    /// it leaves: the counts begin when they say so. It runs until it has ended or the service stops, whether somebody holds
    /// the [`Drain`] or not. A second drain beside the first one counts the same workers; the earlier deadline counts.
    #[must_use]
    pub fn drain(&self, options: DrainOptions) -> Drain {
        let (sender, progress) = watch::channel(DrainProgress::default());
        let service = self.clone();
        self.spawn().spawn(Box::pin(async move { service.run_drain(options, sender).await }));
        Drain { progress }
    }

    async fn run_drain(self, options: DrainOptions, progress: watch::Sender<DrainProgress>) {
        // An instant beyond the clock's end never comes.
        let deadline = now().checked_add(options.deadline);
        if !self.watch_drain(deadline, &progress).await {
            self.release_all().await;
            // Answers to calls that are under way still come over the former links.
            let _ = timeout(LINGER, self.handed_over()).await;
        }
        let last = DrainProgress { done: true, ..self.drain_progress().await };
        if last.released > 0 {
            let why: Vec<String> = last.blocked.iter().map(ToString::to_string).collect();
            tracing::warn!(released = last.released, ?why, "not every worker could be handed over in time");
        }
        progress.send_replace(last);
    }

    /// Says how it goes until everything is given away or the time is up. Returns whether everything is.
    async fn watch_drain(&self, deadline: Option<Instant>, progress: &watch::Sender<DrainProgress>) -> bool {
        let handed_over = self.handed_over();
        tokio::pin!(handed_over);
        let mut ask = interval(ASKED_INTERVAL);
        let mut over = Alarm::default();
        over.set(deadline);
        let mut logged_at = now();
        loop {
            tokio::select! {
                biased;
                () = &mut handed_over => return true,
                () = over.wait() => return false,
                _ = ask.tick() => {}
            }
            let next = self.drain_progress().await;
            if now().saturating_duration_since(logged_at) >= LOGGED_INTERVAL {
                logged_at = now();
                let DrainProgress { total, moved, left, .. } = next;
                let why = next.blocked.first().map(ToString::to_string);
                tracing::info!(total, moved, left, ?why, "handing workers over");
            }
            progress.send_if_modified(|seen| {
                let changed = *seen != next;
                *seen = next;
                changed
            });
        }
    }

    /// How far this node is with giving its workers away. Of a node that does not leave nothing is counted.
    pub async fn drain_progress(&self) -> DrainProgress {
        let asked = self.0.local.shards().map(|shard| async move {
            let (reply, answer) = oneshot::channel();
            // A shard that has stopped has nothing left.
            shard.send(shard::Input::DrainProgress(reply)).await.ok()?;
            answer.await.ok()
        });
        DrainProgress::joined(join_all(asked).await.into_iter().flatten())
    }
}
