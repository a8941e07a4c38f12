//! Datagrams that wait: bounded by their bytes, and the oldest are dropped.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::quic::settings::DATAGRAM_BUFFER_BYTES;

#[derive(Debug, Default)]
pub(super) struct Datagrams {
    queue: VecDeque<Bytes>,
    bytes: usize,
}

impl Datagrams {
    /// What each takes beside its content, so that empty ones are bounded too.
    const OVERHEAD_BYTES: usize = 32;

    pub(super) fn push(&mut self, datagram: Bytes) {
        self.bytes += datagram.len() + Self::OVERHEAD_BYTES;
        self.queue.push_back(datagram);
        while self.bytes > DATAGRAM_BUFFER_BYTES && self.pop().is_some() {}
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let datagram = self.queue.pop_front()?;
        self.bytes -= datagram.len() + Self::OVERHEAD_BYTES;
        Some(datagram)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
