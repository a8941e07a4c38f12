//! What programs and containers have in common: where output goes, how much of it is told, and its last lines.

mod budget;
mod tail;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(crate) use budget::{Budget, TICKS_PER_SECOND};
pub(crate) use tail::Tail;

/// How many lines of output the end of a task bears.
pub const LAST_LINES: usize = 50;

/// The bytes of each of the last lines, at most: the rest of a longer one was told before.
pub const LAST_LINE_BYTES_MAX: usize = 1 << 10;

/// Where output went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output. Offsets count the bytes of both streams together, in the order in which they were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Of the first byte.
    pub offset: u64,
    /// Where it went.
    pub stream: Stream,
    /// The bytes: at most 32 KiB, not cut at lines.
    pub bytes: Bytes,
}

/// Offsets that are not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The first offset.
    pub from: u64,
    /// The offset behind the last.
    pub to: u64,
}
