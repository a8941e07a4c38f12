//! Folders by handles: whoever has one can go down from it, name by name, and nowhere else.
//!
//! Each step opens one name in a folder that is held already, and follows no symbolic link. So neither `..` nor a link
//! that is swapped in at the wrong moment leads out: what was checked and what is used are one handle. `openat2` with
//! `RESOLVE_BENEATH` would do the same in one call, but only on Linux, and is refused in many containers.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, RawMode, Stat};

use super::error::{At, FilesError};
use super::path::{DEPTH_MAX, is_name};

/// What is under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    File,
    Folder,
    SymbolicLink,
    Other,
}

/// A folder.
#[derive(Debug)]
pub(super) struct Dir(OwnedFd);

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
/// Without blocking, since a name may turn out to be a pipe without a writer.
const FILE: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

impl Dir {
    /// Opens a folder of this machine's, links on the way followed: it is named by whoever runs the program.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(fs::openat(fs::CWD, path, flags, Mode::empty())?))
    }

    /// The same folder once more.
    pub(super) fn again(&self) -> Result<Self, FilesError> {
        Ok(Self(self.0.try_clone().at("")?))
    }

    /// The folder of that name.
    pub(super) fn folder(&self, name: &str) -> Result<Self, FilesError> {
        let opened = fs::openat(&self.0, name, FOLDER, Mode::empty());
        self.explained(opened, name).map(Self)
    }

    /// The folder of that name, made if it is not there.
    pub(super) fn make_folder(&self, name: &str, mode: u32) -> Result<Self, FilesError> {
        match fs::mkdirat(&self.0, name, mode_of(mode)) {
            Ok(()) => self.sync(name)?,
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error).at(name),
        }
        self.folder(name)
    }

    /// The folder at the end of a way.
    pub(super) fn walk(&self, names: &[String]) -> Result<Self, FilesError> {
        names.iter().try_fold(self.again()?, |folder, name| folder.folder(name))
    }

    /// The folder at the end of a way, which is made as far as it is not there.
    pub(super) fn make_way(&self, names: &[String]) -> Result<Self, FilesError> {
        names.iter().try_fold(self.again()?, |folder, name| folder.make_folder(name, 0o755))
    }

    /// Opens a file to read it.
    pub(super) fn file(&self, name: &str) -> Result<File, FilesError> {
        self.open_file(name, OFlags::RDONLY)
    }

    /// Opens a file to write it, from what is there; it is made if it is not there, for its owner only.
    pub(super) fn make_file(&self, name: &str) -> Result<File, FilesError> {
        self.open_file(name, OFlags::RDWR | OFlags::CREATE)
    }

    /// Opens a file to write it, if it is there.
    pub(super) fn file_to_write(&self, name: &str) -> Result<File, FilesError> {
        self.open_file(name, OFlags::RDWR)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> Result<File, FilesError> {
        let opened = fs::openat(&self.0, name, FILE | flags, mode_of(0o600));
        let file = File::from(self.explained(opened, name)?);
        let kind = file.metadata().at(name)?.file_type();
        match kind {
            _ if kind.is_file() => Ok(file),
            _ if kind.is_dir() => Err(FilesError::IsAFolder { path: name.to_owned() }),
            _ => Err(FilesError::NotAFile { path: name.to_owned() }),
        }
    }

    /// Says of a name that does not open what it is: errors alone do not tell a link from a file.
    fn explained(&self, opened: rustix::io::Result<OwnedFd>, name: &str) -> Result<OwnedFd, FilesError> {
        let path = || name.to_owned();
        opened.at(name).map_err(|error| match self.find(name) {
            Ok(Found::SymbolicLink) => FilesError::SymbolicLink { path: path() },
            Ok(Found::Other) => FilesError::NotAFile { path: path() },
            _ => error,
        })
    }

    fn stat(&self, name: &str) -> Result<Option<Stat>, FilesError> {
        match fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error).at(name),
        }
    }

    /// What is under a name now.
    pub(super) fn find(&self, name: &str) -> Result<Found, FilesError> {
        let Some(stat) = self.stat(name)? else { return Ok(Found::Nothing) };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Found::File,
            FileType::Directory => Found::Folder,
            FileType::Symlink => Found::SymbolicLink,
            _ => Found::Other,
        })
    }

    /// Its own mode.
    pub(super) fn mode(&self) -> Result<u32, FilesError> {
        let mode: RawMode = fs::fstat(&self.0).at("")?.st_mode;
        Ok(mode & 0o777)
    }

    /// Sets its mode.
    pub(super) fn set_mode(&self, mode: u32) -> Result<(), FilesError> {
        fs::fchmod(&self.0, mode_of(mode)).at("")
    }

    /// The names in it, in order, without `.` and `..`.
    ///
    /// # Errors
    /// [`FilesError::TooMany`] beyond `names_max`.
    pub(super) fn names(&self, names_max: usize) -> Result<Vec<Name>, FilesError> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.0).at("")? {
            let entry = entry.at("")?;
            let bytes = entry.file_name().to_bytes();
            if bytes == b"." || bytes == b".." {
                continue;
            }
            if names.len() >= names_max {
                return Err(FilesError::TooMany { entries_max: names_max as u64 });
            }
            let text = String::from_utf8_lossy(bytes);
            let is_plain = matches!(text, std::borrow::Cow::Borrowed(name) if is_name(name));
            names.push(Name { text: text.into_owned(), is_plain });
        }
        names.sort();
        Ok(names)
    }

    /// Moves what is under a name to a name in another folder of the same file system, over what is there.
    pub(super) fn rename(&self, name: &str, to: &Self, to_name: &str) -> Result<(), FilesError> {
        fs::renameat(&self.0, name, &to.0, to_name).at(to_name)
    }

    /// Removes a file, if it is there.
    pub(super) fn remove_file(&self, name: &str) -> Result<(), FilesError> {
        match fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error).at(name),
        }
    }

    /// Removes a folder, if it is there and empty.
    pub(super) fn remove_folder(&self, name: &str) -> Result<(), FilesError> {
        match fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error).at(name),
        }
    }

    /// Removes what is under a name with all in it. Links are removed, not followed.
    pub(super) fn remove_all(&self, name: &str) -> Result<(), FilesError> {
        self.remove_below(name, 2 * DEPTH_MAX)
    }

    fn remove_below(&self, name: &str, depth_left: usize) -> Result<(), FilesError> {
        if self.find(name)? != Found::Folder {
            return self.remove_file(name);
        }
        if depth_left == 0 {
            return Err(FilesError::TooMany { entries_max: 2 * DEPTH_MAX as u64 });
        }
        let folder = self.folder(name)?;
        for inner in folder.names(usize::MAX)? {
            if inner.is_plain {
                folder.remove_below(&inner.text, depth_left - 1)?;
            }
        }
        self.remove_folder(name)
    }

    /// Lets nobody else have this folder while the handle lives.
    ///
    /// # Errors
    /// [`FilesError::InUse`] when somebody else has it.
    pub(super) fn lock(&self) -> Result<(), FilesError> {
        fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive).at("")
    }

    /// When it was last changed, in seconds of the file system's clock.
    pub(super) fn changed_at(&self) -> Result<i64, FilesError> {
        Ok(fs::fstat(&self.0).at("")?.st_mtime as i64)
    }

    /// Waits until its names are on the disk.
    pub(super) fn sync(&self, name: &str) -> Result<(), FilesError> {
        fs::fsync(self.0.as_fd()).at(name)
    }
}

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) text: String,
    /// Whether it can be sent: it is UTF-8, and not kept for this crate.
    pub(super) is_plain: bool,
}

/// A mode without what gives a program more rights than its caller's.
pub(super) fn mode_of(mode: u32) -> Mode {
    Mode::from_raw_mode((mode & 0o777) as RawMode)
}
