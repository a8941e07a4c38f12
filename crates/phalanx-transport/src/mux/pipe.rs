//! One stream between its users and the driver: what was written and is not on its way, and what has come and was not read.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use phalanx_base::Lane;

use super::windows::{GRANT_PART, PIPE_BYTES_MAX, stream_window};

/// Pieces below this are copied together: a short one must not keep a large receive buffer alive.
const SHARE_BYTES_MIN: usize = 4096;
/// How many pieces a reader takes at a time.
const READ_PIECES_MAX: usize = 16;

/// A stream, both halves of it.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(super) lane: Lane,
    /// Its number; the driver gives it.
    pub(super) id: OnceLock<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The driver was told to look.
    is_noted: bool,
    outward: Outward,
    inward: Inward,
}

#[derive(Debug, Default)]
struct Outward {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    /// What of it the driver does not know of.
    bytes_new: usize,
    end: Option<OutwardEnd>,
    is_end_new: bool,
    is_stopped: bool,
    writer: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutwardEnd {
    Finished,
    Reset(u32),
}

#[derive(Debug, Default)]
struct Inward {
    chunks: VecDeque<Bytes>,
    /// Short pieces that came after the chunks.
    tail: BytesMut,
    end: Option<InwardEnd>,
    /// Nobody reads any more; the code with which the peer is told, until the driver has taken it.
    is_unwanted: bool,
    stop: Option<u32>,
    /// What was read and the driver does not know of.
    read_new: u32,
    reader: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InwardEnd {
    Finished,
    Reset,
}

/// What users did to a stream since the driver looked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) written: usize,
    pub(super) is_finished: bool,
    pub(super) reset: Option<u32>,
    pub(super) stop: Option<u32>,
    pub(super) read: u32,
}

/// Why nothing can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteRefused {
    /// The peer does not read.
    Stopped,
    /// It was ended here.
    Finished,
}

/// Whether the driver must be told that there is something new.
pub(super) type MustNote = bool;

impl Pipe {
    pub(super) fn new(lane: Lane) -> Self {
        Self { lane, id: OnceLock::new(), state: Mutex::default() }
    }

    /// No code that holds this lock can panic halfway through a change.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what there is room for out of `chunks`; pending while there is none.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        chunks: &mut VecDeque<Bytes>,
    ) -> Poll<Result<MustNote, WriteRefused>> {
        let mut state = self.state();
        let outward = &mut state.outward;
        if outward.is_stopped {
            return Poll::Ready(Err(WriteRefused::Stopped));
        }
        if outward.end.is_some() {
            return Poll::Ready(Err(WriteRefused::Finished));
        }
        if outward.bytes >= PIPE_BYTES_MAX {
            outward.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        while let Some(mut chunk) = chunks.pop_front() {
            let room = PIPE_BYTES_MAX - outward.bytes;
            if chunk.len() > room {
                let piece = chunk.split_to(room);
                chunks.push_front(chunk);
                chunk = piece;
            }
            if chunk.is_empty() {
                break;
            }
            outward.bytes += chunk.len();
            outward.bytes_new += chunk.len();
            outward.chunks.push_back(chunk);
        }
        Poll::Ready(Ok(state.note()))
    }

    /// Nothing more will be written; `None` where that was known.
    pub(super) fn finish(&self) -> Option<MustNote> {
        self.end(OutwardEnd::Finished)
    }

    /// What was written does not count any more; `None` where its end was known.
    pub(super) fn reset(&self, code: u32) -> Option<MustNote> {
        self.end(OutwardEnd::Reset(code))
    }

    fn end(&self, end: OutwardEnd) -> Option<MustNote> {
        let mut state = self.state();
        if state.outward.end.is_some() {
            return None;
        }
        (state.outward.end, state.outward.is_end_new) = (Some(end), true);
        wake(&mut state.outward.writer);
        Some(state.note())
    }

    /// Takes what has come, in order; pending while there is nothing. The second number is what was taken: credit of the
    /// lane.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(Bytes),
    ) -> Poll<(Result<usize, InwardEnd>, MustNote)> {
        let mut state = self.state();
        let inward = &mut state.inward;
        let mut bytes = 0;
        for _ in 0..READ_PIECES_MAX {
            let Some(chunk) = inward.pop() else { break };
            bytes += chunk.len();
            take(chunk);
        }
        if bytes > 0 {
            // At most a window of the stream.
            inward.read_new += bytes as u32;
            let is_due = inward.read_new >= stream_window(self.lane) / GRANT_PART && inward.end.is_none();
            return Poll::Ready((Ok(bytes), is_due && state.note()));
        }
        if let Some(end) = inward.end {
            return Poll::Ready((Err(end), false));
        }
        inward.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Nobody reads any more. Returns what was never read, which is credit of the lane.
    pub(super) fn stop(&self, code: u32) -> (usize, MustNote) {
        let mut state = self.state();
        let inward = &mut state.inward;
        if inward.is_unwanted {
            return (0, false);
        }
        inward.is_unwanted = true;
        let unread = inward.clear();
        if inward.end.is_some() {
            return (unread, false);
        }
        inward.stop = Some(code);
        (unread, state.note())
    }

    /// What is new, for the driver.
    pub(super) fn take_news(&self) -> News {
        let mut state = self.state();
        state.is_noted = false;
        let State { outward, inward, .. } = &mut *state;
        let end = outward.end.filter(|_| std::mem::take(&mut outward.is_end_new));
        let reset = match end {
            Some(OutwardEnd::Reset(code)) => Some(code),
            Some(OutwardEnd::Finished) | None => None,
        };
        if reset.is_some() {
            outward.clear();
        }
        News {
            written: std::mem::take(&mut outward.bytes_new),
            is_finished: end == Some(OutwardEnd::Finished),
            reset,
            stop: inward.stop.take(),
            read: std::mem::take(&mut inward.read_new),
        }
    }

    /// Takes the next so many bytes that were written. The driver knows that they are there.
    pub(super) fn take_written(&self, mut bytes: usize, mut take: impl FnMut(Bytes)) {
        let mut state = self.state();
        let outward = &mut state.outward;
        while let Some(front) = outward.chunks.front_mut().filter(|_| bytes > 0) {
            let piece = front.split_to(front.len().min(bytes));
            if front.is_empty() {
                outward.chunks.pop_front();
            }
            bytes -= piece.len();
            outward.bytes -= piece.len();
            take(piece);
        }
        // Not for each piece: who writes has room for a few then.
        if outward.bytes <= PIPE_BYTES_MAX / 2 {
            wake(&mut outward.writer);
        }
    }

    /// More has come. Returns what nobody will read, which is credit of the lane.
    pub(super) fn push(&self, bytes: Bytes) -> usize {
        let mut state = self.state();
        let inward = &mut state.inward;
        if inward.is_unwanted {
            return bytes.len();
        }
        inward.push(bytes);
        wake(&mut inward.reader);
        0
    }

    /// Nothing more will come.
    pub(super) fn end_inward(&self, end: InwardEnd) {
        let mut state = self.state();
        let inward = &mut state.inward;
        inward.end = Some(end);
        wake(&mut inward.reader);
    }

    /// The peer does not read: what was written is thrown away.
    pub(super) fn stopped(&self) {
        let mut state = self.state();
        let outward = &mut state.outward;
        outward.is_stopped = true;
        outward.clear();
        wake(&mut outward.writer);
    }

    /// Wakes whoever waits: the link is lost.
    pub(super) fn wake_all(&self) {
        let mut state = self.state();
        wake(&mut state.outward.writer);
        wake(&mut state.inward.reader);
    }
}

impl State {
    fn note(&mut self) -> MustNote {
        !std::mem::replace(&mut self.is_noted, true)
    }
}

impl Outward {
    fn clear(&mut self) {
        self.chunks.clear();
        (self.bytes, self.bytes_new) = (0, 0);
    }
}

impl Inward {
    fn push(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE_BYTES_MIN {
            self.tail.extend_from_slice(&bytes);
            return;
        }
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
        self.chunks.push_back(bytes);
    }

    fn pop(&mut self) -> Option<Bytes> {
        let tail = &mut self.tail;
        self.chunks.pop_front().or_else(|| (!tail.is_empty()).then(|| tail.split().freeze()))
    }

    /// Drops everything, and says how much it was.
    fn clear(&mut self) -> usize {
        let bytes = self.chunks.iter().map(Bytes::len).sum::<usize>() + self.tail.len();
        self.chunks.clear();
        self.tail.clear();
        bytes
    }
}

fn wake(waiting: &mut Option<Waker>) {
    if let Some(waker) = waiting.take() {
        waker.wake();
    }
}
