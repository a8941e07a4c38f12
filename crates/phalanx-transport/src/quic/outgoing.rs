//! The sending halves of a link's streams, kept by the link too until the peer has all of them: only who holds a stream
//! can finish it and hear that it has arrived, and a link that closes wants to know that of each.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use quinn::{SendStream, WriteError};

/// From how many streams on the table is searched for those that have arrived.
const SWEEP_MIN: usize = 32;

/// The sending half of one stream. No lock is held while anybody waits.
#[derive(Debug)]
pub(crate) struct Outgoing(Mutex<SendStream>);

impl Outgoing {
    fn stream(&self) -> MutexGuard<'_, SendStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes some of what is at the front of `chunks` and takes it out.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        chunks: &mut VecDeque<Bytes>,
    ) -> Poll<Result<(), WriteError>> {
        let mut stream = self.stream();
        // quinn remembers who waits for a stream and not which future does, so that each poll may have its own.
        let outcome = pin!(stream.write_chunks(chunks.make_contiguous())).poll(cx);
        outcome.map_ok(|written| drop(chunks.drain(..written.chunks)))
    }

    /// Says that nothing more will come; whether that was new.
    pub(crate) fn finish(&self) -> bool {
        let mut stream = self.stream();
        let is_new = stream.finish().is_ok();
        // The place of a stream that the peer has stopped is free only once it is reset.
        if let Some(Ok(Some(code))) = stream.stopped().now_or_never() {
            let _ = stream.reset(code);
        }
        is_new
    }

    /// Gives the stream up.
    pub(crate) fn reset(&self, code: u32) {
        // Fails only when the stream is over already.
        let _ = self.stream().reset(code.into());
    }

    /// Whether the peer has all of it, or wants no more.
    fn is_over(&self) -> bool {
        let over = self.stream().stopped();
        over.now_or_never().is_some()
    }
}

/// All of a link's. Bounded by the streams that the peer takes: those that have arrived are dropped in time.
#[derive(Debug, Default)]
pub(crate) struct OutgoingStreams(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    streams: Vec<Arc<Outgoing>>,
    sweep_at: usize,
}

impl OutgoingStreams {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, stream: SendStream) -> Arc<Outgoing> {
        let stream = Arc::new(Outgoing(Mutex::new(stream)));
        let mut table = self.table();
        if table.streams.len() >= table.sweep_at {
            table.streams.retain(|stream| !stream.is_over());
            table.sweep_at = (2 * table.streams.len()).max(SWEEP_MIN);
        }
        table.streams.push(stream.clone());
        stream
    }

    /// Finishes each stream and waits until the peer has all that was written; `false` where the link was lost first.
    pub(crate) async fn finish_all(&self) -> bool {
        let streams = self.table().streams.clone();
        let arrivals = streams.iter().map(|stream| {
            stream.finish();
            stream.stream().stopped()
        });
        let arrivals: Vec<_> = arrivals.collect();
        join_all(arrivals).await.iter().all(Result::is_ok)
    }
}
