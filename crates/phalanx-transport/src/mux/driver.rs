//! Moves bytes between a connection, the core, and the pipes of its streams: one task a link.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::carrier::MuxCarrier;
use super::core::{Core, CoreConfig, Event};
use super::pipe::{InwardEnd, Pipe};
use super::shared::Shared;
use super::wire::{Content, Transmit};
use crate::close::LinkLost;
use crate::handshake::End;
use crate::tcp::Route;

/// How much is made ready for one write: four TLS records, which is what urgent frames wait for at most.
const BATCH_BYTES: usize = 64 * 1024;
/// Contents below this are copied behind their heads: that costs less than a slice of their own.
const COPY_BYTES_MAX: usize = 1024;
/// How many slices one write takes.
const SLICES_MAX: usize = 32;
/// How much is read at a time: little on a quiet link, of which there may be thousands, and more where that was filled.
const READ_BYTES_MIN: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;
/// How often reading and writing take turns before other tasks have theirs.
const TURNS_MAX: usize = 16;
/// How long a link that is closed here tries to tell the peer, which then closes the connection.
const FAREWELL_TIME: Duration = Duration::from_secs(2);

/// Makes a link of a connection whose ends have proved themselves. The future moves its bytes and must be run; it ends some
/// time after the link.
pub(crate) fn begin<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    io: S,
    end: End,
    route: Route,
    config: CoreConfig,
) -> (Arc<MuxCarrier>, impl Future<Output = ()> + Send + 'static) {
    let shared = Arc::new(Shared::new(config.streams_max));
    let now = Instant::now();
    let driver = Driver {
        io,
        core: Core::new(now, end, config),
        shared: shared.clone(),
        pipes: BTreeMap::new(),
        outgoing: Outgoing::default(),
        must_flush: false,
        incoming: BytesMut::new(),
        read_bytes: READ_BYTES_MIN,
        sleep: Box::pin(sleep_until(now)),
        farewell_at: None,
    };
    (Arc::new(MuxCarrier::new(shared, route)), driver.run())
}

struct Driver<S> {
    io: S,
    core: Core,
    shared: Arc<Shared>,
    pipes: BTreeMap<u64, Arc<Pipe>>,
    outgoing: Outgoing,
    /// Something was written that may still be inside the connection.
    must_flush: bool,
    incoming: BytesMut,
    /// How large the next buffer is.
    read_bytes: usize,
    sleep: Pin<Box<Sleep>>,
    /// Until when the peer is told that the link is closed.
    farewell_at: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        // The peer closes the connection when it has read our farewell. To close it before would make the system tell the
        // peer of an error, perhaps in the place of the farewell.
        let until_closed = async {
            if self.io.shutdown().await.is_ok() {
                self.incoming.clear();
                while self.io.read_buf(&mut self.incoming).await.is_ok_and(|bytes| bytes > 0) {
                    self.incoming.clear();
                }
            }
        };
        // In vain where the peer is gone.
        let _ = timeout(FAREWELL_TIME, until_closed).await;
    }

    /// Ready once the link is over and the peer was told, as far as that can be.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS_MAX {
            self.shared.waker.register(cx.waker());
            self.handle_mail();
            let is_late = self.poll_time(cx);
            let has_written = self.poll_write(cx);
            let has_read = !self.core.is_over() && self.poll_read(cx);
            self.handle_events();
            if self.core.is_over() {
                let farewell_at = *self.farewell_at.get_or_insert_with(|| Instant::now() + FAREWELL_TIME);
                if is_late && Instant::now() >= farewell_at {
                    return Poll::Ready(());
                }
                if !has_written && !has_read {
                    // Nothing is left to tell, or the peer does not take it now.
                    let is_told = self.outgoing.is_empty() && !self.must_flush;
                    return if is_told { Poll::Ready(()) } else { self.wait_for_farewell(cx, farewell_at) };
                }
            } else if !has_written && !has_read {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn wait_for_farewell(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        self.sleep.as_mut().reset(until);
        self.sleep.as_mut().poll(cx)
    }

    /// Whether it was time to look at the time.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> bool {
        let mut is_late = false;
        // Most often it only moves on, which is seen when the time has come.
        if let Some(at) = self.core.poll_timeout().filter(|at| *at < self.sleep.deadline()) {
            self.sleep.as_mut().reset(at);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            is_late = true;
            self.core.handle_timeout(Instant::now());
            let Some(at) = self.core.poll_timeout() else { break };
            self.sleep.as_mut().reset(at);
        }
        is_late
    }

    fn handle_mail(&mut self) {
        let mail = self.shared.take_mail();
        for pipe in mail.opened {
            // There is a place, unless the link is over: whoever opens takes one first, and has heard of that.
            if let Some(id) = self.core.handle_open(pipe.lane) {
                // Nobody else gives numbers.
                let _ = pipe.id.set(id);
                self.pipes.insert(id, pipe);
            }
        }
        for pipe in mail.noted {
            self.look_into(&pipe);
        }
        for (lane, bytes) in self.shared.take_lane_read() {
            self.core.handle_lane_read(lane, bytes);
        }
        let mut datagrams = mail.datagrams;
        while let Some(datagram) = datagrams.pop() {
            self.core.handle_datagram(datagram);
        }
        if mail.flush {
            let pipes: Vec<_> = self.pipes.values().cloned().collect();
            for pipe in pipes {
                // What was ended before stays so.
                let _ = pipe.finish();
                self.look_into(&pipe);
            }
            self.core.handle_flush();
        }
        if let Some(reason) = mail.close {
            self.core.handle_close(&reason);
        }
    }

    /// Tells the core what users did to a stream.
    fn look_into(&mut self, pipe: &Pipe) {
        let Some(id) = pipe.id.get().copied() else { return };
        let news = pipe.take_news();
        if news.written > 0 {
            self.core.handle_written(id, news.written);
        }
        if news.is_finished {
            self.core.handle_finish(id);
        }
        if let Some(code) = news.reset {
            self.core.handle_reset(id, code);
        }
        if let Some(code) = news.stop {
            self.core.handle_stop(id, code);
        }
        if news.read > 0 {
            self.core.handle_read(id, news.read);
        }
    }

    fn handle_events(&mut self) {
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::Opened { stream, lane } => {
                    let pipe = Arc::new(Pipe::new(lane));
                    let _ = pipe.id.set(stream);
                    self.pipes.insert(stream, pipe.clone());
                    self.shared.push_arrival(pipe);
                }
                Event::Data { stream, bytes } => {
                    if let Some(pipe) = self.pipes.get(&stream) {
                        match pipe.push(bytes) {
                            0 => {}
                            unread => self.shared.lane_read(pipe.lane, unread),
                        }
                    }
                }
                Event::Finished { stream } => self.with(stream, |pipe| pipe.end_inward(InwardEnd::Finished)),
                Event::Reset { stream } => self.with(stream, |pipe| pipe.end_inward(InwardEnd::Reset)),
                Event::Stopped { stream } => self.with(stream, Pipe::stopped),
                Event::Over { stream, is_ours } => {
                    self.pipes.remove(&stream);
                    if is_ours {
                        self.shared.places.add_permits(1);
                    }
                }
                Event::Datagram(datagram) => self.shared.push_datagram(datagram),
                Event::Flushed => {
                    self.shared.flushed.send_replace(true);
                }
                Event::Lost(lost) => {
                    if let Some(violation) = self.core.violation() {
                        tracing::warn!(%violation, "a peer broke the protocol of its link");
                    }
                    self.lose(lost);
                    self.pipes.clear();
                }
            }
        }
        if let Some(round_trip) = self.core.round_trip() {
            self.shared.set_round_trip(round_trip);
        }
    }

    fn with(&self, stream: u64, act: impl FnOnce(&Pipe)) {
        if let Some(pipe) = self.pipes.get(&stream) {
            act(pipe);
        }
    }

    /// Makes the next batch ready.
    fn fill(&mut self) {
        let now = Instant::now();
        while self.outgoing.bytes < BATCH_BYTES {
            let Some(transmit) = self.core.poll_transmit(now) else { break };
            self.outgoing.push(&transmit, &self.pipes);
        }
        self.outgoing.seal();
    }

    /// Writes what there is to write; whether there was progress.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        if self.outgoing.is_empty() {
            self.fill();
        }
        let io = Pin::new(&mut self.io);
        if self.outgoing.is_empty() {
            if self.must_flush {
                match io.poll_flush(cx) {
                    Poll::Ready(Ok(())) => self.must_flush = false,
                    Poll::Ready(Err(error)) => self.broken(&error),
                    Poll::Pending => {}
                }
            }
            return false;
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = self.outgoing.slices(&mut slices);
        match io.poll_write_vectored(cx, &slices[..count]) {
            Poll::Ready(Ok(0)) => self.broken(&io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(written)) => {
                self.outgoing.advance(written);
                self.must_flush = true;
                return true;
            }
            Poll::Ready(Err(error)) => self.broken(&error),
            Poll::Pending => {}
        }
        false
    }

    /// Reads what there is to read; whether there was progress.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        // A buffer is used up before the next is made: pieces of it are with the users of streams.
        if self.incoming.capacity() < self.read_bytes / 4 {
            self.incoming.reserve(self.read_bytes);
        }
        let room = self.incoming.capacity();
        // A read that is given up has read nothing.
        match pin!(self.io.read_buf(&mut self.incoming)).poll(cx) {
            Poll::Ready(Ok(0)) => self.core.handle_end("the connection ended without a word"),
            Poll::Ready(Ok(read)) => {
                if read == room {
                    self.read_bytes = (2 * self.read_bytes).min(READ_BYTES_MAX);
                } else if read < READ_BYTES_MIN / 4 {
                    self.read_bytes = READ_BYTES_MIN;
                }
                let bytes = self.incoming.split().freeze();
                self.core.handle_bytes(Instant::now(), bytes);
                self.handle_events();
                return true;
            }
            Poll::Ready(Err(error)) => self.broken(&error),
            Poll::Pending => {}
        }
        false
    }

    /// The connection has failed: nothing more can be told.
    fn broken(&mut self, error: &io::Error) {
        self.outgoing = Outgoing::default();
        self.must_flush = false;
        self.core.handle_end(&error.to_string());
    }
}

impl<S> Driver<S> {
    /// The link is lost: whoever waits hears of it. Streams that were opened a moment ago are in the letter box only; who
    /// waits for one of those from now on sees by itself that the link is lost.
    fn lose(&self, lost: LinkLost) {
        self.shared.set_lost(lost);
        self.pipes.values().chain(&self.shared.take_mail().opened).for_each(|pipe| pipe.wake_all());
    }
}

impl<S> Drop for Driver<S> {
    fn drop(&mut self) {
        // Also where the runtime ends first: nobody is to wait for ever.
        self.lose(LinkLost::Carrier("its task was stopped".to_owned()));
    }
}

/// What is ready to be written.
#[derive(Default)]
struct Outgoing {
    chunks: VecDeque<Bytes>,
    /// Heads and short contents, copied together.
    scratch: BytesMut,
    bytes: usize,
}

impl Outgoing {
    fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    fn push(&mut self, transmit: &Transmit, pipes: &BTreeMap<u64, Arc<Pipe>>) {
        self.scratch.extend_from_slice(transmit.head());
        self.bytes += transmit.head().len();
        match &transmit.content {
            Content::None => {}
            Content::Bytes(bytes) => self.push_bytes(bytes.clone()),
            Content::Stream { stream, bytes } => {
                // A stream that has data to send is in the table.
                if let Some(pipe) = pipes.get(stream) {
                    pipe.take_written(*bytes, |piece| self.push_bytes(piece));
                }
            }
        }
    }

    fn push_bytes(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        if bytes.len() <= COPY_BYTES_MAX {
            self.scratch.extend_from_slice(&bytes);
        } else {
            self.seal();
            self.chunks.push_back(bytes);
        }
    }

    fn seal(&mut self) {
        if !self.scratch.is_empty() {
            self.chunks.push_back(self.scratch.split().freeze());
        }
    }

    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(&self.chunks).map(|(slice, chunk)| *slice = IoSlice::new(chunk));
        filled.count()
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(front) = self.chunks.front_mut().filter(|_| written > 0) {
            let piece = front.len().min(written);
            front.advance(piece);
            written -= piece;
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
    }
}
