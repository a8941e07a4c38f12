//! Reads a log from any offset, while it is written and afterwards.

use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;

use super::{first_offset, next_record, segment_name};
use crate::process::class::{Chunk, Gap, LogState, Page};

/// How much a page may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// Bytes of output.
    pub(crate) bytes_max: usize,
    /// Chunks: each costs some bytes of its own.
    pub(crate) chunks_max: usize,
}

/// Reads a page from an offset on. `end` is the offset behind the last byte, where it is known for good: offsets before
/// it that are not there will not come.
pub(crate) fn read_page(folder: &Path, from: u64, limit: Limit, end: Option<u64>) -> io::Result<Page> {
    let mut page = Page { gap: None, chunks: Vec::new(), next: from, state: LogState::GoesOn };
    let mut room = limit.bytes_max;
    let firsts = list_segments(folder)?;
    let behind = firsts.partition_point(|first| *first <= from);
    for first in &firsts[behind.saturating_sub(1)..] {
        let bytes = match fs::read(folder.join(segment_name(*first))) {
            Ok(bytes) => bytes,
            // It was dropped since the folder was listed: a gap, unless the page has begun.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if !add_records(&mut page, &mut room, limit.chunks_max, *first, &bytes) {
            return Ok(page);
        }
    }
    if let Some(end) = end
        && page.next < end
        && page.chunks.is_empty()
    {
        page.gap = Some(Gap { from: page.next, to: end });
        page.next = end;
    }
    Ok(page)
}

/// The first offsets of all segments, in order.
fn list_segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(folder)? {
        firsts.extend(entry?.file_name().to_str().and_then(first_offset));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Adds what a segment has from the end of the page on. Says whether the page takes more.
fn add_records(page: &mut Page, room: &mut usize, chunks_max: usize, first: u64, bytes: &[u8]) -> bool {
    let (mut rest, mut offset) = (bytes, first);
    while let Some((stream, body, behind)) = next_record(rest) {
        rest = behind;
        let begins = offset;
        offset += body.len() as u64;
        if offset <= page.next {
            continue;
        }
        if begins > page.next {
            // A gap stands at the begin of a page only.
            if !page.chunks.is_empty() {
                return false;
            }
            page.gap = Some(Gap { from: page.next, to: begins });
            page.next = begins;
        }
        if *room == 0 || page.chunks.len() == chunks_max {
            return false;
        }
        let skipped = usize::try_from(page.next - begins).unwrap_or(usize::MAX);
        let body = body.get(skipped..).unwrap_or_default();
        let body = &body[..body.len().min(*room)];
        page.chunks.push(Chunk { offset: page.next, stream, bytes: Bytes::copy_from_slice(body) });
        *room -= body.len();
        page.next += body.len() as u64;
        if page.next < offset {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{CHUNK_BYTES_MAX, LOG_BYTES_MIN, LogWriter};
    use super::*;
    use crate::process::class::Stream;

    const ALL: Limit = Limit { bytes_max: usize::MAX, chunks_max: usize::MAX };

    /// Writes pieces whose bytes are the low bits of their own offsets.
    fn write(folder: &Path, lengths: &[usize]) -> Vec<(Stream, u64)> {
        let mut log = LogWriter::new(folder.to_owned(), LOG_BYTES_MIN);
        let mut streams = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            let stream = if number % 3 == 0 { Stream::Stderr } else { Stream::Stdout };
            let bytes = content(log.end(), *length);
            let (offset, written) = log.append(stream, &bytes);
            written.unwrap();
            streams.push((stream, offset));
        }
        streams
    }

    fn content(from: u64, length: usize) -> Vec<u8> {
        (from..from + length as u64).map(|offset| (offset % 251) as u8).collect()
    }

    fn stream_at(streams: &[(Stream, u64)], offset: u64) -> Stream {
        streams[streams.partition_point(|(_, first)| *first <= offset) - 1].0
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// A reader that starts anywhere and takes pages of any size sees each byte that is there once, in order and on
        /// its stream, and one gap for what is not there.
        #[test]
        fn pages_join_without_a_seam(
            lengths in prop::collection::vec(1..=CHUNK_BYTES_MAX, 1..250),
            start in 0.0..1.0,
            bytes_max in 1_000..200_000_usize,
            chunks_max in 1..20_usize,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let streams = write(folder.path(), &lengths);
            let end: u64 = lengths.iter().map(|length| *length as u64).sum();
            let mut next = (start * end as f64) as u64;
            let mut gaps = 0;
            while next < end {
                let limit = Limit { bytes_max, chunks_max };
                let page = read_page(folder.path(), next, limit, Some(end)).unwrap();
                prop_assert!(page.next > next, "a page goes on");
                if let Some(gap) = page.gap {
                    gaps += 1;
                    prop_assert_eq!(gap.from, next);
                    next = gap.to;
                }
                prop_assert!(page.chunks.len() <= chunks_max);
                let mut sum = 0;
                for chunk in &page.chunks {
                    prop_assert_eq!(chunk.offset, next);
                    prop_assert_eq!(&chunk.bytes, &content(next, chunk.bytes.len()));
                    prop_assert_eq!(chunk.stream, stream_at(&streams, next));
                    next += chunk.bytes.len() as u64;
                    sum += chunk.bytes.len();
                }
                prop_assert!(sum <= bytes_max);
                prop_assert_eq!(page.next, next);
            }
            prop_assert!(gaps <= 1, "the writer drops from one end only");
        }

        /// Bytes that nobody wrote give a page, or none, but never a panic.
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..2_000), from in 0..3_000_u64) {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(segment_name(7)), bytes).unwrap();
            read_page(folder.path(), from, ALL, None).unwrap();
        }
    }

    #[test]
    fn a_record_that_was_cut_short_is_a_gap_once_the_end_is_known() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[100, 50]);
        let segment = folder.path().join(segment_name(0));
        let bytes = fs::read(&segment).unwrap();
        fs::write(&segment, &bytes[..bytes.len() - 1]).unwrap();
        let page = read_page(folder.path(), 0, ALL, Some(150)).unwrap();
        assert_eq!((page.gap, page.next, page.chunks.len()), (None, 100, 1));
        let page = read_page(folder.path(), 100, ALL, None).unwrap();
        assert_eq!((page.gap, page.next), (None, 100), "it may still come");
        let page = read_page(folder.path(), 100, ALL, Some(150)).unwrap();
        assert_eq!((page.gap, page.next), (Some(Gap { from: 100, to: 150 }), 150));
    }

    #[test]
    fn a_reader_beyond_the_end_waits_there() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[10]);
        let page = read_page(folder.path(), 99, ALL, Some(10)).unwrap();
        assert_eq!(page, Page { gap: None, chunks: vec![], next: 99, state: LogState::GoesOn });
    }
}
