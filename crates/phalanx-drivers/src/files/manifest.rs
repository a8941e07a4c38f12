//! What a file or folder consists of: the list of its entries, and the order in which their bytes travel.
//!
//! All files of a list, one after the other, are one row of bytes; so a place in it says how far everything has come.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::FilesError;
use super::path::{RelativePath, shown};

/// The BLAKE3 hash of a file.
pub type Digest = [u8; 32];

/// How many files and folders one call sends or gets.
pub const ENTRIES_MAX: usize = 100_000;

/// How many bytes a list has on the way: [`ENTRIES_MAX`] entries with paths of common length.
pub const LIST_BYTES_MAX: usize = 16 << 20;

/// One file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path below the top; the top itself has the empty one.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A folder.
    Folder,
    /// A file.
    File {
        /// Its size in bytes.
        bytes: u64,
        /// Its hash, where it is known beforehand.
        blake3: Option<Digest>,
    },
}

impl Entry {
    /// How many bytes it adds to the row.
    pub(super) fn bytes(&self) -> u64 {
        match self.kind {
            EntryKind::Folder => 0,
            EntryKind::File { bytes, .. } => bytes,
        }
    }
}

/// What a policy allows of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) file_bytes_max: u64,
    pub(super) bytes_max: u64,
    pub(super) entries_max: usize,
}

impl Limits {
    /// No more than the format allows.
    pub(super) const NONE: Self =
        Self { file_bytes_max: u64::MAX, bytes_max: u64::MAX, entries_max: ENTRIES_MAX };
}

/// A list that holds together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    entries: Vec<Entry>,
    /// Where each entry ends in the row of bytes.
    ends: Vec<u64>,
}

impl Manifest {
    /// Checks a list: the top first, folders before what is in them, each path once and none that leads out.
    ///
    /// # Errors
    /// [`FilesError::List`], [`FilesError::Path`], [`FilesError::TooMany`], [`FilesError::TooLarge`].
    pub(super) fn new(entries: Vec<Entry>, limits: Limits) -> Result<Self, FilesError> {
        if entries.len() > limits.entries_max {
            return Err(FilesError::TooMany { entries_max: limits.entries_max as u64 });
        }
        let refuse = |why: &str| FilesError::List { why: why.to_owned() };
        match entries.first() {
            Some(top) if top.path.is_empty() => {}
            _ => return Err(refuse("it does not begin with its top")),
        }
        let (mut folders, mut files) = (BTreeSet::new(), BTreeSet::new());
        let (mut ends, mut end) = (Vec::with_capacity(entries.len()), 0_u64);
        for entry in &entries {
            let path = RelativePath::parse(&entry.path)?;
            let parent = path.split().map(|(parent, _)| parent.to_vec());
            let has_parent = parent.is_none_or(|parent| folders.contains(&parent));
            if !has_parent {
                return Err(refuse("something comes before its folder"));
            }
            let names = path.names().to_vec();
            let is_new = !folders.contains(&names) && !files.contains(&names);
            if !is_new {
                return Err(refuse("a path is named twice"));
            }
            match entry.kind {
                EntryKind::Folder => folders.insert(names),
                EntryKind::File { .. } => files.insert(names),
            };
            let too_large =
                |bytes, bytes_max| FilesError::TooLarge { path: shown(&entry.path), bytes, bytes_max };
            if entry.bytes() > limits.file_bytes_max {
                return Err(too_large(entry.bytes(), limits.file_bytes_max));
            }
            end = end.checked_add(entry.bytes()).ok_or_else(|| refuse("it has too many bytes"))?;
            if end > limits.bytes_max {
                return Err(too_large(end, limits.bytes_max));
            }
            ends.push(end);
        }
        Ok(Self { entries, ends })
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many bytes all files have.
    pub(super) fn bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether its top is a folder.
    pub(super) fn is_folder(&self) -> bool {
        self.entries.first().is_some_and(|top| top.kind == EntryKind::Folder)
    }

    /// How many of its entries are files.
    pub(super) fn files(&self) -> u64 {
        self.entries.iter().filter(|entry| entry.kind != EntryKind::Folder).count() as u64
    }

    /// Where an entry begins in the row of bytes; where the row ends, for what is behind the last one.
    pub(super) fn start(&self, index: usize) -> u64 {
        match index.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or_else(|| self.bytes()),
            None => 0,
        }
    }

    /// Which entry has the byte at a place of the row, and where in it. `None` at the end.
    pub(super) fn locate(&self, offset: u64) -> Option<(usize, u64)> {
        let index = self.ends.partition_point(|end| *end <= offset);
        (index < self.entries.len()).then(|| (index, offset - self.start(index)))
    }

    /// The same with the hashes of its files.
    pub(super) fn with_digests(mut self, digests: &[Digest]) -> Self {
        for (entry, digest) in self.entries.iter_mut().zip(digests) {
            if let EntryKind::File { blake3, .. } = &mut entry.kind {
                *blake3 = Some(*digest);
            }
        }
        self
    }

    /// Its bytes on the way.
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(&self.entries).unwrap_or_default()
    }

    /// A list from its bytes. What is beyond the cap is not decoded.
    ///
    /// # Errors
    /// As [`Manifest::new`].
    pub(super) fn decode(bytes: &[u8], limits: Limits) -> Result<Self, FilesError> {
        let refuse = || FilesError::List { why: "it does not decode".to_owned() };
        let (count, mut rest) = postcard::take_from_bytes::<u64>(bytes).map_err(|_| refuse())?;
        if count > limits.entries_max as u64 {
            return Err(FilesError::TooMany { entries_max: limits.entries_max as u64 });
        }
        let mut entries = Vec::new();
        for _ in 0..count {
            let (entry, left) = postcard::take_from_bytes(rest).map_err(|_| refuse())?;
            entries.push(entry);
            rest = left;
        }
        if rest.is_empty() { Self::new(entries, limits) } else { Err(refuse()) }
    }

    /// The hash of everything: of a file its own, of a folder that of its list.
    pub(super) fn digest(&self) -> Digest {
        match self.entries.as_slice() {
            [Entry { kind: EntryKind::File { blake3: Some(digest), .. }, .. }] => *digest,
            _ => *blake3::hash(&self.encode()).as_bytes(),
        }
    }

    /// The name of what is to be staged for it. Equal names mean an equal list for an equal place; whether
    /// the content is equal too is compared.
    pub(super) fn stage_name(&self, place: &[&str]) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in place {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(&self.encode());
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

/// One hash for everything before a place of the row: of each file that is done its hash, and of the one that is not the hash
/// of what is. What has no bytes does not count, since it may be done at both sides of the same place.
pub(super) fn so_far(manifest: &Manifest, digests: &[Digest], prefix: Option<Digest>) -> Digest {
    let done = manifest.entries.iter().zip(digests).filter(|(entry, _)| entry.bytes() > 0);
    let mut hasher = blake3::Hasher::new();
    for digest in done.map(|(_, digest)| digest).chain(&prefix) {
        hasher.update(digest);
    }
    *hasher.finalize().as_bytes()
}

/// How far the row of bytes was read or written, and hashed.
#[derive(Debug, Clone, Default)]
pub(super) struct Cursor {
    within: u64,
    hasher: blake3::Hasher,
    /// Of each entry before the present one; a folder has zeroes.
    digests: Vec<Digest>,
}

impl Cursor {
    /// The number of the present entry.
    pub(super) fn index(&self) -> usize {
        self.digests.len()
    }

    /// How many bytes of the present entry are done.
    pub(super) fn within(&self) -> u64 {
        self.within
    }

    pub(super) fn offset(&self, manifest: &Manifest) -> u64 {
        manifest.start(self.index()) + self.within
    }

    pub(super) fn present<'a>(&self, manifest: &'a Manifest) -> Option<&'a Entry> {
        manifest.entries().get(self.index())
    }

    /// More bytes of the present entry.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.within += bytes.len() as u64;
    }

    /// The hash of what is done of the present entry.
    pub(super) fn prefix(&self) -> Digest {
        *self.hasher.finalize().as_bytes()
    }

    /// One hash for everything that is done.
    pub(super) fn so_far(&self, manifest: &Manifest) -> Digest {
        so_far(manifest, &self.digests, (self.within > 0).then(|| self.prefix()))
    }

    /// The present entry is done.
    pub(super) fn next(&mut self, is_folder: bool) {
        self.digests.push(if is_folder { [0; 32] } else { self.prefix() });
        self.again();
    }

    /// The present entry begins anew.
    pub(super) fn again(&mut self) {
        self.hasher.reset();
        self.within = 0;
    }

    pub(super) fn digests(&self) -> &[Digest] {
        &self.digests
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
