//! A machine's disk: it outlives the processes, can be full, can fail, and can be lost.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use phalanx::{Store, StoreError};

/// What the disk does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Health {
    #[default]
    Good,
    /// It reads, and does not write.
    Full,
    /// It does neither.
    Failing,
}

/// A node's disk.
#[derive(Debug, Default)]
pub(crate) struct Disk(Mutex<(BTreeMap<String, Vec<u8>>, Health)>);

impl Disk {
    fn lock(&self) -> MutexGuard<'_, (BTreeMap<String, Vec<u8>>, Health)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.lock().1 = health;
    }

    /// Loses everything, as when a machine is replaced.
    pub(crate) fn wipe(&self) {
        self.lock().0.clear();
    }
}

impl Store for Disk {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let disk = self.lock();
        match disk.1 {
            Health::Failing => Err(StoreError(Box::new(io::Error::other("the disk fails")))),
            Health::Good | Health::Full => Ok(disk.0.get(name).cloned()),
        }
    }

    fn write(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut disk = self.lock();
        match disk.1 {
            Health::Good => {
                disk.0.insert(name.to_owned(), value.to_vec());
                Ok(())
            }
            Health::Full => Err(StoreError(Box::new(io::Error::from(io::ErrorKind::StorageFull)))),
            Health::Failing => Err(StoreError(Box::new(io::Error::other("the disk fails")))),
        }
    }
}
