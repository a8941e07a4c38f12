//! Asking a worker for its small data.

use bytes::Bytes;
use phalanx_jobs::{CallError, CallOptions, Reason, WorkerHandle};

use super::class::{Condition, Kv, KvError, KvReply, KvRequest, KvUsage, Page, Version, Versioned};
use super::limits::PAGE_KEYS_MAX;

/// Why a worker did not do what it was asked for: [`CallError::Failed`] holds the store's own word, the others say
/// whether the change was made.
pub type KvCallError = CallError<KvError>;

/// An answer of the wrong kind comes from a worker that does not speak this version.
const UNEXPECTED: KvCallError = CallError::Unknown(Reason::Malformed);

/// The small data of one worker. Cheap to clone; making and dropping it does nothing.
#[derive(Clone)]
pub struct KvClient {
    worker: WorkerHandle,
    /// The same worker, for what may be asked twice.
    reader: WorkerHandle,
}

impl KvClient {
    /// That of this worker.
    #[must_use]
    pub fn new(worker: WorkerHandle) -> Self {
        let reader = worker.clone().with(CallOptions { idempotent: true, ..CallOptions::default() });
        Self { worker, reader }
    }

    /// The value of a key, and its version. Dropping the future cancels the question.
    ///
    /// # Errors
    /// [`CallError`] says why there is no answer.
    pub async fn get(&self, key: &str) -> Result<Option<Versioned>, KvCallError> {
        match self.reader.request::<Kv>(KvRequest::Get { key: key.to_owned() }).await? {
            KvReply::Value(value) => Ok(value),
            _ => Err(UNEXPECTED),
        }
    }

    /// Sets a value, whatever was there. Dropping the future may leave it set or not.
    ///
    /// # Errors
    /// As [`put_if`](Self::put_if).
    pub async fn put(&self, key: &str, value: impl Into<Bytes>) -> Result<Version, KvCallError> {
        self.put_if(key, value, Condition::Always).await
    }

    /// Sets a value if the condition holds, in one step. Dropping the future may leave it set or not.
    ///
    /// # Errors
    /// [`KvError`] in [`CallError::Failed`], with nothing changed; the others say whether the value may be set. After
    /// [`CallError::Unknown`] read the key again.
    pub async fn put_if(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        condition: Condition,
    ) -> Result<Version, KvCallError> {
        let request = KvRequest::Put { key: key.to_owned(), value: value.into(), condition };
        match self.worker.request::<Kv>(request).await? {
            KvReply::Put(version) => Ok(version),
            _ => Err(UNEXPECTED),
        }
    }

    /// Removes a key if the condition holds; says whether it was there. Dropping the future may leave it removed or not.
    ///
    /// # Errors
    /// As [`put_if`](Self::put_if).
    pub async fn delete(&self, key: &str, condition: Condition) -> Result<bool, KvCallError> {
        match self.worker.request::<Kv>(KvRequest::Delete { key: key.to_owned(), condition }).await? {
            KvReply::Deleted(was_there) => Ok(was_there),
            _ => Err(UNEXPECTED),
        }
    }

    /// The first page of keys that begin with `prefix`, after the key `after`. What changes between two pages may be
    /// missing or named; each key is named once.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, KvCallError> {
        let keys_max = u32::try_from(PAGE_KEYS_MAX).unwrap_or(u32::MAX);
        let request =
            KvRequest::List { prefix: prefix.to_owned(), after: after.map(str::to_owned), keys_max };
        match self.reader.request::<Kv>(request).await? {
            KvReply::Page(page) => Ok(page),
            _ => Err(UNEXPECTED),
        }
    }

    /// How much the worker keeps, and of how much.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn usage(&self) -> Result<KvUsage, KvCallError> {
        match self.reader.request::<Kv>(KvRequest::Usage).await? {
            KvReply::Usage(usage) => Ok(usage),
            _ => Err(UNEXPECTED),
        }
    }
}
