//! Which segments a log has, when the next one begins, and which one goes: numbers only.

use std::collections::VecDeque;

use super::{CHUNK_BYTES_MAX, HEADER_BYTES};

/// How many segments a log has at most: with eight, at least seven of them are full once the log is.
const SEGMENTS_MAX: usize = 8;

/// The smallest cap of a log, 2 MiB: each segment has room for eight of the largest records, so that what does not fit at its
/// end is an eighth of it at most.
pub(crate) const LOG_BYTES_MIN: u64 = (SEGMENTS_MAX * 8 * (HEADER_BYTES + CHUNK_BYTES_MAX)) as u64;

/// Where a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The offset of its first byte.
    pub(super) offset: u64,
    /// Whether it begins a segment, which is named by that offset.
    pub(super) begins: bool,
    /// The segment that is dropped first, by its first offset.
    pub(super) drops: Option<u64>,
}

/// The segments of one log.
#[derive(Debug)]
pub(super) struct Segments {
    segment_bytes_max: u64,
    /// The first offset of each.
    firsts: VecDeque<u64>,
    /// Bytes of the last one, headers included.
    last_bytes: u64,
    /// The offset behind the last byte.
    end: u64,
    /// Whether the last one takes no more.
    is_closed: bool,
}

impl Segments {
    /// The segments of an empty log, which will never have more than `bytes_max` bytes.
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            segment_bytes_max: bytes_max.max(LOG_BYTES_MIN) / SEGMENTS_MAX as u64,
            firsts: VecDeque::new(),
            last_bytes: 0,
            end: 0,
            is_closed: true,
        }
    }

    /// The offset behind the last byte.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Takes a record with so many bytes, at most [`CHUNK_BYTES_MAX`].
    pub(super) fn append(&mut self, length: u64) -> Place {
        let record = length + HEADER_BYTES as u64;
        let offset = self.end;
        self.end += length;
        if !self.is_closed && self.last_bytes + record <= self.segment_bytes_max {
            self.last_bytes += record;
            return Place { offset, begins: false, drops: None };
        }
        let drops = if self.firsts.len() == SEGMENTS_MAX { self.firsts.pop_front() } else { None };
        self.firsts.push_back(offset);
        self.last_bytes = record;
        self.is_closed = false;
        Place { offset, begins: true, drops }
    }

    /// The last record was not written as a whole: nothing readable can follow it in its segment.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is appended: offsets go on without a gap, the segments stay within the cap, and what is dropped is
        /// the oldest one that is there.
        #[test]
        fn segments_stay_within_the_cap_and_go_oldest_first(
            bytes_max in LOG_BYTES_MIN..4 * LOG_BYTES_MIN,
            steps in prop::collection::vec((1..=CHUNK_BYTES_MAX as u64, prop::bool::weighted(0.02)), 1..400),
        ) {
            let mut segments = Segments::new(bytes_max);
            let mut files: BTreeMap<u64, u64> = BTreeMap::new();
            let mut end = 0;
            for (length, fails) in steps {
                let place = segments.append(length);
                prop_assert_eq!(place.offset, end);
                end += length;
                prop_assert_eq!(segments.end(), end);
                if let Some(dropped) = place.drops {
                    prop_assert_eq!(files.pop_first().map(|(first, _)| first), Some(dropped));
                }
                let record = length + HEADER_BYTES as u64;
                if place.begins {
                    prop_assert_eq!(files.insert(place.offset, record), None);
                } else {
                    *files.last_entry().unwrap().get_mut() += record;
                }
                prop_assert!(files.len() <= SEGMENTS_MAX);
                prop_assert!(files.values().sum::<u64>() <= bytes_max);
                if fails {
                    segments.close();
                }
            }
        }

        /// A full log that lost nothing to a failing disk keeps three quarters of its cap, whatever the size of records.
        #[test]
        fn a_full_log_is_nearly_full(length in 64..=CHUNK_BYTES_MAX as u64) {
            let mut segments = Segments::new(LOG_BYTES_MIN);
            let mut first = 0;
            for _ in 0..3 * LOG_BYTES_MIN / length {
                segments.append(length);
                first = *segments.firsts.front().unwrap();
            }
            let records = (segments.end() - first) / length;
            let held = records * (length + HEADER_BYTES as u64);
            prop_assert!(held * 4 >= LOG_BYTES_MIN * 3, "{held} of {LOG_BYTES_MIN}");
        }
    }

    #[test]
    fn a_segment_that_was_closed_takes_no_more() {
        let mut segments = Segments::new(LOG_BYTES_MIN);
        assert!(segments.append(10).begins);
        assert!(!segments.append(10).begins);
        segments.close();
        assert_eq!(segments.append(10), Place { offset: 20, begins: true, drops: None });
    }
}
