//! What is written down of a program that is kept, so that the worker's next process can go on with its task.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use phalanx_jobs::wire::{Instance, OnDisconnect, TaskId};
use serde::{Deserialize, Serialize};

use super::class::{ARGUMENTS_BYTES_MAX, Run};
use super::folders;

/// The record's file in the folder of a task. It is there until the end of the task was told.
const KEPT: &str = "kept";

/// The first byte of a record: another build may have written another one, and does not take it for its own.
const VERSION: u8 = 1;

/// The largest record that is read: all arguments, and as much again for what is around them.
const RECORD_BYTES_MAX: u64 = 2 * ARGUMENTS_BYTES_MAX as u64;

/// A task whose program is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) task: TaskId,
    pub(super) on_disconnect: OnDisconnect,
    pub(super) instance: Option<Instance>,
    /// What was asked for, without its environment: that may hold secrets, and the program has it.
    pub(super) run: Run,
    /// The control groups of the task.
    pub(super) groups: Vec<PathBuf>,
}

impl Record {
    /// Writes it, whole or not at all. Not to the platter: a machine that fails keeps no program.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let mut bytes = vec![VERSION];
        bytes.extend(postcard::to_stdvec(self).map_err(io::Error::other)?);
        let temporary = folder.join("kept.new");
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?
            .write_all(&bytes)?;
        fs::rename(temporary, folder.join(KEPT))
    }

    /// The record in a folder; `None` where there is none that this build can read and that belongs there.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let mut bytes = Vec::new();
        let file = File::open(folder.join(KEPT)).ok()?;
        file.take(RECORD_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let (version, body) = bytes.split_first()?;
        let record: Self = postcard::from_bytes(body).ok().filter(|_| *version == VERSION)?;
        let name = folders::name(&record.task);
        (folder.file_name().and_then(|name| name.to_str()) == Some(name.as_str())).then_some(record)
    }

    /// The end of the task is told, or about to be.
    pub(super) fn remove(folder: &Path) {
        // One that cannot be removed is read again: its task is there once more, and ends at once.
        let _ = fs::remove_file(folder.join(KEPT));
    }
}

#[cfg(test)]
mod tests {
    use phalanx_base::{Boot, Generation, NodeId};
    use phalanx_jobs::wire::CallId;
    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        let caller = Boot { node: NodeId::new("c").unwrap(), generation: Generation::from_u64(7) };
        Record {
            task: TaskId(CallId { caller, sequence: 3 }),
            on_disconnect: OnDisconnect::StopAfter { milliseconds: 5 },
            instance: Some(Instance::new("web", "#0", 3).unwrap()),
            run: Run::new("sh").argument("-c").keep(),
            groups: vec!["/a/b".into()],
        }
    }

    fn folder(root: &Path) -> PathBuf {
        let folder = root.join(folders::name(&record().task));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_only_where_it_belongs() {
        let root = tempfile::tempdir().unwrap();
        let (here, other) = (folder(root.path()), root.path().join("task-c-8-3"));
        assert_eq!(Record::read(&here), None);
        record().write(&here).unwrap();
        assert_eq!(Record::read(&here), Some(record()));
        fs::create_dir(&other).unwrap();
        fs::copy(here.join(KEPT), other.join(KEPT)).unwrap();
        assert_eq!(Record::read(&other), None, "it names another task");
        let mut bytes = fs::read(here.join(KEPT)).unwrap();
        bytes[0] += 1;
        fs::write(here.join(KEPT), bytes).unwrap();
        assert_eq!(Record::read(&here), None, "another version");
        Record::remove(&here);
        assert!(!here.join(KEPT).exists());
    }

    proptest! {
        /// Bytes that nobody wrote, and records that were cut short or changed, are a record or none.
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0..60_usize, at in 0..60_usize) {
            let root = tempfile::tempdir().unwrap();
            let folder = folder(root.path());
            fs::write(folder.join(KEPT), bytes).unwrap();
            Record::read(&folder);
            record().write(&folder).unwrap();
            let mut bytes = fs::read(folder.join(KEPT)).unwrap();
            bytes.truncate(cut.max(1));
            let at = at % bytes.len();
            bytes[at] ^= 0x55;
            fs::write(folder.join(KEPT), bytes).unwrap();
            Record::read(&folder);
        }
    }
}
