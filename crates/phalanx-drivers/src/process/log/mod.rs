//! The log of a program: bounded segments on the disk, addressed by offset, that outlive the task.
//!
//! Offsets count the bytes of both streams together, so that one number says where a reader is, and the order in which
//! they were read is kept. A segment is a file that is named by its first offset and holds whole records; whoever reads
//! needs nothing but the folder, so that the writer, which is another process, is never asked.

mod reader;
mod segments;
mod writer;

pub(crate) use reader::{Limit, read_page};
pub(crate) use segments::LOG_BYTES_MIN;
pub(crate) use writer::LogWriter;

use super::class::Stream;

/// The stream and the length before the bytes of a record.
const HEADER_BYTES: usize = 5;

/// The most bytes of one record's content: half of what a pipe holds, and with the header a power of two, so that records
/// of a flood fill their segments.
pub(crate) const CHUNK_BYTES_MAX: usize = (32 << 10) - HEADER_BYTES;

/// How the name of a segment ends.
const SUFFIX: &str = ".log";

fn segment_name(first: u64) -> String {
    // As many digits as the greatest offset has: names are in the order of offsets.
    format!("{first:020}{SUFFIX}")
}

fn first_offset(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}

fn header(stream: Stream, length: u32) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = length.to_le_bytes();
    let stream = match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    [stream, a, b, c, d]
}

/// The next record of a segment's bytes, and what follows it. `None` at the end, and where a write was cut short.
fn next_record(bytes: &[u8]) -> Option<(Stream, &[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [stream, length @ ..] = *header;
    let stream = match stream {
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        _ => return None,
    };
    let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
    let (body, rest) = rest.split_at_checked(length)?;
    Some((stream, body, rest))
}
