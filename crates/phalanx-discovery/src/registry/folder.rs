//! Where the entries are: which folder, and whether it may be trusted.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Who may enter a folder that we make: nobody else. Who wants the nodes of several users to see each other makes the
/// folder for them, with the sticky bit.
const MODE: u32 = 0o700;
const WORLD_WRITABLE: u32 = 0o002;
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

/// Why a folder is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    #[error(
        "cannot use the folder {0}: {1}; name one that this user may write: phalanx:///path;discover=registry"
    )]
    Io(PathBuf, #[source] io::Error),
    #[error(
        "{0} is not a folder, or a link to one: remove it, or name another: phalanx:///path;discover=registry"
    )]
    NotAFolder(PathBuf),
    #[error("the folder {0} belongs to another user ({1}): name another: phalanx:///path;discover=registry")]
    Foreign(PathBuf, u32),
    #[error("everybody may remove what is in the folder {0}: chmod o-w or +t it")]
    Open(PathBuf),
}

/// The folders where nodes are looked for by default; a node is published in the first that can be written.
pub(super) fn defaults() -> Vec<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    defaults_of(std::env::var_os("XDG_RUNTIME_DIR"), &std::env::temp_dir(), user)
}

fn defaults_of(runtime: Option<OsString>, temporary: &Path, user: u32) -> Vec<PathBuf> {
    // The specification of base directories has a path that is not absolute ignored.
    let runtime =
        runtime.map(PathBuf::from).filter(|path| path.is_absolute()).map(|path| path.join("phalanx"));
    let others = [PathBuf::from("/run/phalanx"), temporary.join(format!("phalanx-{user}"))];
    runtime.into_iter().chain(others).collect()
}

/// Makes the folder if it is not there, and checks it.
pub(super) fn make(folder: &Path) -> Result<(), FolderError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(MODE).create(folder);
    // What stands there instead of a folder has an error of its own.
    match check(folder)? {
        true => Ok(()),
        false => made.map_err(|error| FolderError::Io(folder.to_owned(), error)),
    }
}

/// Whether the folder is there; an error where another user could put things into it, or take them away, that he does
/// not own. In a folder that all may write, such as that for temporary files, anybody may have been first.
pub(super) fn check(folder: &Path) -> Result<bool, FolderError> {
    let metadata = match std::fs::symlink_metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(FolderError::Io(folder.to_owned(), error)),
    };
    if !metadata.is_dir() {
        return Err(FolderError::NotAFolder(folder.to_owned()));
    }
    let folder = || folder.to_owned();
    match judge(metadata.mode(), metadata.uid(), rustix::process::geteuid().as_raw()) {
        Judgement::Safe => Ok(true),
        Judgement::Foreign => Err(FolderError::Foreign(folder(), metadata.uid())),
        Judgement::Open => Err(FolderError::Open(folder())),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Safe,
    Foreign,
    Open,
}

/// Whether a folder of this mode and owner keeps other users from what is this user's. Its group may do what the owner lets
/// it do.
fn judge(mode: u32, owner: u32, user: u32) -> Judgement {
    match (owner == user || owner == ROOT, mode & WORLD_WRITABLE != 0, mode & STICKY != 0) {
        (false, ..) => Judgement::Foreign,
        (true, true, false) => Judgement::Open,
        (true, ..) => Judgement::Safe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_folder_comes_first() {
        let of = |runtime: Option<&str>| {
            let found = defaults_of(runtime.map(OsString::from), Path::new("/var/tmp"), 7);
            found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(Some("/run/user/7")), ["/run/user/7/phalanx", "/run/phalanx", "/var/tmp/phalanx-7"]);
        assert_eq!(of(Some("user")), ["/run/phalanx", "/var/tmp/phalanx-7"]);
        assert_eq!(of(None), of(Some("")));
    }

    #[test]
    fn only_the_owner_and_root_are_trusted() {
        assert_eq!(judge(0o700, 7, 7), Judgement::Safe);
        assert_eq!(judge(0o755, ROOT, 7), Judgement::Safe);
        assert_eq!(judge(0o1777, ROOT, 7), Judgement::Safe);
        assert_eq!(judge(0o2770, 7, 7), Judgement::Safe);
        assert_eq!(judge(0o777, ROOT, 7), Judgement::Open);
        assert_eq!(judge(0o702, 7, 7), Judgement::Open);
        assert_eq!(judge(0o1777, 8, 7), Judgement::Foreign);
        assert_eq!(judge(0o700, 8, ROOT), Judgement::Foreign);
    }
}
