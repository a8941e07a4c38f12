//! This process's entry: a file under an exclusive lock for as long as the node is published.
//!
//! The kernel drops the lock with the process, however that ends. The file is written and locked under a name that
//! nobody takes for an entry, and then renamed: whoever finds the entry finds it whole and locked.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use phalanx_base::Entropy;

use super::entry::{Entry, EntryName};

/// How often to begin anew where a cleaner was faster than the lock. It has to hit the moment between two system calls
/// each time.
const TRIES_MAX: usize = 8;

/// For all to read, where they may enter the folder: an entry has no secret.
const MODE: u32 = 0o644;

/// A published entry. Once dropped it is dead, and the next who looks removes the file.
#[derive(Debug)]
pub(super) struct OwnEntry {
    file: File,
    path: PathBuf,
}

impl OwnEntry {
    /// Publishes an entry in a folder that has been checked.
    pub(super) fn publish(folder: &Path, entry: &Entry, entropy: &dyn Entropy) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::WouldBlock);
        for _ in 0..TRIES_MAX {
            let name = EntryName::new(entry.boot.clone(), entropy.bits64());
            match Self::try_publish(folder, &name, entry) {
                Ok(own) => return Ok(own),
                // The file vanished, or somebody holds it to see whether it is dead, or the name is taken.
                Err(error) if is_race(&error) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn try_publish(folder: &Path, name: &EntryName, entry: &Entry) -> io::Result<Self> {
        let unfinished = folder.join(name.unfinished().to_string());
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&unfinished)?;
        let path = folder.join(name.to_string());
        let published = (|| {
            file.try_lock()?;
            file.write_all(entry.to_text().as_bytes())?;
            std::fs::rename(&unfinished, &path)
        })();
        match published {
            Ok(()) => Ok(Self { file, path }),
            Err(error) => {
                let _ = std::fs::remove_file(&unfinished);
                Err(error)
            }
        }
    }

    /// Whether the file is still there: cleaners of temporary files may take it, or a person.
    pub(super) fn is_there(&self) -> bool {
        let same = |there: std::fs::Metadata, own: std::fs::Metadata| {
            (there.dev(), there.ino()) == (own.dev(), own.ino())
        };
        match (std::fs::symlink_metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(own)) => same(there, own),
            _ => false,
        }
    }

    /// Takes the entry back. Its name is nobody else's, so that this removes no other.
    pub(super) fn remove(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn is_race(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::WouldBlock | io::ErrorKind::AlreadyExists)
}
