//! What arrives, the same at a worker and at the node that gets: first the bytes, then the hash of each entry, by which they are
//! compared as a whole.

use super::class::{Place, Receipt};
use super::error::FilesError;
use super::manifest::{Digest, EntryKind};
use super::path::{RelativePath, shown};
use super::stage::Stage;

const DIGEST_BYTES: usize = size_of::<Digest>();

/// What has arrived.
#[derive(Debug)]
pub(super) struct Arrival {
    stage: Stage,
    /// The hashes that came behind the bytes.
    hashes: Vec<u8>,
}

impl Arrival {
    pub(super) fn new(stage: Stage) -> Self {
        Self { stage, hashes: Vec::new() }
    }

    /// How far everything has arrived.
    pub(super) fn offset(&self) -> u64 {
        self.stage.offset()
    }

    /// How far it is to arrive.
    pub(super) fn bytes_total(&self) -> u64 {
        self.stage.manifest().bytes()
    }

    /// How far everything has arrived, and what.
    pub(super) fn place(&self) -> Place {
        Place { offset: self.offset(), so_far: self.stage.cursor().so_far(self.stage.manifest()) }
    }

    /// As [`Stage::scan`].
    pub(super) fn scan(&mut self, budget: u64) -> Result<bool, FilesError> {
        self.stage.scan(budget)
    }

    /// Forgets what has arrived.
    pub(super) fn restart(&mut self) -> Result<(), FilesError> {
        self.stage.restart()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// As [`Stage::write`].
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        let left = usize::try_from(self.bytes_total() - self.offset()).unwrap_or(usize::MAX);
        let (content, hashes) = bytes.split_at(left.min(bytes.len()));
        if !content.is_empty() {
            self.stage.write(content)?;
        }
        let hashes_max = self.stage.manifest().entries().len() * DIGEST_BYTES;
        if self.hashes.len() + hashes.len() > hashes_max {
            return Err(FilesError::List { why: "more bytes came than it has".to_owned() });
        }
        self.hashes.extend_from_slice(hashes);
        Ok(())
    }

    /// Compares what has arrived with what was sent, and puts it in its place.
    ///
    /// # Errors
    /// [`FilesError::Corrupt`], and as [`Stage::commit`]. Where not everything has come it is kept, else deleted.
    pub(super) fn commit(mut self, path: &RelativePath) -> Result<Receipt, FilesError> {
        if !self.stage.is_whole()? {
            return Err(FilesError::Interrupted);
        }
        if let Some(path) = self.first_difference() {
            self.stage.discard()?;
            return Err(FilesError::Corrupt { path });
        }
        let manifest = self.stage.manifest().clone().with_digests(self.stage.cursor().digests());
        let receipt = Receipt {
            files: manifest.files(),
            bytes: manifest.bytes(),
            resumed_bytes: self.stage.resumed_bytes(),
            blake3: manifest.digest(),
        };
        self.stage.commit(path).map(|()| receipt)
    }

    /// Deletes what has arrived.
    pub(super) fn discard(self) -> Result<(), FilesError> {
        self.stage.discard()
    }

    /// The path of the first file whose hash is another one than was sent, or was not sent.
    fn first_difference(&self) -> Option<String> {
        let mut sent = self.hashes.chunks_exact(DIGEST_BYTES);
        let entries = self.stage.manifest().entries().iter();
        let differs = |(entry, ours): &(&super::manifest::Entry, &Digest)| {
            let same = sent.next().is_some_and(|theirs| theirs == *ours);
            !same && entry.kind != EntryKind::Folder
        };
        entries.zip(self.stage.cursor().digests()).find(differs).map(|(entry, _)| shown(&entry.path))
    }
}
