//! One file or folder to many workers: the source is read and hashed once for all of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::stream;
use phalanx_base::NodeId;
use phalanx_jobs::{TaskHandle, TransferError, WorkerHandle};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::asking::of_task;
use super::broadcast::{Broadcast, Taker};
use super::class::{CHUNK_BYTES, Files, Place, Progress, Receipt};
use super::client::{Call, Ended, FilesClient, FilesClientError};
use super::local;
use super::sending::{self, Outgoing};

/// How many workers one pass through the source is for: each has a stream and a queue. Beyond them there is another pass.
const WORKERS_MAX: usize = 256;

/// How long a worker may take to say what it has already: a pass does not wait for one that is gone, or that has much to look
/// through.
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
/// is lost on the way, and who was not ready at the begin, is sent the rest for itself once the others have everything; for
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
                        Err(Ended::Again(why)) => {
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
        let beginning = calls.iter().map(|call| async move {
            let begun = timeout(READY_MAX, sending::begin(call, outgoing, false)).await;
            begun.unwrap_or_else(|_| Err(Ended::Again("it was not ready in time".to_owned())))
        });
        let (mut joining, mut takes) = (Vec::new(), Vec::new());
        for (begun, call) in join_all(beginning).await.into_iter().zip(&calls) {
            let begun = begun.map(|(task, place)| {
                let (join, joined) = oneshot::channel();
                joining.push((place, join));
                (task, place, joined)
            });
            takes.push(take(begun, outgoing.bytes(), call));
        }
        let feeding = feed(Broadcast::new(self.lag_max), outgoing, joining);
        let (results, ()) = join(join_all(takes), feeding).await;
        results
    }
}

/// Who joins a pass, and where.
type Joining = (Place, oneshot::Sender<Taker>);

/// Reads the source once, and gives it to whoever has joined by then. When it cannot be read nobody gets the end.
async fn feed(mut broadcast: Broadcast, outgoing: &Outgoing, mut joining: Vec<Joining>) {
    joining.sort_by_key(|(place, _)| std::cmp::Reverse(place.offset));
    let mut at = 0;
    loop {
        while let Some((place, join)) = joining.pop_if(|(place, _)| place.offset == at) {
            // Who has something else begins anew, for itself.
            if outgoing.so_far(at).await.is_ok_and(|ours| ours == place.so_far) {
                let _ = join.send(broadcast.add());
            }
        }
        let next = joining.last().map(|(place, _)| place.offset);
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
    begun: Result<(TaskHandle<Files>, Place, oneshot::Receiver<Taker>), Ended>,
    bytes_total: u64,
    call: &Call,
) -> Result<Receipt, Ended> {
    let (task, place, joined) = begun?;
    let Ok(taker) = joined.await else { return Err(Ended::Again("it has something else".to_owned())) };
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
        Err(error) => Err(sending::broken_off(&task, error).await),
    }
}
