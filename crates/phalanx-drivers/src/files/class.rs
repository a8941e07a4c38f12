//! The contract of files: what the two ends tell each other.
//!
//! Content travels as transfers, each way in the same form: the bytes of all files, one after the other, from some place on, and
//! behind them the hash of each entry, so that the source is read once. What the ends agree on is small, and travels as commands.

use phalanx_jobs::{JobClass, Nothing};
use serde::{Deserialize, Serialize};

use super::error::FilesError;
use super::manifest::{Digest, Entry};

/// The job class of files. A worker has it once its program has registered a [`FileServer`](super::FileServer). Use it
/// through [`FilesClient`](super::FilesClient).
#[derive(Debug)]
pub struct Files;

impl JobClass for Files {
    const NAME: &'static str = "driver.files";
    const VERSION: u32 = 2;
    type Request = Nothing;
    type Reply = Nothing;
    type Task = FilesTask;
    type Output = Receipt;
    type Command = FilesCommand;
    type CommandReply = FilesReply;
    type Event = Progress;
    type Error = FilesError;
}

/// A call, from the worker's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilesTask {
    /// A file or folder is sent to the worker. Its content comes as a transfer.
    Put {
        /// Below which root.
        root: String,
        /// Where in it.
        path: String,
        /// What comes.
        what: Announced,
    },
    /// A file or folder is got from the worker. Its list and its content are fetched from the task: see [`Wanted`].
    Get {
        /// Below which root.
        root: String,
        /// Where in it.
        path: String,
    },
}

/// What is going to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Announced {
    /// One file.
    File(Entry),
    /// A folder. The list of what is in it comes as a transfer of its own, before the content.
    Folder,
}

/// What a running call can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilesCommand {
    /// How far has everything arrived that is sent?
    Arrived,
    /// Forget what has arrived.
    Restart,
    /// Hash what is got up to a place: what is there already counts only where the hashes are the same.
    Hash {
        /// The place in the row of all bytes.
        through: u64,
    },
    /// Everything was got.
    Done,
}

/// The answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilesReply {
    /// What is there is still looked at: ask again.
    Looking,
    /// So far has everything arrived.
    Arrived(Place),
    /// So far was everything hashed: no farther than was asked for, and maybe less.
    Hashed(Place),
    /// So be it.
    Done,
}

/// What is wanted from a call that gets: the note of a transfer from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// The list of what is got.
    List,
    /// The row of all bytes, and behind it the hash of each entry.
    Content {
        /// From which place in the row.
        from: u64,
    },
}

/// A place in the row of all bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// How many bytes come before it.
    pub offset: u64,
    /// One hash for all that comes before it.
    pub so_far: Digest,
}

/// How far a call is. As an event it is told by the worker each [`PROGRESS_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How many bytes are done.
    pub bytes: u64,
    /// Of how many.
    pub bytes_total: u64,
}

/// What a call has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// How many files.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many of them were there already, from an earlier call that broke off.
    pub resumed_bytes: u64,
    /// The hash of the file; of a folder, that of its list with the hashes in it.
    pub blake3: Digest,
}

/// How many bytes are read and sent at a time: a chunk of a transfer.
pub const CHUNK_BYTES: u32 = 256 << 10;

/// How often the worker tells how far a call is, in bytes.
pub const PROGRESS_BYTES: u64 = 8 << 20;
