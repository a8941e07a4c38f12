//! One try to send a file or folder to a worker.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use phalanx_jobs::{TaskHandle, TransferError};

use super::asking::{ask, last_word, of_task, start, unexpected};
use super::class::{Announced, CHUNK_BYTES, Files, FilesCommand, FilesReply, FilesTask, Place, Receipt};
use super::client::{Call, Ended, FilesClientError, Tell};
use super::error::FilesError;
use super::local;
use super::manifest::Manifest;
use super::source::Source;

/// What is sent.
pub(super) struct Outgoing {
    manifest: Manifest,
    /// Held by blocking work only, one at a time.
    source: Arc<Mutex<Source>>,
}

impl Outgoing {
    /// What was hashed as a whole.
    pub(super) fn new(source: Source) -> Self {
        let manifest = source.manifest().clone().with_digests(source.cursor().digests());
        Self { manifest, source: Arc::new(Mutex::new(source)) }
    }
}

/// Sends what the worker does not have.
pub(super) async fn put(call: &mut Call, outgoing: &Outgoing, is_first: bool) -> Result<Receipt, Ended> {
    let manifest = &outgoing.manifest;
    let what = match manifest.entries() {
        [file] if !manifest.is_folder() => Announced::File(file.clone()),
        _ => Announced::Folder,
    };
    let task = FilesTask::Put { root: call.root.clone(), path: call.path.clone(), what };
    let task = start(call, task, is_first).await?;
    if manifest.is_folder()
        && let Err(error) = task.send_bytes(manifest.encode()).await
    {
        return Err(broken_off(&task, error).await);
    }
    let mut place = arrived(&task).await?;
    let source = outgoing.source.clone();
    let ours = local::run(move || lock(&source).prefix(place.offset)).await?;
    if ours != place.prefix {
        match ask(&task, FilesCommand::Restart).await? {
            FilesReply::Arrived(anew) => place = anew,
            _ => return Err(unexpected()),
        }
    }
    call.best = call.best.max(place.offset);
    let bytes_total = manifest.bytes();
    call.tell(place.offset, bytes_total);
    let content = content(outgoing.source.clone(), place.offset, bytes_total, call.tell.clone());
    if let Err(error) = task.send(content).await {
        return Err(broken_off(&task, error).await);
    }
    task.output().await.map_err(of_task)
}

/// How far everything has arrived.
async fn arrived(task: &TaskHandle<Files>) -> Result<Place, Ended> {
    loop {
        match ask(task, FilesCommand::Arrived).await? {
            FilesReply::Arrived(place) => return Ok(place),
            FilesReply::Looking => {}
            _ => return Err(unexpected()),
        }
    }
}

/// Why a transfer broke off: the task knows best.
async fn broken_off(task: &TaskHandle<Files>, error: TransferError) -> Ended {
    let known = match error {
        // The source names what it could not read; that no worker knows.
        TransferError::Source(text) => {
            return Ended::Finally(FilesClientError::Local(FilesError::System { path: String::new(), text }));
        }
        error => Ended::Again(error.to_string()),
    };
    last_word(task, known).await
}

fn lock(source: &Mutex<Source>) -> std::sync::MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The row of bytes from a place on.
fn content(
    source: Arc<Mutex<Source>>,
    from: u64,
    bytes_total: u64,
    tell: Option<Tell>,
) -> impl Stream<Item = Result<Bytes, FilesError>> + Send {
    stream::unfold(from, move |offset| {
        let (source, tell) = (source.clone(), tell.clone());
        async move {
            if offset >= bytes_total {
                return None;
            }
            let read = local::run(move || lock(&source).read(offset, CHUNK_BYTES as usize)).await;
            let next = match &read {
                Ok(chunk) => offset + chunk.len() as u64,
                Err(_) => bytes_total,
            };
            if let Some(tell) = tell {
                tell(super::class::Progress { bytes: next, bytes_total });
            }
            Some((read, next))
        }
    })
}
