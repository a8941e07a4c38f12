//! The worker's half of small data.

use std::sync::{Mutex, PoisonError};

use phalanx_base::Entropy;
use phalanx_jobs::{JobHandler, RequestContext};

use super::class::{Kv, KvError, KvReply, KvRequest};
use super::limits::KvLimits;
use super::table::Table;

/// The worker's half: register it with `.job::<Kv>(KvStore::new(…))`. Whoever may ask the worker may read and write all
/// of it.
#[derive(Debug)]
pub struct KvStore {
    /// Held for one operation in memory, never while anything is awaited.
    table: Mutex<Table>,
}

impl KvStore {
    /// An empty store. The entropy names this life of it.
    #[must_use]
    pub fn new(limits: KvLimits, entropy: &dyn Entropy) -> Self {
        Self { table: Mutex::new(Table::new(limits.within_ceilings(), entropy.bits64())) }
    }
}

impl JobHandler<Kv> for KvStore {
    async fn request(&self, _: RequestContext, request: KvRequest) -> Result<KvReply, KvError> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        match request {
            KvRequest::Get { key } => Ok(KvReply::Value(table.get(&key))),
            KvRequest::Put { key, value, condition } => table.put(&key, value, condition).map(KvReply::Put),
            KvRequest::Delete { key, condition } => table.delete(&key, condition).map(KvReply::Deleted),
            KvRequest::List { prefix, after, keys_max } => {
                Ok(KvReply::Page(table.list(&prefix, after.as_deref(), keys_max)))
            }
            KvRequest::Usage => Ok(KvReply::Usage(table.usage())),
        }
    }
}
