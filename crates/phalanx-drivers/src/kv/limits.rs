//! How much a worker keeps for others.

use bytes::Bytes;

use super::class::KvError;

/// The longest key that any limits allow, in bytes: a page of keys must hold some.
pub const KEY_BYTES_CEILING: usize = 4 << 10;

/// The largest value that any limits allow, in bytes: with its key and version it must fit one message, which may be
/// one megabyte.
pub const VALUE_BYTES_CEILING: usize = 768 << 10;

/// How many keys one page lists.
pub const PAGE_KEYS_MAX: usize = 1_000;

/// How many bytes of keys one page lists: half a message, which leaves room for versions and lengths.
pub(super) const PAGE_BYTES_MAX: usize = 512 << 10;

/// How much a worker keeps. What is above a ceiling counts as the ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvLimits {
    /// The longest key, in bytes; at most [`KEY_BYTES_CEILING`].
    pub key_bytes_max: usize,
    /// The largest value, in bytes; at most [`VALUE_BYTES_CEILING`].
    pub value_bytes_max: usize,
    /// How many bytes all keys and values have together.
    pub bytes_max: u64,
    /// How many keys there are: each costs some hundred bytes beside its own.
    pub keys_max: usize,
}

impl Default for KvLimits {
    /// Small data: keys of 512 bytes, values of 64 KiB, 16 MiB and 10,000 keys in all.
    fn default() -> Self {
        Self { key_bytes_max: 512, value_bytes_max: 64 << 10, bytes_max: 16 << 20, keys_max: 10_000 }
    }
}

impl KvLimits {
    /// The same, within the ceilings.
    pub(super) fn within_ceilings(self) -> Self {
        Self {
            key_bytes_max: self.key_bytes_max.min(KEY_BYTES_CEILING),
            value_bytes_max: self.value_bytes_max.min(VALUE_BYTES_CEILING),
            ..self
        }
    }

    pub(super) fn check(&self, key: &str, value: &Bytes) -> Result<(), KvError> {
        if key.is_empty() || key.len() > self.key_bytes_max {
            return Err(KvError::Key { bytes: key.len() as u64, bytes_max: self.key_bytes_max as u64 });
        }
        if value.len() > self.value_bytes_max {
            return Err(KvError::Value { bytes: value.len() as u64, bytes_max: self.value_bytes_max as u64 });
        }
        Ok(())
    }
}
