//! Files and folders of any size, to a worker and from it.
//!
//! What arrives is staged beside its destination, verified file by file with BLAKE3, and renamed into place when all of it
//! is there; what broke off goes on from what has arrived. Nothing outside of the roots of the worker's policy can be
//! reached: names are steps down from a handle, and no symbolic link is followed.

mod arrival;
mod asking;
mod broadcast;
mod claims;
mod class;
mod client;
mod dir;
mod error;
mod fan_out;
mod getting;
mod local;
mod manifest;
mod path;
mod policy;
mod putting;
mod receiving;
mod sending;
mod server;
mod source;
mod stage;

pub use class::{
    Announced, CHUNK_BYTES, Files, FilesCommand, FilesReply, FilesTask, PROGRESS_BYTES, Place, Progress,
    Receipt, Wanted,
};
pub use client::{FilesClient, FilesClientError};
pub use error::FilesError;
pub use fan_out::{FanOut, FannedOut, put_many};
pub use manifest::{Digest, ENTRIES_MAX, Entry, EntryKind, LIST_BYTES_MAX};
pub use path::{DEPTH_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX};
pub use policy::{Access, FilesPolicy, FilesPolicyError};
pub use server::FileServer;
