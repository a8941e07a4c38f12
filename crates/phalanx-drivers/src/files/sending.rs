//! One try to send a file or folder to a worker.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use phalanx_jobs::{TaskHandle, TransferError};

use super::asking::{ask, last_word, of_task, start, unexpected};
use super::class::{
    Announced, CHUNK_BYTES, Files, FilesCommand, FilesReply, FilesTask, Place, Progress, Receipt,
};
use super::client::{Call, Ended, FilesClientError, Tell};
use super::error::FilesError;
use super::local;
use super::manifest::{Digest, Manifest};
use super::source::Source;

/// What is sent. Its clones are the same.
#[derive(Clone)]
pub(super) struct Outgoing {
    manifest: Arc<Manifest>,
    /// Held by blocking work only, one at a time.
    source: Arc<Mutex<Source>>,
}

impl Outgoing {
    pub(super) fn new(source: Source) -> Self {
        let manifest = source.manifest().clone();
        Self { manifest: Arc::new(manifest), source: Arc::new(Mutex::new(source)) }
    }

    /// How many bytes all files have.
    pub(super) fn bytes(&self) -> u64 {
        self.manifest.bytes()
    }

    /// How many bytes were read as yet.
    pub(super) fn bytes_read(&self) -> u64 {
        lock(&self.source).bytes_read()
    }

    /// As [`Source::piece`].
    pub(super) async fn piece(&self, at: u64, bytes_max: usize) -> Result<Bytes, FilesError> {
        let source = self.source.clone();
        local::run(move || lock(&source).piece(at, bytes_max)).await
    }

    /// As [`Source::so_far`].
    pub(super) async fn so_far(&self, offset: u64) -> Result<Digest, FilesError> {
        let source = self.source.clone();
        local::run(move || lock(&source).so_far(offset)).await
    }
}

/// Starts a call that sends: its task, and how far everything has arrived there.
pub(super) async fn begin(
    call: &Call,
    outgoing: &Outgoing,
    is_first: bool,
) -> Result<(TaskHandle<Files>, Place), Ended> {
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
    let place = arrived(&task).await?;
    Ok((task, place))
}

/// Sends what the worker does not have.
pub(super) async fn put(call: &mut Call, outgoing: &Outgoing, is_first: bool) -> Result<Receipt, Ended> {
    let (task, mut place) = begin(call, outgoing, is_first).await?;
    if outgoing.so_far(place.offset).await? != place.so_far {
        match ask(&task, FilesCommand::Restart).await? {
            FilesReply::Arrived(anew) => place = anew,
            _ => return Err(unexpected()),
        }
    }
    call.best = call.best.max(place.offset);
    let bytes_total = outgoing.bytes();
    call.tell(place.offset, bytes_total);
    let content = content(outgoing, place.offset, call.tell.clone());
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
pub(super) async fn broken_off(task: &TaskHandle<Files>, error: TransferError) -> Ended {
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

/// What travels from a place on.
fn content(
    outgoing: &Outgoing,
    from: u64,
    tell: Option<Tell>,
) -> impl Stream<Item = Result<Bytes, FilesError>> + Send {
    let (outgoing, bytes_total) = (outgoing.clone(), outgoing.bytes());
    stream::unfold(from, move |offset| {
        let (outgoing, tell) = (outgoing.clone(), tell.clone());
        async move {
            let read = outgoing.piece(offset, CHUNK_BYTES as usize).await;
            let next = match &read {
                Ok(chunk) if chunk.is_empty() => return None,
                Ok(chunk) => offset + chunk.len() as u64,
                // Nobody asks on.
                Err(_) => u64::MAX,
            };
            if let Some(tell) = tell.filter(|_| offset < bytes_total && read.is_ok()) {
                tell(Progress { bytes: next, bytes_total });
            }
            Some((read, next))
        }
    })
}
