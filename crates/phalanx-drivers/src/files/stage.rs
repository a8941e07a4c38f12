//! What has arrived so far, and how it becomes the destination.
//!
//! Files are written under numbers into a folder beside their destination, hashed as they come, and synced. Only when all
//! of them are whole does anything happen at the destination: each file is renamed into it. What broke off before is
//! found again by the name of its list, hashed anew, compared, and gone on with.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use super::dir::{Dir, Found, mode_of};
use super::error::{At, FilesError};
use super::manifest::{Cursor, Entry, EntryKind, Manifest};
use super::path::{PARTIALS, RelativePath, shown};

/// How many transfers that broke off a root keeps; beyond it the oldest are deleted. Who goes on does so within minutes.
const PARTIALS_MAX: usize = 64;

/// How many names in the folder of partials are looked at.
const PARTIALS_SEEN_MAX: usize = 4_096;

/// How many bytes are hashed at one time.
const HASH_BYTES: usize = 1 << 20;

/// How often the folder is made again that another call has just removed.
const OPEN_TRIES: usize = 3;

/// Where a folder is put together whose destination is not there yet.
const TREE: &str = "tree";

/// What has arrived of one list.
#[derive(Debug)]
pub(super) struct Stage {
    root: Dir,
    name: String,
    dir: Dir,
    manifest: Manifest,
    cursor: Cursor,
    /// The file of the present entry, once it is open.
    file: Option<File>,
    is_scanned: bool,
    resumed_bytes: u64,
}

impl Stage {
    /// Opens what has arrived under that name, or begins it. Nobody else has it until this value is dropped.
    ///
    /// # Errors
    /// [`FilesError::InUse`] while somebody else has it.
    pub(super) fn open(root: &Dir, name: &str, manifest: Manifest) -> Result<Self, FilesError> {
        let mut tries = OPEN_TRIES;
        let dir = loop {
            match Self::open_folder(root, name) {
                Err(FilesError::NotFound { .. }) if tries > 0 => tries -= 1,
                opened => break opened?,
            }
        };
        dir.remove_all(TREE)?;
        Ok(Self {
            root: root.again()?,
            name: name.to_owned(),
            dir,
            manifest,
            cursor: Cursor::default(),
            file: None,
            is_scanned: false,
            resumed_bytes: 0,
        })
    }

    fn open_folder(root: &Dir, name: &str) -> Result<Dir, FilesError> {
        let partials = root.make_folder(PARTIALS, 0o700)?;
        evict(&partials, name)?;
        let dir = partials.make_folder(name, 0o700)?;
        dir.lock()?;
        Ok(dir)
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// How far everything has arrived.
    pub(super) fn offset(&self) -> u64 {
        self.cursor.offset(&self.manifest)
    }

    /// How much of it was there when this call began.
    pub(super) fn resumed_bytes(&self) -> u64 {
        self.resumed_bytes
    }

    /// Hashes what is there already, but no more than `budget` bytes. Says whether that is done.
    pub(super) fn scan(&mut self, budget: u64) -> Result<bool, FilesError> {
        let mut left = budget;
        while !self.is_scanned {
            let Some(entry) = self.cursor.present(&self.manifest) else {
                self.is_scanned = true;
                break;
            };
            if entry.kind == EntryKind::Folder {
                self.cursor.next(true);
                continue;
            }
            let entry = entry.clone();
            if !self.scan_file(&entry, &mut left)? {
                return Ok(false);
            }
        }
        self.resumed_bytes = self.offset();
        Ok(true)
    }

    /// Hashes on in the present file. Says whether there was budget for all of it.
    fn scan_file(&mut self, entry: &Entry, left: &mut u64) -> Result<bool, FilesError> {
        let number = self.cursor.index().to_string();
        if self.file.is_none() {
            match self.dir.file_to_write(&number) {
                Ok(file) => self.file = Some(file),
                Err(FilesError::NotFound { .. }) => {
                    self.is_scanned = true;
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &mut self.file else { return Err(FilesError::OutOfTurn) };
        let there = file.metadata().at(&number)?.len();
        let mut buffer = vec![0; HASH_BYTES.min(usize::try_from(there).unwrap_or(usize::MAX)).max(1)];
        while there <= entry.bytes() && self.cursor.within() < there {
            if *left == 0 {
                return Ok(false);
            }
            let read = file.read(&mut buffer).at(&number)?;
            if read == 0 {
                break;
            }
            self.cursor.feed(&buffer[..read]);
            *left = left.saturating_sub(read as u64);
        }
        let is_whole = self.cursor.within() == entry.bytes() && there == entry.bytes();
        if is_whole && is_right(&self.cursor, entry) {
            self.finish_file(entry)?;
            return Ok(true);
        }
        self.is_scanned = true;
        if is_whole || self.cursor.within() != there {
            self.begin_file_again()?;
        }
        Ok(true)
    }

    fn begin_file_again(&mut self) -> Result<(), FilesError> {
        self.cursor.again();
        self.file = None;
        self.dir.remove_file(&self.cursor.index().to_string())
    }

    /// Forgets what has arrived.
    pub(super) fn restart(&mut self) -> Result<(), FilesError> {
        self.empty()?;
        (self.cursor, self.file, self.is_scanned, self.resumed_bytes) = (Cursor::default(), None, true, 0);
        Ok(())
    }

    fn empty(&self) -> Result<(), FilesError> {
        for name in self.dir.names(usize::MAX)? {
            self.dir.remove_all(&name.text)?;
        }
        Ok(())
    }

    /// Takes the next bytes of the row.
    ///
    /// # Errors
    /// [`FilesError::Corrupt`] where a file has another hash than was announced, [`FilesError::DiskFull`], and others. The
    /// place is then where it was before the file; what has arrived stays until it is discarded.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), FilesError> {
        loop {
            let Some(entry) = self.cursor.present(&self.manifest).cloned() else {
                let why = "more bytes came than it has".to_owned();
                return if bytes.is_empty() { Ok(()) } else { Err(FilesError::List { why }) };
            };
            if entry.kind == EntryKind::Folder {
                self.cursor.next(true);
                continue;
            }
            let room = usize::try_from(entry.bytes() - self.cursor.within()).unwrap_or(usize::MAX);
            if bytes.is_empty() && room > 0 {
                return Ok(());
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.write_file(&entry, now)?;
            bytes = later;
        }
    }

    fn write_file(&mut self, entry: &Entry, bytes: &[u8]) -> Result<(), FilesError> {
        if self.file.is_none() {
            let file = self.dir.make_file(&self.cursor.index().to_string())?;
            file.set_len(0).at(&entry.path)?;
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else { return Err(FilesError::OutOfTurn) };
        file.write_all(bytes).at(&entry.path)?;
        self.cursor.feed(bytes);
        if self.cursor.within() == entry.bytes() {
            if !is_right(&self.cursor, entry) {
                return Err(FilesError::Corrupt { path: shown(&entry.path) });
            }
            self.finish_file(entry)?;
        }
        Ok(())
    }

    /// The present file is whole.
    fn finish_file(&mut self, entry: &Entry) -> Result<(), FilesError> {
        if let Some(file) = self.file.take() {
            let mode = mode_of(entry.mode).as_raw_mode();
            #[allow(clippy::useless_conversion, reason = "modes have 16 bits on some systems")]
            file.set_permissions(std::fs::Permissions::from_mode(mode.into())).at(&entry.path)?;
            file.sync_all().at(&entry.path)?;
        }
        self.cursor.next(false);
        Ok(())
    }

    /// Whether everything has arrived.
    pub(super) fn is_whole(&mut self) -> Result<bool, FilesError> {
        // What has no bytes arrives without any.
        self.write(&[])?;
        Ok(self.cursor.present(&self.manifest).is_none())
    }

    /// Whether what comes can be put there, as far as that can be known beforehand.
    pub(super) fn check_place(&self, path: &RelativePath) -> Result<(), FilesError> {
        let Some((folders, name)) = path.split() else {
            let is_folder = self.manifest.is_folder();
            return if is_folder { Ok(()) } else { Err(FilesError::IsAFolder { path: String::new() }) };
        };
        let mut parent = self.root.again()?;
        for folder in folders {
            match parent.folder(folder) {
                Ok(next) => parent = next,
                Err(FilesError::NotFound { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let path = shown(name);
        match (parent.find(name)?, self.manifest.is_folder()) {
            (Found::Folder, false) => Err(FilesError::IsAFolder { path }),
            (Found::File | Found::Other, true) => Err(FilesError::NotAFolder { path }),
            (Found::SymbolicLink, true) => Err(FilesError::SymbolicLink { path }),
            _ => Ok(()),
        }
    }

    /// Puts what has arrived in its place. The folders on the way are made.
    ///
    /// # Errors
    /// [`FilesError::Interrupted`] when not everything has arrived; with others what had arrived is deleted. A folder that
    /// was there before may have some of the files then, each of them whole.
    pub(super) fn commit(mut self, path: &RelativePath) -> Result<(), FilesError> {
        if !self.is_whole()? {
            return Err(FilesError::Interrupted);
        }
        let placed = self.place(path);
        let discarded = self.discard();
        placed.and(discarded)
    }

    fn place(&self, path: &RelativePath) -> Result<(), FilesError> {
        let Some((folders, name)) = path.split() else { return self.fill(&self.root.again()?) };
        let parent = self.root.make_way(folders)?;
        if self.manifest.is_folder() {
            self.place_folder(&parent, name)?;
        } else {
            self.dir.rename("0", &parent, name)?;
        }
        parent.sync(name)
    }

    /// A folder that is not there appears as a whole; one that is there is filled file by file.
    fn place_folder(&self, parent: &Dir, name: &str) -> Result<(), FilesError> {
        match parent.find(name)? {
            Found::Nothing => {
                let tree = self.dir.make_folder(TREE, 0o700)?;
                self.fill(&tree)?;
                self.dir.rename(TREE, parent, name)
            }
            Found::Folder => self.fill(&parent.folder(name)?),
            Found::SymbolicLink => Err(FilesError::SymbolicLink { path: name.to_owned() }),
            Found::File | Found::Other => Err(FilesError::NotAFolder { path: name.to_owned() }),
        }
    }

    fn fill(&self, top: &Dir) -> Result<(), FilesError> {
        for (number, entry) in self.manifest.entries().iter().enumerate() {
            let path = RelativePath::parse(&entry.path)?;
            let Some((folders, name)) = path.split() else { continue };
            let parent = top.walk(folders)?;
            match entry.kind {
                EntryKind::Folder => drop(parent.make_folder(name, 0o700)?),
                EntryKind::File { .. } => self.dir.rename(&number.to_string(), &parent, name)?,
            }
        }
        // From the inside out: a folder that may not be written any more has all its names by then.
        for entry in self.manifest.entries().iter().rev() {
            if entry.kind == EntryKind::Folder {
                let folder = top.walk(RelativePath::parse(&entry.path)?.names())?;
                folder.set_mode(entry.mode)?;
                folder.sync(&entry.path)?;
            }
        }
        Ok(())
    }

    /// Deletes what has arrived.
    pub(super) fn discard(self) -> Result<(), FilesError> {
        self.empty()?;
        let partials = self.root.folder(PARTIALS)?;
        partials.remove_folder(&self.name)?;
        // Another call may have something in it.
        let _ = self.root.remove_folder(PARTIALS);
        Ok(())
    }
}

/// Whether the present file has the hash that was announced.
fn is_right(cursor: &Cursor, entry: &Entry) -> bool {
    match entry.kind {
        EntryKind::File { blake3: Some(expected), .. } => cursor.prefix() == expected,
        EntryKind::File { blake3: None, .. } | EntryKind::Folder => true,
    }
}

/// Deletes the oldest of what broke off, beyond what is kept. What somebody has stays.
fn evict(partials: &Dir, wanted: &str) -> Result<(), FilesError> {
    let names = partials.names(PARTIALS_SEEN_MAX)?;
    if names.len() < PARTIALS_MAX || names.iter().any(|name| name.text == wanted) {
        return Ok(());
    }
    let mut folders = Vec::new();
    for name in names {
        if let Ok(folder) = partials.folder(&name.text)
            && folder.lock().is_ok()
        {
            folders.push((folder.changed_at()?, name.text, folder));
        }
    }
    folders.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    let surplus = (folders.len() + 1).saturating_sub(PARTIALS_MAX);
    for (_, name, folder) in folders.into_iter().take(surplus) {
        tracing::info!(name, "deleting the oldest transfer that broke off: others came since");
        partials.remove_all(&name)?;
        drop(folder);
    }
    Ok(())
}

#[cfg(test)]
#[path = "stage_tests.rs"]
mod tests;
