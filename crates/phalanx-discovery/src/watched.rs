//! Notices that a file or a folder is not what it was, by looking at it now and then.
//!
//! Looking works on every file system and needs nothing to be set up. What happens twice within one tick of the file
//! system's clock, and leaves length and inode as they were, goes unseen until the next refresh.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// What tells one state from another. An editor that replaces a file by renaming another one changes the inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    length_bytes: u64,
    device: u64,
    inode: u64,
}

impl Stamp {
    /// The stamp of what stands at a path now; `None` where there is nothing that can be looked at.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::from)
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            modified: metadata.modified().ok(),
            length_bytes: metadata.len(),
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// A path, and what stood there when it was last looked at. `None` inside means that nothing was there.
#[derive(Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    seen: Mutex<Option<Option<Stamp>>>,
}

impl Watched {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, seen: Mutex::new(None) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes what stands there, and says whether that is something else than was noted before. Whoever reads takes the
    /// stamp *before* it reads, so that what comes in between is seen as a change.
    pub(crate) fn note(&self, stamp: Option<Stamp>) -> bool {
        let before = self.seen.lock().unwrap_or_else(PoisonError::into_inner).replace(stamp);
        before.is_some_and(|before| before != stamp)
    }

    /// Returns once something else stands there than was last noted. Looks at once, and then again with this pause.
    pub(crate) async fn changed(&self, pause: Duration) {
        loop {
            let path = self.path.clone();
            // Only a runtime that ends lets a look fail; then there is nobody to tell.
            if let Ok(stamp) = tokio::task::spawn_blocking(move || Stamp::of(&path)).await
                && self.note(stamp)
            {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }
}
