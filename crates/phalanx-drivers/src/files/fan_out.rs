//! One file or folder to many workers: the source is read and hashed once for all of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::stream;
use phalanx_base::NodeId;
use phalanx_jobs::{TaskHandle, TransferError, WorkerHandle};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::asking::of_task;
use super::broadcast::{Broadcast, Taker};
use super::class::{CHUNK_BYTES, Files, Place, Progress, Receipt};
use super::client::{Call, Ended, FilesClient, FilesClientError};
use super::local;
use super::sending::{self, Outgoing};

/// How many workers one pass through the source is for: each has a stream and a queue. Beyond them there is another pass.
const WORKERS_MAX: usize = 256;

/// How long a worker may take to say what it has already before the others begin: a pass does not wait for one that is gone, or
/// that has much to look through. It may still join when the pass comes to its place.
const READY_MAX: Duration = Duration::from_secs(3);

/// How long one worker may hold up others, all in all, unless said otherwise.
const LAG_MAX: Duration = Duration::from_secs(2);

/// Why a worker is sent the rest for itself.
const TOO_SLOW: &str = "it was too slow for the others";

/// Whom to tell how far each worker is.
type TellOf = Arc<dyn Fn(&NodeId, Progress) + Send + Sync>;

/// Sends one file or folder to many workers. It is read and hashed once: its bytes go to all of them side by side, to each from
/// the place up to which it has them.
///
/// The fast ones wait for a slow one, but no longer than [`lag_max`](Self::lag_max) each, all in all. Who is slower than that, who
/// is lost on the way, and who was not ready in time, is sent the rest for itself once the others have everything; for
/// that the rest is read again. So one that is dead stops nobody, and only the answer as a whole waits for it, for the
/// [`patience`](Self::patience).
#[derive(Clone)]
pub struct FanOut {
    workers: BTreeMap<NodeId, WorkerHandle>,
    patience: Option<Duration>,
    lag_max: Duration,
    tell: Option<TellOf>,
}

/// What became of a file or folder that was sent to many workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FannedOut {
    /// For each worker.
    pub results: BTreeMap<NodeId, Result<Receipt, FilesClientError>>,
    /// How many bytes of the source were read. Where everybody has kept up these are as many as it has.
    pub bytes_read: u64,
}

/// Sends one file or folder of this node to many workers, as [`FanOut`] does when nothing else is said.
///
/// # Errors
/// As [`FanOut::put`].
pub async fn put_many(
    workers: &[WorkerHandle],
    from: impl AsRef<Path>,
    root: &str,
    path: &str,
) -> Result<FannedOut, FilesClientError> {
    FanOut::new(workers.iter().cloned()).put(from, root, path).await
}

impl FanOut {
    /// To these workers; one that is named twice is sent to once.
    #[must_use]
    pub fn new(workers: impl IntoIterator<Item = WorkerHandle>) -> Self {
        let workers = workers.into_iter().map(|worker| (worker.id().clone(), worker)).collect();
        Self { workers, patience: None, lag_max: LAG_MAX, tell: None }
    }

    /// As [`FilesClient::patience`], for each worker.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// How long one worker may hold up others, all in all; two seconds unless said otherwise.
    #[must_use]
    pub fn lag_max(mut self, lag_max: Duration) -> Self {
        self.lag_max = lag_max;
        self
    }

    /// Tells how far each worker is. It must return soon.
    #[must_use]
    pub fn progress(mut self, tell: impl Fn(&NodeId, Progress) + Send + Sync + 'static) -> Self {
        self.tell = Some(Arc::new(tell));
        self
    }

    /// Sends a file or folder of this node to `path` below a root of each worker, as [`FilesClient::put`] does. Dropping the
    /// future leaves at each worker what has arrived.
    ///
    /// # Errors
    /// [`FilesClientError::Local`] when the source cannot be read at all; what becomes of each worker is in the answer.
    pub async fn put(
        &self,
        from: impl AsRef<Path>,
        root: &str,
        path: &str,
    ) -> Result<FannedOut, FilesClientError> {
        let from = from.as_ref().to_owned();
        let opened = local::run(move || local::source(&from)).await.map_err(FilesClientError::Local)?;
        let outgoing = Outgoing::new(opened);
        let mut results = BTreeMap::new();
        let workers: Vec<&WorkerHandle> = self.workers.values().collect();
        for workers in workers.chunks(WORKERS_MAX) {
            let clients: Vec<FilesClient> = workers.iter().map(|worker| self.client(worker)).collect();
            let ended = Box::pin(self.pass(&clients, &outgoing, root, path)).await;
            let alone = clients.iter().zip(ended).map(|(client, ended)| {
                let (outgoing, call) = (&outgoing, client.call(root, path));
                async move {
                    let result = match ended {
                        Ok(receipt) => Ok(receipt),
                        Err(Ended::Finally(error)) => Err(error),
                        Err(Ended::Again(why) | Ended::Away(why)) => {
                            tracing::debug!(worker = %call.worker.id(), why, "sending the rest for itself");
                            client.put_outgoing(call, outgoing).await
                        }
                    };
                    (client.worker().clone(), result)
                }
            });
            results.extend(join_all(alone).await);
        }
        Ok(FannedOut { results, bytes_read: outgoing.bytes_read() })
    }

    fn client(&self, worker: &WorkerHandle) -> FilesClient {
        let mut client = FilesClient::new(worker.clone());
        if let Some(patience) = self.patience {
            client = client.patience(patience);
        }
        if let Some(tell) = self.tell.clone() {
            let id = worker.id().clone();
            client = client.progress(move |progress| tell(&id, progress));
        }
        client
    }

    /// One pass through the source, for whoever is ready.
    async fn pass(
        &self,
        clients: &[FilesClient],
        outgoing: &Outgoing,
        root: &str,
        path: &str,
    ) -> Vec<Result<Receipt, Ended>> {
        let calls: Vec<Call> = clients.iter().map(|client| client.call(root, path)).collect();
        let (ready, joining) = mpsc::channel(calls.len().max(1));
        let (over, is_over) = watch::channel(());
        let takes = calls.iter().map(|call| {
            let (ready, mut is_over) = (ready.clone(), is_over.clone());
            async move {
                let begun = tokio::select! {
                    biased;
                    begun = sending::begin(call, outgoing, false) => begun,
                    // Nothing is ever said: it resolves when the pass is over.
                    _ = is_over.changed() => Err(late()),
                };
                let (task, place) = begun?;
                let (join, joined) = oneshot::channel();
                // A pass that is over takes nobody.
                let _ = ready.send((place, join)).await;
                drop(ready);
                take(&task, &place, joined, outgoing.bytes(), call).await
            }
        });
        let takes: Vec<_> = takes.collect();
        drop(ready);
        let feeding = async {
            feed(Broadcast::new(self.lag_max), outgoing, joining).await;
            drop(over);
        };
        let (results, ()) = join(join_all(takes), feeding).await;
        results
    }
}

fn late() -> Ended {
    Ended::Again("it was not ready in time, or has something else".to_owned())
}

/// Who joins a pass, and where.
type Joining = (Place, oneshot::Sender<Taker>);

/// Those who are ready at the begin: everybody who does not take too long, and one at least, if there is one.
async fn ready(joining: &mut mpsc::Receiver<Joining>) -> Vec<Joining> {
    let (mut ready, until) = (Vec::new(), Instant::now() + READY_MAX);
    loop {
        let next =
            if ready.is_empty() { Ok(joining.recv().await) } else { timeout_at(until, joining.recv()).await };
        match next {
            Ok(Some(one)) => ready.push(one),
            Ok(None) | Err(_) => return ready,
        }
    }
}

/// Reads the source once, and gives it to whoever has joined by the time when it comes to the place up to which that one has it.
/// When it cannot be read nobody gets the end.
async fn feed(mut broadcast: Broadcast, outgoing: &Outgoing, mut joining: mpsc::Receiver<Joining>) {
    let (mut waiting, mut at) = (ready(&mut joining).await, 0);
    loop {
        waiting.extend(std::iter::from_fn(|| joining.try_recv().ok()));
        // Who comes too late, or has something else, is sent it for itself.
        waiting.retain(|(place, _)| place.offset >= at);
        waiting.sort_by_key(|(place, _)| std::cmp::Reverse(place.offset));
        while let Some((place, join)) = waiting.pop_if(|(place, _)| place.offset == at) {
            if outgoing.so_far(at).await.is_ok_and(|ours| ours == place.so_far) {
                let _ = join.send(broadcast.add());
            }
        }
        let next = waiting.last().map(|(place, _)| place.offset);
        if next.is_none() && broadcast.is_over() {
            return;
        }
        // The next one joins at its place, and not in the middle of a piece.
        let room = next.map_or(u64::MAX, |next| next - at).min(u64::from(CHUNK_BYTES));
        let Ok(piece) = outgoing.piece(at, room as usize).await else { return };
        if piece.is_empty() {
            return broadcast.finish().await;
        }
        broadcast.send(&piece).await;
        at += piece.len() as u64;
    }
}

/// Sends one worker what comes through its queue.
async fn take(
    task: &TaskHandle<Files>,
    place: &Place,
    joined: oneshot::Receiver<Taker>,
    bytes_total: u64,
    call: &Call,
) -> Result<Receipt, Ended> {
    let Ok(taker) = joined.await else { return Err(late()) };
    call.tell(place.offset, bytes_total);
    let Taker { pieces, cut } = taker;
    let content = stream::unfold((pieces, place.offset), |(mut pieces, at)| async move {
        match pieces.recv().await {
            Some(Some(piece)) => {
                let next = at + piece.len() as u64;
                if at < bytes_total {
                    call.tell(next.min(bytes_total), bytes_total);
                }
                Some((Ok(piece), (pieces, next)))
            }
            Some(None) => None,
            None => Some((Err(TOO_SLOW), (pieces, at))),
        }
    });
    let sent = tokio::select! {
        biased;
        sent = task.send(content) => sent,
        // One that takes nothing waits for its worker, and does not look at its queue.
        Err(_) = cut => Err(TransferError::Source(TOO_SLOW.to_owned())),
    };
    match sent {
        Ok(_) => task.output().await.map_err(of_task),
        Err(TransferError::Source(why)) => Err(Ended::Again(why)),
        Err(error) => Err(sending::broken_off(task, error).await),
    }
}
