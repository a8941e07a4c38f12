//! What outlives the process: a few named values, whole or absent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use redb::{Database, ReadableDatabase, TableDefinition};

/// Why a value could not be read or written. What was there before is still there.
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct StoreError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl StoreError {
    fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

/// A few named values. A write that has returned survives the process.
pub trait Store: Send + Sync + 'static {
    /// The value of a name, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Sets the value of a name.
    ///
    /// # Errors
    /// [`StoreError`] when it was not written; the value before stays.
    fn write(&self, name: &str, value: &[u8]) -> Result<(), StoreError>;
}

/// A store that forgets when the process ends.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<String, Vec<u8>>>);

impl Store for MemoryStore {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
    }

    fn write(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value.to_vec());
        Ok(())
    }
}

const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("values");

/// A store in a file (a redb database). One process at a time.
pub struct FileStore(Database);

impl FileStore {
    /// Opens the file, or makes it. Its folder must be there.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be opened, is not a store, or is another process's.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Database::create(path).map(Self).map_err(StoreError::new)
    }
}

impl Store for FileStore {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let transaction = self.0.begin_read().map_err(StoreError::new)?;
        let table = match transaction.open_table(VALUES) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(StoreError::new(error)),
        };
        let value = table.get(name).map_err(StoreError::new)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn write(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let transaction = self.0.begin_write().map_err(StoreError::new)?;
        transaction
            .open_table(VALUES)
            .map_err(StoreError::new)?
            .insert(name, value)
            .map_err(StoreError::new)?;
        transaction.commit().map_err(StoreError::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(store: &dyn Store) {
        assert_eq!(store.read("a").unwrap(), None);
        store.write("a", b"1").unwrap();
        store.write("b", b"").unwrap();
        store.write("a", b"22").unwrap();
        assert_eq!(store.read("a").unwrap().as_deref(), Some(&b"22"[..]));
        assert_eq!(store.read("b").unwrap().as_deref(), Some(&b""[..]));
    }

    #[test]
    fn both_stores_keep_values_and_the_file_outlives_its_handle() {
        keeps(&MemoryStore::default());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.redb");
        keeps(&FileStore::open(&path).unwrap());
        assert_eq!(FileStore::open(&path).unwrap().read("a").unwrap().as_deref(), Some(&b"22"[..]));
    }

    #[test]
    fn a_file_that_is_no_store_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.redb");
        std::fs::write(&path, b"not a database, and long enough to be looked at").unwrap();
        assert!(FileStore::open(&path).is_err());
    }
}
