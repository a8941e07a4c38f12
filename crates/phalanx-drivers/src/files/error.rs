//! What can go wrong with files, in words that say what to do.

use std::io;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::path::shown;

/// Why a file or folder was not sent or got. Unless a variant says otherwise, the destination is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum FilesError {
    /// The worker has no root of that name.
    #[error("the worker has no root {root:?}: name one of its policy, or add it there")]
    NoSuchRoot {
        /// The name.
        root: String,
    },
    /// The worker's policy does not allow that in this root.
    #[error("the worker's policy does not allow to {access} in root {root:?}")]
    NotAllowed {
        /// The root.
        root: String,
        /// What was asked for: `read` or `write`.
        access: String,
    },
    /// The path leads out of its root, or is no path at all.
    #[error("the path {path:?} is refused: {why}")]
    Path {
        /// The path (shortened).
        path: String,
        /// Why.
        why: String,
    },
    /// There is no such file or folder.
    #[error("there is no {path:?}")]
    NotFound {
        /// The path.
        path: String,
    },
    /// A part of the path is a symbolic link, which is never followed.
    #[error("{path:?} is a symbolic link, which is not followed: name what it points to")]
    SymbolicLink {
        /// The path.
        path: String,
    },
    /// It is neither a file nor a folder.
    #[error("{path:?} is neither a file nor a folder: leave it out")]
    NotAFile {
        /// The path.
        path: String,
    },
    /// A folder is wanted where a file is.
    #[error("{path:?} is not a folder: choose another name, or move it away")]
    NotAFolder {
        /// The path.
        path: String,
    },
    /// A file is wanted where a folder is.
    #[error("{path:?} is a folder: choose another name, or move it away")]
    IsAFolder {
        /// The path.
        path: String,
    },
    /// The operating system does not allow it.
    #[error("the operating system does not allow {path:?}: look at its owner and mode")]
    Denied {
        /// The path.
        path: String,
    },
    /// It is larger than the worker's policy allows.
    #[error(
        "{path:?} has {bytes} bytes, where {bytes_max} are allowed: send less, or raise the cap at the worker"
    )]
    TooLarge {
        /// The path.
        path: String,
        /// Its size in bytes.
        bytes: u64,
        /// The cap.
        bytes_max: u64,
    },
    /// A folder has too much in it.
    #[error("the folder has more than {entries_max} files and folders: send its parts one by one")]
    TooMany {
        /// The cap.
        entries_max: u64,
    },
    /// There is no room on the disk. What had arrived is deleted again.
    #[error("the disk is full at {path:?}: make room, then send it again")]
    DiskFull {
        /// The path.
        path: String,
    },
    /// The destination is on another file system than its root, so that nothing can be renamed into it.
    #[error("{path:?} is on another file system than its root: make it a root of its own")]
    OtherFileSystem {
        /// The path.
        path: String,
    },
    /// The file has changed while it was read.
    #[error("{path:?} changed while it was read: try again when nobody writes it")]
    Changed {
        /// The path.
        path: String,
    },
    /// What arrived has another hash than what was announced; it is deleted.
    #[error("{path:?} arrived with another hash than it was sent with: send it again")]
    Corrupt {
        /// The path.
        path: String,
    },
    /// The list of what is to come does not hold together.
    #[error("the list of files is refused: {why}")]
    List {
        /// Why.
        why: String,
    },
    /// It broke off. What has arrived is kept, and the next try goes on from there.
    #[error("the transfer broke off: try again, it goes on from what has arrived")]
    Interrupted,
    /// The same content is sent to the same place by a later call.
    #[error("a later call sends the same to the same place")]
    Superseded,
    /// Another process, or a call that does not let go, has it.
    #[error("somebody else is at it: try again later")]
    InUse,
    /// As many transfers run as the worker's policy allows.
    #[error("the worker runs {transfers_max} transfers, and no more: try again later")]
    Busy {
        /// The cap.
        transfers_max: u64,
    },
    /// A command came that does not fit.
    #[error("the two ends disagree on what comes next: let both have the same version")]
    OutOfTurn,
    /// The operating system says something else. A folder may be there in part.
    #[error("{path:?}: {text}")]
    System {
        /// The path.
        path: String,
        /// Its words.
        text: String,
    },
}

impl FilesError {
    /// What the operating system says about a path.
    pub(super) fn of(path: &str, error: &io::Error) -> Self {
        let path = shown(path);
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        match errno {
            Some(Errno::NOENT) => Self::NotFound { path },
            Some(Errno::LOOP) => Self::SymbolicLink { path },
            Some(Errno::NOTDIR) => Self::NotAFolder { path },
            Some(Errno::ISDIR) => Self::IsAFolder { path },
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Self::Denied { path },
            Some(Errno::NOSPC | Errno::DQUOT) => Self::DiskFull { path },
            Some(Errno::XDEV) => Self::OtherFileSystem { path },
            Some(Errno::WOULDBLOCK) => Self::InUse,
            _ => Self::System { path, text: error.to_string() },
        }
    }

    /// Whether the same may well go on later, with what has arrived.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Interrupted | Self::InUse | Self::Busy { .. })
    }
}

/// Adds a path to what the operating system says.
pub(super) trait At<T> {
    fn at(self, path: &str) -> Result<T, FilesError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &str) -> Result<T, FilesError> {
        self.map_err(|error| FilesError::of(path, &error))
    }
}

impl<T> At<T> for rustix::io::Result<T> {
    fn at(self, path: &str) -> Result<T, FilesError> {
        self.map_err(|error| FilesError::of(path, &error.into()))
    }
}
