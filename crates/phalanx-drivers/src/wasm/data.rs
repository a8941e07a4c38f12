//! The small data of a module: all its versions and all its guests share it, and it goes with the worker's process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Keys and values, within bounds.
#[derive(Debug, Default)]
pub(super) struct Data(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    values: BTreeMap<Vec<u8>, Bytes>,
    bytes: usize,
}

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes_max: usize,
    pub(super) keys_max: usize,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Data {
    /// Held for one operation in memory.
    fn with<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn read(&self, key: &[u8]) -> Option<Bytes> {
        self.with(|table| table.values.get(key).cloned())
    }

    /// Sets a value, or changes nothing.
    pub(super) fn write(&self, bounds: Bounds, key: Vec<u8>, value: Bytes) -> Result<(), Full> {
        self.with(|table| {
            let before = table.values.get(&key).map(|value| key.len() + value.len());
            // What is there is counted in `bytes`, so this does not go below nothing.
            let bytes = table.bytes - before.unwrap_or(0) + key.len() + value.len();
            let is_one_more = before.is_none() && table.values.len() >= bounds.keys_max;
            if bytes > bounds.bytes_max || is_one_more {
                return Err(Full);
            }
            table.bytes = bytes;
            table.values.insert(key, value);
            Ok(())
        })
    }

    /// Removes a key; says whether it was there.
    pub(super) fn delete(&self, key: &[u8]) -> bool {
        self.with(|table| match table.values.remove(key) {
            Some(value) => {
                table.bytes -= key.len() + value.len();
                true
            }
            None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_that_keeps_its_bounds(
            actions in prop::collection::vec((0_u8..6, prop::option::of(0_usize..12)), 0..80),
        ) {
            let (data, bounds) = (Data::default(), Bounds { bytes_max: 24, keys_max: 4 });
            let mut model: BTreeMap<Vec<u8>, Bytes> = BTreeMap::new();
            for (key, value) in actions {
                let key = vec![key];
                match value {
                    Some(length) => {
                        let value = Bytes::from(vec![b'v'; length]);
                        let mut next = model.clone();
                        next.insert(key.clone(), value.clone());
                        let bytes: usize = next.iter().map(|(key, value)| key.len() + value.len()).sum();
                        let fits = bytes <= bounds.bytes_max && next.len() <= bounds.keys_max;
                        prop_assert_eq!(data.write(bounds, key.clone(), value).is_ok(), fits);
                        if fits {
                            model = next;
                        }
                    }
                    None => prop_assert_eq!(data.delete(&key), model.remove(&key).is_some()),
                }
                prop_assert_eq!(data.read(&key), model.get(&key).cloned());
            }
        }
    }
}
