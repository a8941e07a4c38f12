//! Writes a log: one record for each piece of output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use super::segments::Segments;
use super::{header, segment_name};
use crate::process::class::Stream;

/// The one writer of a log.
#[derive(Debug)]
pub(crate) struct LogWriter {
    folder: PathBuf,
    segments: Segments,
    last: Option<File>,
    buffer: Vec<u8>,
}

impl LogWriter {
    /// The writer of an empty log in a folder that is there.
    pub(crate) fn new(folder: PathBuf, bytes_max: u64) -> Self {
        Self { folder, segments: Segments::new(bytes_max), last: None, buffer: Vec::new() }
    }

    /// The offset behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.segments.end()
    }

    /// Writes a piece of output and says its offset. What the disk does not take is a gap of the log: its offsets are
    /// used, and what follows begins a new segment.
    pub(crate) fn append(&mut self, stream: Stream, bytes: &[u8]) -> (u64, io::Result<()>) {
        let place = self.segments.append(bytes.len() as u64);
        let written = self.write(place.drops, place.begins.then_some(place.offset), stream, bytes);
        if written.is_err() {
            self.segments.close();
            self.last = None;
        }
        (place.offset, written)
    }

    fn write(
        &mut self,
        drops: Option<u64>,
        begins: Option<u64>,
        stream: Stream,
        bytes: &[u8],
    ) -> io::Result<()> {
        if let Some(first) = drops {
            fs::remove_file(self.folder.join(segment_name(first)))?;
        }
        if let Some(first) = begins {
            let path = self.folder.join(segment_name(first));
            self.last = Some(OpenOptions::new().append(true).create_new(true).open(path)?);
        }
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        // One write for each record: a reader sees it whole or not at all, but for a disk that is full.
        self.buffer.clear();
        self.buffer.extend_from_slice(&header(stream, length));
        self.buffer.extend_from_slice(bytes);
        match &mut self.last {
            Some(file) => file.write_all(&self.buffer),
            None => Err(io::Error::other("no segment is open")),
        }
    }
}
