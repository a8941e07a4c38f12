//! Reads the entries of a folder, tells the living from the dead by their locks, and removes the dead.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::entry::{Entry, EntryName};

/// How many names of a folder are read: room for a folder that is used for other things too, and an end after a fraction
/// of a second.
const NAMES_MAX: usize = 200_000;

/// How many entries are opened: some thirty clusters of 128 control nodes on one machine. The dead are removed, so that
/// they cannot hide the living for long.
const ENTRIES_MAX: usize = 4_096;

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The entries whose processes run, by name.
    pub(super) living: Vec<Entry>,
    /// What else was there, for people to read.
    pub(super) passed_over: Vec<String>,
}

/// Reads a folder that has been checked.
pub(super) fn scan(folder: &Path) -> io::Result<Scan> {
    let mut names = Vec::new();
    let mut files = std::fs::read_dir(folder)?;
    for file in files.by_ref().take(NAMES_MAX) {
        let name = file?.file_name();
        names.extend(name.to_str().and_then(|name| name.parse::<EntryName>().ok()));
    }
    let mut scan = Scan::default();
    if files.next().is_some() || names.len() > ENTRIES_MAX {
        tracing::warn!(folder = %folder.display(), "too many files: some nodes may not be found; clean the folder");
        scan.passed_over.push("more files than are looked at: clean the folder".to_owned());
    }
    for name in names.into_iter().take(ENTRIES_MAX) {
        match examine(&folder.join(name.to_string()), &name) {
            Ok(entry) => scan.living.push(entry),
            Err(why) => scan.passed_over.push(format!("{name}: {why}")),
        }
    }
    // The order of a folder is no order.
    scan.living.sort_by(|a, b| (&a.boot, a.process).cmp(&(&b.boot, b.process)));
    Ok(scan)
}

/// The entry of a process that runs, or why there is none.
fn examine(path: &Path, name: &EntryName) -> Result<Entry, &'static str> {
    let mut file = open(path).map_err(|_| "cannot be opened")?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err("is not a file");
    }
    // A shared lock: two who look at the same time must not take each other for the owner.
    let is_dead = match file.try_lock_shared() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(_)) => return Err("cannot be locked"),
    };
    if !name.is_finished() {
        return Err(match is_dead {
            true => removed(path),
            false => "is being written",
        });
    }
    let mut text = Vec::new();
    file.by_ref().take(Entry::BYTES_MAX + 1).read_to_end(&mut text).map_err(|_| "cannot be read")?;
    if text.len() as u64 > Entry::BYTES_MAX {
        return Err("is too long for an entry");
    }
    let entry = Entry::from_text(&text).filter(|entry| name.is_of(entry));
    match (entry, is_dead) {
        (None, _) => Err("is no entry that this version can read"),
        (Some(entry), false) => Ok(entry),
        (Some(_), true) => Err(removed(path)),
    }
}

/// Opens without following a link and without waiting at a pipe.
fn open(path: &Path) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map(File::from)
}

/// Removes the file of a process that has ended.
fn removed(path: &Path) -> &'static str {
    match std::fs::remove_file(path) {
        Ok(()) => "its process has ended: removed",
        // In a folder of several users each removes its own.
        Err(_) => "its process has ended",
    }
}
