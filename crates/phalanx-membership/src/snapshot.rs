//! The roster as bytes that outlive the process, so that a total restart finds its members without discovery.

use phalanx_base::RosterView;
use serde::{Deserialize, Serialize};

use crate::record::{RECORD_BYTES_MAX, Record, RecordError};
use crate::roster::ROSTER_NODES_MAX;

/// The first byte of a stored roster.
const SNAPSHOT_VERSION: u8 = 1;
/// The largest stored roster in bytes; more is not read.
const SNAPSHOT_BYTES_MAX: usize = ROSTER_NODES_MAX * RECORD_BYTES_MAX + 16;

/// The whole roster at one moment, with what [`RosterView`] leaves out: who left, and who was given up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RosterSnapshot {
    records: Vec<Record>,
}

/// Why stored bytes are not a [`RosterSnapshot`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// There are more bytes than the fullest roster takes.
    #[error("a stored roster of {bytes} bytes is larger than any this version writes: remove it")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Another version of this library wrote it, or it is something else.
    #[error(
        "the stored roster is empty or of a version that is not known: remove it, discovery finds the peers again"
    )]
    Version,
    /// The bytes are damaged.
    #[error("the stored roster is damaged: remove it, discovery finds the peers again")]
    Damaged,
    /// One record of it is out of range.
    #[error("a record of the stored roster is refused")]
    Record(#[from] RecordError),
}

impl RosterSnapshot {
    pub(crate) fn new(records: Vec<Record>) -> Self {
        Self { records }
    }

    pub(crate) fn into_records(self) -> Vec<Record> {
        self.records
    }

    /// The bytes to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let start = vec![SNAPSHOT_VERSION];
        postcard::to_extend(self, start).expect("records have no map, no float and no length unknown before")
    }

    /// The snapshot in stored bytes.
    ///
    /// # Errors
    /// [`SnapshotError`]; the caller goes on with an empty snapshot.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        if bytes.len() > SNAPSHOT_BYTES_MAX {
            return Err(SnapshotError::TooLarge { bytes: bytes.len() });
        }
        let Some((&SNAPSHOT_VERSION, body)) = bytes.split_first() else {
            return Err(SnapshotError::Version);
        };
        let snapshot: Self = postcard::from_bytes(body).map_err(|_| SnapshotError::Damaged)?;
        if snapshot.records.len() > ROSTER_NODES_MAX {
            return Err(SnapshotError::Damaged);
        }
        snapshot.records.iter().try_for_each(Record::check)?;
        Ok(snapshot)
    }

    /// As the other layers see it: whom to call after a restart, for example.
    #[must_use]
    pub fn view(&self) -> RosterView {
        RosterView::new(self.records.iter().map(Record::entry).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Standing;
    use phalanx_base::{AddressList, Boot, Generation, NodeId};
    use proptest::prelude::*;

    fn record(name: &str, standing: Standing) -> Record {
        let boot = Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(3) };
        let addresses: AddressList = "10.0.0.5:7000".parse().unwrap();
        Record { boot, standing, weight: 2, zone: "rack-1".into(), addresses, version: 4 }
    }

    #[test]
    fn what_is_stored_comes_back_with_its_end() {
        let snapshot = RosterSnapshot::new(vec![record("a", Standing::GivenUp), record("b", Standing::Left)]);
        assert_eq!(RosterSnapshot::decode(&snapshot.encode()), Ok(snapshot.clone()));
        assert_eq!(snapshot.view().entries().len(), 2);
    }

    #[test]
    fn refusals_are_typed() {
        assert_eq!(RosterSnapshot::decode(&[]), Err(SnapshotError::Version));
        assert_eq!(RosterSnapshot::decode(&[9, 0]), Err(SnapshotError::Version));
        assert_eq!(RosterSnapshot::decode(&[SNAPSHOT_VERSION, 7]), Err(SnapshotError::Damaged));
        let bytes = vec![SNAPSHOT_VERSION; SNAPSHOT_BYTES_MAX + 1];
        assert_eq!(RosterSnapshot::decode(&bytes), Err(SnapshotError::TooLarge { bytes: bytes.len() }));
        let heavy = RosterSnapshot::new(vec![Record { weight: 0, ..record("a", Standing::Active) }]);
        assert!(matches!(RosterSnapshot::decode(&heavy.encode()), Err(SnapshotError::Record(_))));
    }

    proptest! {
        #[test]
        fn junk_never_panics(mut junk: Vec<u8>) {
            junk.insert(0, SNAPSHOT_VERSION);
            let _ = RosterSnapshot::decode(&junk);
        }
    }
}
