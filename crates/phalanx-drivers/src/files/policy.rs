//! What a worker's program allows with its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::dir::Dir;
use super::error::FilesError;
use super::manifest::{ENTRIES_MAX, Limits};
use super::path::shown;

/// How many transfers run at one time, unless the policy says otherwise: each has a file open, and some chunks in memory.
const TRANSFERS_MAX: usize = 16;

/// What may be done in a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Files and folders may be got.
    Read,
    /// Files and folders may be sent, over what is there.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    fn allows(self, wanted: Self) -> bool {
        self == wanted || self == Self::ReadWrite
    }

    fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadWrite => "read and write",
        }
    }
}

/// What a worker's program allows: some folders under names, and caps. Without a root nothing is allowed.
#[derive(Debug, Clone)]
pub struct FilesPolicy {
    roots: BTreeMap<String, (PathBuf, Access)>,
    limits: Limits,
    transfers_max: usize,
}

impl Default for FilesPolicy {
    fn default() -> Self {
        Self { roots: BTreeMap::new(), limits: Limits::NONE, transfers_max: TRANSFERS_MAX }
    }
}

impl FilesPolicy {
    /// No root, no cap on sizes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder of this machine under a name, or changes what is under that name. Nothing outside of the folder can be
    /// reached through it.
    #[must_use]
    pub fn root(mut self, name: &str, folder: impl Into<PathBuf>, access: Access) -> Self {
        self.roots.insert(name.to_owned(), (folder.into(), access));
        self
    }

    /// How many bytes one file may have.
    #[must_use]
    pub fn file_bytes_max(mut self, bytes: u64) -> Self {
        self.limits.file_bytes_max = bytes;
        self
    }

    /// How many bytes all files of one call may have.
    #[must_use]
    pub fn call_bytes_max(mut self, bytes: u64) -> Self {
        self.limits.bytes_max = bytes;
        self
    }

    /// How many files and folders one call may have; never more than [`ENTRIES_MAX`].
    #[must_use]
    pub fn entries_max(mut self, entries: usize) -> Self {
        self.limits.entries_max = entries.min(ENTRIES_MAX);
        self
    }

    /// How many transfers run at one time; the default is 16.
    #[must_use]
    pub fn transfers_max(mut self, transfers: usize) -> Self {
        self.transfers_max = transfers;
        self
    }

    /// Opens the roots.
    pub(super) fn open(&self) -> Result<Opened, FilesPolicyError> {
        let mut roots = BTreeMap::new();
        for (name, (path, access)) in &self.roots {
            let opened = Dir::open(path);
            let dir = opened.map_err(|error| FilesPolicyError::new(name, path, &error))?;
            roots.insert(name.clone(), (dir, *access));
        }
        Ok(Opened { roots, limits: self.limits, transfers_max: self.transfers_max })
    }
}

/// Why a policy cannot be put into force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the root {name:?} does not open at {path:?}: {text}")]
pub struct FilesPolicyError {
    /// The root's name.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// The words of the operating system.
    pub text: String,
}

impl FilesPolicyError {
    fn new(name: &str, path: &Path, error: &std::io::Error) -> Self {
        Self { name: name.to_owned(), path: path.to_owned(), text: error.to_string() }
    }
}

/// A policy in force.
#[derive(Debug)]
pub(super) struct Opened {
    roots: BTreeMap<String, (Dir, Access)>,
    pub(super) limits: Limits,
    pub(super) transfers_max: usize,
}

impl Opened {
    /// The root of that name, for one use.
    pub(super) fn root(&self, name: &str, wanted: Access) -> Result<Dir, FilesError> {
        let root = shown(name);
        let Some((dir, access)) = self.roots.get(name) else { return Err(FilesError::NoSuchRoot { root }) };
        if !access.allows(wanted) {
            return Err(FilesError::NotAllowed { root, access: wanted.word().to_owned() });
        }
        dir.again()
    }
}
