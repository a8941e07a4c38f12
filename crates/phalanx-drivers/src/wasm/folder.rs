//! Where modules are kept: one file for each version, with what was announced of it, and one that names the defaults.
//!
//! A file is written beside its place, synced and renamed into it, so that it is there as a whole or not at all. What is read
//! back is believed no more than what a peer sends: signature, length and hash are checked again.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::catalogue::Defaults;
use super::class::Announced;
use super::names::BETWEEN;
use super::policy::WasmPolicyError;

/// Begins each file of a module: another layout gets another one.
const MAGIC: &[u8; 16] = b"phalanx wasm 1\r\n";
/// The longest announcement, in bytes: names, hash, key and signature.
const HEAD_BYTES_MAX: usize = 1 << 10;
/// The most bytes of the file of defaults: far more than the names of all modules and versions there can be.
const DEFAULTS_BYTES_MAX: u64 = 1 << 20;
/// The most files that are looked at.
const FILES_MAX: usize = 8_192;

const EXTENSION: &str = "module";
const DEFAULTS: &str = "defaults";
const LOCK: &str = ".lock";
/// Where each file is written before it is one. Changes come one after the other.
const WRITING: &str = ".writing";

/// The folder, which no other process uses.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens a folder, and makes it if it is not there.
    pub(super) fn open(path: &Path) -> Result<Self, WasmPolicyError> {
        let path = path.to_owned();
        let folder =
            |error: &io::Error| WasmPolicyError::Folder { path: path.clone(), text: error.to_string() };
        fs::create_dir_all(&path).map_err(|error| folder(&error))?;
        let lock = File::create(path.join(LOCK)).map_err(|error| folder(&error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(WasmPolicyError::FolderInUse { path }),
            Err(TryLockError::Error(error)) => return Err(folder(&error)),
        }
        match fs::remove_file(path.join(WRITING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(folder(&error)),
            Ok(()) | Err(_) => {}
        }
        Ok(Self { path, _lock: lock })
    }

    /// Keeps a version.
    pub(super) fn keep(&self, announced: &Announced, source: &[u8]) -> io::Result<()> {
        let head = postcard::to_stdvec(announced).map_err(io::Error::other)?;
        let length = u32::try_from(head.len()).map_err(io::Error::other)?.to_le_bytes();
        self.write(&name(&announced.module, &announced.version), &[MAGIC, &length, &head, source])
    }

    /// Forgets a version.
    pub(super) fn forget(&self, module: &str, version: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name(module, version))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.sync()
    }

    pub(super) fn write_defaults(&self, defaults: &Defaults) -> io::Result<()> {
        let bytes = postcard::to_stdvec(defaults).map_err(io::Error::other)?;
        self.write(DEFAULTS, &[blake3::hash(&bytes).as_bytes(), &bytes])
    }

    /// The defaults that were written down; none if there are none, or nobody can read them.
    pub(super) fn defaults(&self) -> Defaults {
        let read = || {
            let bytes = self.read(DEFAULTS, DEFAULTS_BYTES_MAX).ok()?;
            let (hash, bytes) = bytes.split_first_chunk::<32>()?;
            if blake3::hash(bytes) != *hash {
                return None;
            }
            postcard::from_bytes(bytes).ok()
        };
        read().unwrap_or_default()
    }

    /// The names of the files of modules, in order.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)?.take(FILES_MAX) {
            let file = entry?.file_name();
            let is_module = Path::new(&file).extension().is_some_and(|extension| extension == EXTENSION);
            if let (true, Some(file)) = (is_module, file.to_str()) {
                names.push(file.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// What a file says of itself, and the source in it. Whether that is true is not known yet.
    pub(super) fn module(&self, file: &str, source_bytes_max: u64) -> io::Result<(Announced, Vec<u8>)> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is no file of a module");
        let bytes = self.read(file, source_bytes_max.saturating_add(2 * HEAD_BYTES_MAX as u64))?;
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > HEAD_BYTES_MAX || length > rest.len() {
            return Err(damaged());
        }
        let (head, source) = rest.split_at(length);
        let announced: Announced = postcard::from_bytes(head).map_err(|_| damaged())?;
        // Else one file could hide another.
        if name(&announced.module, &announced.version) != file {
            return Err(damaged());
        }
        Ok((announced, source.to_vec()))
    }

    fn read(&self, file: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
        let file = File::open(self.path.join(file))?;
        if file.metadata()?.len() > bytes_max {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {bytes_max} bytes")));
        }
        let mut bytes = Vec::new();
        file.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let writing = self.path.join(WRITING);
        let mut file = File::create(&writing)?;
        let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // What does not fit is of no use later.
            let _ = fs::remove_file(&writing);
            return Err(error);
        }
        fs::rename(&writing, self.path.join(name))?;
        self.sync()
    }

    /// Waits until its names are on the disk.
    fn sync(&self) -> io::Result<()> {
        // Elsewhere a folder is no file that could be synced.
        if cfg!(unix) { File::open(&self.path)?.sync_all() } else { Ok(()) }
    }
}

fn name(module: &str, version: &str) -> String {
    format!("{module}{BETWEEN}{version}.{EXTENSION}")
}
