//! Sending files to a worker and getting them from it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use phalanx_base::NodeId;
use phalanx_jobs::{CallOptions, Reason, WorkerHandle};
use tokio::time::{Instant, sleep};

use super::class::{Progress, Receipt};
use super::error::FilesError;
use super::{local, receiving, sending};

/// How long one question may take: the worker may have to hash 256 MiB on a slow disk before it answers.
const QUESTION_MAX: Duration = Duration::from_secs(120);

/// How long a call goes on without getting farther, unless said otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first pause before another try; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The greatest pause between tries.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Why a file or folder was not sent or got.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesClientError {
    /// The worker says so.
    #[error("at the worker: {0}")]
    Worker(FilesError),
    /// This node says so.
    #[error("at this node: {0}")]
    Local(FilesError),
    /// The call was not taken.
    #[error("the worker did not take the call: {0}")]
    Call(Reason),
    /// It broke off, and got no farther for as long as the patience goes. What has arrived is kept.
    #[error("it got no farther for {waited:?} ({why}): call again later, it goes on from what has arrived")]
    GaveUp {
        /// How long it was tried without getting farther.
        waited: Duration,
        /// What was said last.
        why: String,
    },
    /// A single file was wanted, and there is a folder. Nothing was got.
    #[error("it is a folder: get it with all that is in it, or name a file in it")]
    IsFolder,
}

/// How one try ended without success.
#[derive(Debug)]
pub(super) enum Ended {
    /// Another one would end alike.
    Finally(FilesClientError),
    /// Another one may get farther.
    Again(String),
    /// The worker did not take it. Another one may be taken, but the time that this one took counts as waiting.
    Away(String),
}

impl From<FilesError> for Ended {
    /// What this node itself says.
    fn from(error: FilesError) -> Self {
        if error.may_pass() {
            Self::Again(error.to_string())
        } else {
            Self::Finally(FilesClientError::Local(error))
        }
    }
}

/// Whom to tell how far a call is.
pub(super) type Tell = Arc<dyn Fn(Progress) + Send + Sync>;

/// What all tries of one call have in common.
pub(super) struct Call {
    pub(super) worker: WorkerHandle,
    pub(super) root: String,
    pub(super) path: String,
    pub(super) tell: Option<Tell>,
    /// Whether a folder is got too.
    pub(super) takes_folders: bool,
    /// How far the best try has come.
    pub(super) best: u64,
}

impl Call {
    /// So many bytes are done.
    pub(super) fn tell(&self, bytes: u64, bytes_total: u64) {
        if let Some(tell) = &self.tell {
            tell(Progress { bytes, bytes_total });
        }
    }
}

/// The files of one worker. Cheap to clone; making and dropping it does nothing. Use it on a tokio runtime: files of this
/// node are read and written on the threads it has for blocking work.
#[derive(Clone)]
pub struct FilesClient {
    worker: WorkerHandle,
    patience: Duration,
    tell: Option<Tell>,
    takes_folders: bool,
}

impl FilesClient {
    /// Those of this worker.
    #[must_use]
    pub fn new(worker: WorkerHandle) -> Self {
        let options = CallOptions { deadline: QUESTION_MAX, ..CallOptions::default() };
        Self { worker: worker.with(options), patience: PATIENCE, tell: None, takes_folders: true }
    }

    /// How long a call goes on without getting farther, when links are lost or the worker starts again; 60 seconds unless
    /// said otherwise.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Gets no folders, only files.
    #[must_use]
    pub fn files_only(mut self) -> Self {
        self.takes_folders = false;
        self
    }

    /// Tells how far a call is, with each chunk. It must return soon.
    #[must_use]
    pub fn progress(mut self, tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.tell = Some(Arc::new(tell));
        self
    }

    /// Sends a file or folder of this node to `path` below a root of the worker. A file takes the place of what is there. A
    /// folder appears as a whole where nothing was; a folder that is there keeps what else it has. Folders on the way are
    /// made. Permission bits are kept, owners and times are not; symbolic links are refused.
    ///
    /// Nothing happens at the destination before everything has arrived and has the right hashes. Where a link is lost, or the
    /// worker starts again, the call goes on from what has arrived. So does a later call, of this process
    /// or another one, after this one was dropped or killed: what has arrived is known by the worker, the destination, and the
    /// list of names, sizes and modes, and counts only where it has the hash of what is sent.
    ///
    /// # Errors
    /// [`FilesClientError`]; the destination is as it was, but for what [`FilesError::System`] says of folders.
    pub async fn put(
        &self,
        from: impl AsRef<Path>,
        root: &str,
        path: &str,
    ) -> Result<Receipt, FilesClientError> {
        let from = from.as_ref().to_owned();
        let opened = local::run(move || local::source(&from)).await.map_err(FilesClientError::Local)?;
        self.put_outgoing(self.call(root, path), &sending::Outgoing::new(opened)).await
    }

    /// Sends what was opened, in as many tries as it takes.
    pub(super) async fn put_outgoing(
        &self,
        mut call: Call,
        outgoing: &sending::Outgoing,
    ) -> Result<Receipt, FilesClientError> {
        let mut tries = Tries::new(self.patience);
        loop {
            let (before, begun) = (call.best, Instant::now());
            // Boxed, so that the caller's own future stays small.
            match Box::pin(sending::put(&mut call, outgoing, tries.is_first)).await {
                Ok(receipt) => return Ok(receipt),
                Err(ended) => tries.again(ended, begun, call.best > before).await?,
            }
        }
    }

    /// Gets what is at `path` below a root of the worker, and puts it at `to` on this node, whose folder must be there. For
    /// the rest as [`put`](Self::put).
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn get(
        &self,
        root: &str,
        path: &str,
        to: impl AsRef<Path>,
    ) -> Result<Receipt, FilesClientError> {
        let to = to.as_ref().to_owned();
        let (folder, name) = local::run(move || local::place(&to)).await.map_err(FilesClientError::Local)?;
        let (mut call, mut tries) = (self.call(root, path), Tries::new(self.patience));
        loop {
            let (before, begun) = (call.best, Instant::now());
            match Box::pin(receiving::get(&mut call, &folder, &name, tries.is_first)).await {
                Ok(receipt) => return Ok(receipt),
                Err(ended) => tries.again(ended, begun, call.best > before).await?,
            }
        }
    }

    pub(super) fn worker(&self) -> &NodeId {
        self.worker.id()
    }

    pub(super) fn call(&self, root: &str, path: &str) -> Call {
        Call {
            worker: self.worker.clone(),
            root: root.to_owned(),
            path: path.to_owned(),
            tell: self.tell.clone(),
            takes_folders: self.takes_folders,
            best: 0,
        }
    }
}

/// The tries of one call, with pauses between them, until one succeeds or none gets farther.
struct Tries {
    patience: Duration,
    waited: Duration,
    pause: Duration,
    is_first: bool,
}

impl Tries {
    fn new(patience: Duration) -> Self {
        Self { patience, waited: Duration::ZERO, pause: PAUSE_MIN, is_first: true }
    }

    /// Waits until it is time for another try after one that has ended so, if there is to be one.
    async fn again(
        &mut self,
        ended: Ended,
        begun: Instant,
        got_farther: bool,
    ) -> Result<(), FilesClientError> {
        let why = match ended {
            Ended::Finally(error) => return Err(error),
            Ended::Again(why) => why,
            Ended::Away(why) => {
                self.waited += begun.elapsed();
                why
            }
        };
        if got_farther {
            (self.waited, self.pause) = (Duration::ZERO, PAUSE_MIN);
        }
        if self.waited >= self.patience {
            return Err(FilesClientError::GaveUp { waited: self.waited, why });
        }
        tracing::debug!(why, "a transfer broke off: trying again");
        sleep(self.pause).await;
        self.waited += self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        self.is_first = false;
        Ok(())
    }
}
