//! A file or folder that is read: its list, and its row of bytes from any place.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

use bytes::{Bytes, BytesMut};

use super::dir::{Dir, Found};
use super::error::{At, FilesError};
use super::manifest::{Cursor, Digest, Entry, EntryKind, Limits, Manifest, so_far};
use super::path::{DEPTH_MAX, PARTIALS, RelativePath, shown};

/// How many bytes are read at one time to be hashed only.
const HASH_BYTES: u64 = 1 << 20;

/// How a file was when the list was made: what differs later has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Mark {
    fn of(file: &File, path: &str) -> Result<Self, FilesError> {
        let metadata = file.metadata().at(path)?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Ok(Self { inode: metadata.ino(), bytes: metadata.len(), modified })
    }
}

/// What is read.
#[derive(Debug)]
enum Top {
    /// A file, in its folder.
    File(Dir, String),
    Folder(Dir),
}

/// A file or folder that is read. Its files must not change until that is over.
#[derive(Debug)]
pub(super) struct Source {
    top: Top,
    manifest: Manifest,
    marks: Vec<Option<Mark>>,
    /// The file that was read last, and its number.
    open: Option<(usize, File)>,
    /// How far everything was hashed, from the begin.
    cursor: Cursor,
    bytes_read: u64,
}

/// What a walk through a folder has found.
struct Walk {
    entries: Vec<Entry>,
    marks: Vec<Option<Mark>>,
    entries_max: usize,
}

impl Source {
    /// Looks at what is at a path.
    pub(super) fn open(root: &Dir, path: &RelativePath, limits: Limits) -> Result<Self, FilesError> {
        let mut walk = Walk { entries: Vec::new(), marks: Vec::new(), entries_max: limits.entries_max };
        let top = match path.split() {
            None => Top::Folder(root.again()?),
            Some((folders, name)) => {
                let parent = root.walk(folders)?;
                match parent.find(name)? {
                    Found::Folder => Top::Folder(parent.folder(name)?),
                    _ => Top::File(parent, name.to_owned()),
                }
            }
        };
        match &top {
            Top::File(parent, name) => walk.add_file("", &parent.file(name)?)?,
            Top::Folder(folder) => walk.add_folder("", folder, 0)?,
        }
        let manifest = Manifest::new(walk.entries, limits)?;
        Ok(Self { top, manifest, marks: walk.marks, open: None, cursor: Cursor::default(), bytes_read: 0 })
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How many bytes of files were read, for whatever purpose.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// How far everything was hashed, from the begin.
    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The bytes of the row from `offset`, `bytes_max` of them unless it ends before. What follows on what was hashed is
    /// hashed too.
    pub(super) fn read(&mut self, offset: u64, bytes_max: usize) -> Result<Bytes, FilesError> {
        let left = self.manifest.bytes().saturating_sub(offset);
        let wanted = bytes_max.min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut read = BytesMut::zeroed(wanted);
        let mut done = 0;
        while done < wanted {
            let at = offset + done as u64;
            let Some((index, within)) = self.manifest.locate(at) else { break };
            let room = self.manifest.entries()[index].bytes() - within;
            let take = (wanted - done).min(usize::try_from(room).unwrap_or(usize::MAX));
            let piece = &mut read[done..done + take];
            self.read_file(index, within, piece)?;
            self.settle();
            if self.cursor.offset(&self.manifest) == at && self.cursor.index() == index {
                self.cursor.feed(piece);
                self.settle();
            }
            done += take;
        }
        Ok(read.freeze())
    }

    /// Hashes on until a place of the row, but no more than `budget` bytes.
    pub(super) fn hash_through(&mut self, through: u64, budget: u64) -> Result<(), FilesError> {
        self.settle();
        let from = self.cursor.offset(&self.manifest);
        let through = through.min(self.manifest.bytes()).min(from.saturating_add(budget));
        loop {
            let at = self.cursor.offset(&self.manifest);
            if at >= through {
                return Ok(());
            }
            self.read(at, usize::try_from((through - at).min(HASH_BYTES)).unwrap_or(usize::MAX))?;
        }
    }

    /// What travels from a place on, `bytes_max` of it at most: of the row of bytes, and behind it of the hashes of all entries. Nothing at the
    /// end. Everything before the place must have been hashed.
    pub(super) fn piece(&mut self, at: u64, bytes_max: usize) -> Result<Bytes, FilesError> {
        let bytes = self.manifest.bytes();
        if at < bytes {
            return self.read(at, bytes_max);
        }
        self.settle();
        let hashes = self.cursor.digests().as_flattened();
        let from = usize::try_from(at - bytes).unwrap_or(usize::MAX).min(hashes.len());
        Ok(Bytes::copy_from_slice(&hashes[from..hashes.len().min(from.saturating_add(bytes_max))]))
    }

    /// One hash for everything before a place of the row.
    pub(super) fn so_far(&mut self, offset: u64) -> Result<Digest, FilesError> {
        self.hash_through(offset, u64::MAX)?;
        if self.cursor.offset(&self.manifest) == offset {
            return Ok(self.cursor.so_far(&self.manifest));
        }
        let Some((index, within)) = self.manifest.locate(offset) else { return Err(FilesError::OutOfTurn) };
        let prefix = if within > 0 { Some(self.prefix(offset)?) } else { None };
        Ok(so_far(&self.manifest, &self.cursor.digests()[..index], prefix))
    }

    /// The hash of the file that a place of the row is in, up to that place.
    pub(super) fn prefix(&mut self, offset: u64) -> Result<Digest, FilesError> {
        let mut hasher = blake3::Hasher::new();
        if let Some((index, within)) = self.manifest.locate(offset) {
            let (mut at, mut buffer) = (0, vec![0; HASH_BYTES as usize]);
            while at < within {
                let take = usize::try_from((within - at).min(HASH_BYTES)).unwrap_or(usize::MAX);
                self.read_file(index, at, &mut buffer[..take])?;
                hasher.update(&buffer[..take]);
                at += take as u64;
            }
        }
        Ok(*hasher.finalize().as_bytes())
    }

    fn read_file(&mut self, index: usize, within: u64, piece: &mut [u8]) -> Result<(), FilesError> {
        let path = shown(&self.manifest.entries()[index].path);
        self.bytes_read += piece.len() as u64;
        if self.open.as_ref().is_none_or(|(open, _)| *open != index) {
            let file = self.open_file(index)?;
            self.check(index, &file)?;
            self.open = Some((index, file));
        }
        let Some((_, file)) = &self.open else { return Err(FilesError::Changed { path }) };
        match file.read_exact_at(piece, within) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(FilesError::Changed { path });
            }
            Err(error) => return Err(error).at(&path),
        }
        // What was read is from before any change that is seen now.
        self.check(index, file)
    }

    fn open_file(&self, index: usize) -> Result<File, FilesError> {
        match &self.top {
            Top::File(parent, name) => parent.file(name),
            Top::Folder(folder) => {
                let path = RelativePath::parse(&self.manifest.entries()[index].path)?;
                let (folders, name) = path.split().ok_or(FilesError::OutOfTurn)?;
                folder.walk(folders)?.file(name)
            }
        }
    }

    fn check(&self, index: usize, file: &File) -> Result<(), FilesError> {
        let path = shown(&self.manifest.entries()[index].path);
        let now = Mark::of(file, &path)?;
        if self.marks[index] == Some(now) { Ok(()) } else { Err(FilesError::Changed { path }) }
    }

    /// Goes on to the next entry that has bytes left.
    fn settle(&mut self) {
        while let Some(entry) = self.cursor.present(&self.manifest) {
            if self.cursor.within() < entry.bytes() {
                break;
            }
            self.cursor.next(entry.kind == EntryKind::Folder);
        }
    }
}

impl Walk {
    fn add(&mut self, path: &str, mode: u32, kind: EntryKind, mark: Option<Mark>) -> Result<(), FilesError> {
        if self.entries.len() >= self.entries_max {
            return Err(FilesError::TooMany { entries_max: self.entries_max as u64 });
        }
        self.entries.push(Entry { path: path.to_owned(), mode, kind });
        self.marks.push(mark);
        Ok(())
    }

    fn add_file(&mut self, path: &str, file: &File) -> Result<(), FilesError> {
        let mark = Mark::of(file, path)?;
        let mode = file.metadata().at(path)?.mode() & 0o777;
        self.add(path, mode, EntryKind::File { bytes: mark.bytes, blake3: None }, Some(mark))
    }

    fn add_folder(&mut self, path: &str, folder: &Dir, depth: usize) -> Result<(), FilesError> {
        if depth > DEPTH_MAX {
            return Err(FilesError::Path { path: shown(path), why: "it is too deep".to_owned() });
        }
        self.add(path, folder.mode()?, EntryKind::Folder, None)?;
        for name in folder.names(self.entries_max)? {
            let below = if path.is_empty() { name.text.clone() } else { format!("{path}/{}", name.text) };
            if name.text == PARTIALS {
                continue;
            }
            if !name.is_plain {
                let why = "its name is not UTF-8, or kept for other uses: rename it".to_owned();
                return Err(FilesError::Path { path: shown(&below), why });
            }
            match folder.find(&name.text)? {
                Found::File => self.add_file(&below, &folder.file(&name.text)?)?,
                Found::Folder => self.add_folder(&below, &folder.folder(&name.text)?, depth + 1)?,
                Found::SymbolicLink => return Err(FilesError::SymbolicLink { path: shown(&below) }),
                Found::Nothing => return Err(FilesError::Changed { path: shown(&below) }),
                Found::Other => return Err(FilesError::NotAFile { path: shown(&below) }),
            }
        }
        Ok(())
    }
}
