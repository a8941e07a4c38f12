//! The folders of tasks: one for each, with its log and how it ended; the oldest go first.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use phalanx_jobs::wire::TaskId;

use super::protocol::Ended;

/// Is there once the worker has let go of a task that is still running: its supervisor kills the program then.
const ABANDONED: &str = "abandoned";

/// Where the supervisor of a program that is kept waits for the worker's next process.
const SOCKET: &str = "orders";

/// Is locked for as long as a supervisor looks after the task.
const LOCK: &str = "lock";

/// How the program ended.
const END: &str = "end";

/// Why the program could not be started.
const LAUNCH_ERROR: &str = "launch-error";

/// How the name of each folder begins, so that nothing else is ever removed.
const PREFIX: &str = "task-";

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// The bytes of all logs together.
    pub(super) bytes_max: u64,
    /// The bytes of one.
    pub(super) log_bytes_max: u64,
    /// How many logs of tasks that have ended.
    pub(super) ended_max: usize,
}

/// Why there is no folder.
#[derive(Debug)]
pub(super) enum NoFolder {
    /// Those that run may fill all the room.
    Full,
    /// The disk.
    Disk(io::Error),
}

impl From<io::Error> for NoFolder {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// The name of a task's folder.
pub(super) fn name(task: &TaskId) -> String {
    // Names of nodes have no separators, and the prefix keeps `..` away.
    let caller = &task.0.caller;
    format!("{PREFIX}{}-{}-{}", caller.node, caller.generation, task.0.sequence)
}

/// The folders of all tasks below a root, with their names.
pub(super) fn all(root: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str().filter(|name| name.starts_with(PREFIX)) {
            folders.push((name.to_owned(), entry.path()));
        }
    }
    folders.sort();
    Ok(folders)
}

/// The path of a folder's socket, for as long as the folder is open: paths of sockets have some hundred bytes, and those of
/// tasks may have more.
pub(super) fn socket(open_folder: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}/{SOCKET}", open_folder.as_raw_fd()).into()
}

pub(super) fn launch_error(folder: &Path) -> PathBuf {
    folder.join(LAUNCH_ERROR)
}

/// Makes the folder of a task. The oldest ones of tasks that have ended go for it.
pub(super) fn create(
    root: &Path,
    name: &str,
    room: Room,
    is_running: impl Fn(&str) -> bool,
) -> Result<PathBuf, NoFolder> {
    let (mut in_use, mut ended) = (1_u64, Vec::new());
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if !name.starts_with(PREFIX) {
            continue;
        }
        if is_running(name) || is_locked(&path) {
            in_use += 1;
        } else {
            ended.push((end_time(&path), bytes(&path), path));
        }
    }
    let left = room.bytes_max.checked_sub(in_use.saturating_mul(room.log_bytes_max)).ok_or(NoFolder::Full)?;
    ended.sort();
    let mut kept: u64 = ended.iter().map(|(_, bytes, _)| bytes).sum();
    let mut count = ended.len();
    for (_, bytes, path) in ended {
        if kept <= left && count < room.ended_max {
            break;
        }
        fs::remove_dir_all(path)?;
        kept -= bytes;
        count -= 1;
    }
    let folder = root.join(name);
    DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}

/// Marks a task as one that a supervisor looks after, for as long as the file is open.
pub(super) fn lock(folder: &Path) -> io::Result<File> {
    let file = File::create(folder.join(LOCK))?;
    file.try_lock()?;
    Ok(file)
}

/// Whether a supervisor looks after the task.
pub(super) fn is_locked(folder: &Path) -> bool {
    File::open(folder.join(LOCK))
        .is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// Writes how a task ended, whole or not at all, and to stay: whoever asks for it may come after the machine was started anew.
pub(super) fn write_end(folder: &Path, ended: &Ended) -> io::Result<()> {
    use std::io::Write;
    let bytes = postcard::to_stdvec(ended).map_err(io::Error::other)?;
    let temporary = folder.join("end.new");
    let mut file = File::create(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(temporary, folder.join(END))?;
    File::open(folder)?.sync_all()
}

/// Marks a task as one that is let go of.
pub(super) fn abandon(folder: &Path) {
    let _ = fs::write(folder.join(ABANDONED), "");
}

/// Whether a task was let go of.
pub(super) fn is_abandoned(folder: &Path) -> bool {
    folder.join(ABANDONED).exists()
}

/// Takes that back.
pub(super) fn unabandon(folder: &Path) {
    let _ = fs::remove_file(folder.join(ABANDONED));
}

/// How a task ended, once it has.
pub(super) fn read_end(folder: &Path) -> io::Result<Option<Ended>> {
    match fs::read(folder.join(END)) {
        Ok(bytes) => postcard::from_bytes(&bytes).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn end_time(folder: &Path) -> Option<SystemTime> {
    let metadata = fs::metadata(folder.join(END)).or_else(|_| fs::metadata(folder)).ok()?;
    metadata.modified().ok()
}

fn bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::super::class::Exit;
    use super::*;

    const ROOM: Room = Room { bytes_max: 1_000, log_bytes_max: 300, ended_max: 3 };

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn ended(root: &Path, name: &str, log_bytes: usize) -> PathBuf {
        let folder = create(root, name, ROOM, |_| false).unwrap();
        fs::write(folder.join("0.log"), vec![0; log_bytes]).unwrap();
        let ended = Ended {
            exit: Exit::Code(3),
            stdout_bytes: 1,
            stderr_bytes: 2,
            last_lines: vec![],
            out_of_memory: true,
            told: 3,
        };
        write_end(&folder, &ended).unwrap();
        assert_eq!(read_end(&folder).unwrap(), Some(ended));
        // Times of files are coarse.
        std::thread::sleep(std::time::Duration::from_millis(15));
        folder
    }

    #[test]
    fn the_oldest_that_have_ended_go_first_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("other")).unwrap();
        for name in ["task-c", "task-b", "task-a"] {
            ended(root.path(), name, 10);
        }
        create(root.path(), "task-d", ROOM, |_| false).unwrap();
        assert_eq!(names(root.path()), ["other", "task-a", "task-b", "task-d"], "three were there");
        // The new one may have 300 bytes, and another that runs too: 400 are left for those that have ended.
        ended(root.path(), "task-e", 420);
        create(root.path(), "task-f", ROOM, |name| name == "task-d").unwrap();
        assert_eq!(names(root.path()), ["other", "task-d", "task-f"]);
    }

    #[test]
    fn what_a_supervisor_holds_is_not_removed_and_counts_in_full() {
        let root = tempfile::tempdir().unwrap();
        let held: Vec<File> = ["task-1", "task-2"]
            .map(|name| lock(&create(root.path(), name, ROOM, |_| false).unwrap()).unwrap())
            .into();
        assert!(create(root.path(), "task-3", ROOM, |name| name == "task-1").is_ok(), "900 of 1,000 bytes");
        let full = create(root.path(), "task-4", ROOM, |name| name == "task-3").unwrap_err();
        assert!(matches!(full, NoFolder::Full), "{full:?}");
        drop(held);
        create(root.path(), "task-4", ROOM, |name| name == "task-3").unwrap();
    }
}
