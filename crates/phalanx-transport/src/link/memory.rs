//! A link in memory, with the limits and the manners of one over QUIC: streams with flow control and a bound on their
//! number, datagrams that are dropped when nobody reads them, a close that both ends learn of.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use phalanx_base::Lane;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::{DatagramError, StreamError};
use crate::close::{CloseReason, LinkLost};
use crate::quic::settings::DATAGRAM_BUFFER_BYTES;

/// What one stream may hold that is not read yet.
const STREAM_BYTES_MAX: usize = 256 * 1024;
/// The longest datagram, as over QUIC on a path whose packet size is not known yet: who relies on more in memory would
/// find out on a network.
const DATAGRAM_BYTES_MAX: usize = 1162;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    A,
    B,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// One end. Streams hold it too: when the last of them and the link are dropped, the link closes.
#[derive(Debug)]
pub(crate) struct MemoryCarrier(Arc<Hold>);

#[derive(Debug)]
struct Hold {
    shared: Arc<Shared>,
    side: Side,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.close(self.side, CloseReason::Dropped);
    }
}

#[derive(Debug)]
struct Shared {
    closed: watch::Sender<Option<(Side, CloseReason)>>,
    a: End,
    b: End,
}

/// What has come to one end and was not taken yet.
#[derive(Debug)]
struct End {
    arrivals: mpsc::Sender<Arrival>,
    arrived: tokio::sync::Mutex<mpsc::Receiver<Arrival>>,
    credit: Arc<Semaphore>,
    datagrams: Mutex<Datagrams>,
    datagram_came: Notify,
}

#[derive(Debug)]
struct Arrival {
    lane: Lane,
    inward: Arc<Pipe>,
    outward: Arc<Pipe>,
    permit: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct Datagrams {
    queue: VecDeque<Bytes>,
    bytes: usize,
}

/// Both halves of a stream.
pub(super) type Halves = (MemorySend, MemoryRecv);

impl End {
    fn new(streams_max: u16) -> Self {
        let (arrivals, arrived) = mpsc::channel(streams_max.into());
        Self {
            arrivals,
            arrived: tokio::sync::Mutex::new(arrived),
            credit: Arc::new(Semaphore::new(streams_max.into())),
            datagrams: Mutex::default(),
            datagram_came: Notify::new(),
        }
    }
}

impl Shared {
    fn end(&self, side: Side) -> &End {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    fn close(&self, side: Side, reason: CloseReason) {
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            if first {
                *closed = Some((side, reason));
            }
            first
        });
    }
}

impl Hold {
    fn lost(&self) -> Option<LinkLost> {
        self.shared.closed.borrow().as_ref().map(|(side, reason)| match *side == self.side {
            true => LinkLost::ClosedHere(reason.clone()),
            false => LinkLost::ClosedByPeer(reason.clone()),
        })
    }

    async fn closed(&self) -> LinkLost {
        let mut closed = self.shared.closed.subscribe();
        // Ends with an error only when the sender is gone, which `self.shared` holds.
        let _ = closed.wait_for(Option::is_some).await;
        self.lost().unwrap_or(LinkLost::ClosedHere(CloseReason::Dropped))
    }

    /// Waits for something on this link, or until the link is gone.
    async fn unless_lost<T>(&self, work: impl Future<Output = T>) -> Result<T, LinkLost> {
        tokio::select! {
            biased;
            lost = self.closed() => Err(lost),
            value = work => Ok(value),
        }
    }
}

impl MemoryCarrier {
    /// Two ends, each of which may have so many streams open at the other.
    pub(super) fn pair(streams_max: u16) -> (Self, Self) {
        let shared = Arc::new(Shared {
            closed: watch::Sender::new(None),
            a: End::new(streams_max),
            b: End::new(streams_max),
        });
        let end = |side| Self(Arc::new(Hold { shared: shared.clone(), side }));
        (end(Side::A), end(Side::B))
    }

    fn here(&self) -> &End {
        self.0.shared.end(self.0.side)
    }

    fn there(&self) -> &End {
        self.0.shared.end(self.0.side.other())
    }

    pub(super) async fn open(&self, lane: Lane) -> Result<Halves, LinkLost> {
        let credit = self.there().credit.clone();
        let gone = || LinkLost::ClosedHere(CloseReason::Dropped);
        // The semaphore and the queue are never closed: `shared` holds both ends of each.
        let permit = self.0.unless_lost(credit.acquire_owned()).await?.map_err(|_| gone())?;
        let (inward, outward) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
        let arrival = Arrival { lane, inward: outward.clone(), outward: inward.clone(), permit };
        // There is room: as many permits as places.
        self.there().arrivals.try_send(arrival).map_err(|_| gone())?;
        let (send, recv) = (MemorySend::new(outward, &self.0, None), MemoryRecv::new(inward, &self.0, None));
        Ok((send, recv))
    }

    pub(super) async fn accept(&self) -> Result<(Lane, Halves), LinkLost> {
        // What came before the link was lost is still taken.
        let arrived = tokio::select! {
            biased;
            arrived = async { self.here().arrived.lock().await.recv().await } => arrived,
            lost = self.0.closed() => return Err(lost),
        };
        let Some(Arrival { lane, inward, outward, permit }) = arrived else {
            return Err(LinkLost::ClosedHere(CloseReason::Dropped));
        };
        let permit = Arc::new(permit);
        let send = MemorySend::new(outward, &self.0, Some(permit.clone()));
        Ok((lane, (send, MemoryRecv::new(inward, &self.0, Some(permit)))))
    }

    pub(super) fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        if let Some(lost) = self.0.lost() {
            return Err(DatagramError::Link(lost));
        }
        let (bytes, bytes_max) = (datagram.len(), DATAGRAM_BYTES_MAX);
        if bytes > bytes_max {
            return Err(DatagramError::TooLarge { bytes, bytes_max });
        }
        if bytes == 0 {
            return Ok(());
        }
        let end = self.there();
        let mut datagrams = lock(&end.datagrams);
        datagrams.bytes += bytes;
        datagrams.queue.push_back(datagram);
        while datagrams.bytes > DATAGRAM_BUFFER_BYTES {
            let Some(oldest) = datagrams.queue.pop_front() else { break };
            datagrams.bytes -= oldest.len();
        }
        drop(datagrams);
        end.datagram_came.notify_one();
        Ok(())
    }

    pub(super) async fn recv_datagram(&self) -> Result<Bytes, LinkLost> {
        loop {
            if let Some(datagram) = self.take_datagram() {
                return Ok(datagram);
            }
            self.0.unless_lost(self.here().datagram_came.notified()).await?;
        }
    }

    fn take_datagram(&self) -> Option<Bytes> {
        let mut datagrams = lock(&self.here().datagrams);
        let datagram = datagrams.queue.pop_front()?;
        datagrams.bytes -= datagram.len();
        if !datagrams.queue.is_empty() {
            // Several may wait, and only one was woken for several datagrams.
            self.here().datagram_came.notify_one();
        }
        Some(datagram)
    }

    pub(super) fn datagram_bytes_max(&self) -> usize {
        DATAGRAM_BYTES_MAX
    }

    pub(super) fn close(&self, reason: CloseReason) {
        self.0.shared.close(self.0.side, reason);
    }

    pub(super) async fn closed(&self) -> LinkLost {
        self.0.closed().await
    }

    pub(super) fn close_reason(&self) -> Option<LinkLost> {
        self.0.lost()
    }
}

/// One direction of a stream.
#[derive(Debug, Default)]
struct Pipe {
    state: Mutex<PipeState>,
    readable: Notify,
    writable: Notify,
}

#[derive(Debug, Default)]
struct PipeState {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: Option<PipeEnd>,
    /// Nobody reads any more.
    stopped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PipeEnd {
    Finished,
    Reset,
}

/// No code that holds one of these locks can panic halfway through a change, so that a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sending half of a stream.
#[derive(Debug)]
pub(super) struct MemorySend {
    pipe: Arc<Pipe>,
    hold: Arc<Hold>,
    _credit: Option<Arc<OwnedSemaphorePermit>>,
}

impl MemorySend {
    fn new(pipe: Arc<Pipe>, hold: &Arc<Hold>, credit: Option<Arc<OwnedSemaphorePermit>>) -> Self {
        Self { pipe, hold: hold.clone(), _credit: credit }
    }

    /// Moves what there is room for; waits while there is none.
    pub(super) async fn write(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<(), StreamError> {
        loop {
            if let Some(lost) = self.hold.lost() {
                return Err(StreamError::Link(lost));
            }
            if self.try_write(chunks)? {
                return Ok(());
            }
            self.hold.unless_lost(self.pipe.writable.notified()).await.map_err(StreamError::Link)?;
        }
    }

    fn try_write(&self, chunks: &mut VecDeque<Bytes>) -> Result<bool, StreamError> {
        let mut state = lock(&self.pipe.state);
        if state.stopped {
            return Err(StreamError::Stopped);
        }
        if state.end.is_some() {
            return Err(StreamError::Finished);
        }
        if state.bytes >= STREAM_BYTES_MAX {
            return Ok(false);
        }
        while let Some(mut chunk) = chunks.pop_front() {
            let room = STREAM_BYTES_MAX - state.bytes;
            if chunk.len() > room {
                let piece = chunk.split_to(room);
                chunks.push_front(chunk);
                chunk = piece;
            }
            if chunk.is_empty() {
                break;
            }
            state.bytes += chunk.len();
            state.chunks.push_back(chunk);
        }
        drop(state);
        self.pipe.readable.notify_one();
        Ok(true)
    }

    pub(super) fn finish(&mut self) -> Result<(), StreamError> {
        self.end(PipeEnd::Finished)
    }

    pub(super) fn reset(&mut self) {
        // Fails only when the stream is over already.
        let _ = self.end(PipeEnd::Reset);
    }

    fn end(&mut self, end: PipeEnd) -> Result<(), StreamError> {
        let mut state = lock(&self.pipe.state);
        if state.end.is_some() {
            return Err(StreamError::Finished);
        }
        state.end = Some(end);
        if end == PipeEnd::Reset {
            state.chunks.clear();
            state.bytes = 0;
        }
        drop(state);
        self.pipe.readable.notify_one();
        Ok(())
    }
}

/// The receiving half of a stream.
#[derive(Debug)]
pub(super) struct MemoryRecv {
    pipe: Arc<Pipe>,
    hold: Arc<Hold>,
    _credit: Option<Arc<OwnedSemaphorePermit>>,
}

impl MemoryRecv {
    fn new(pipe: Arc<Pipe>, hold: &Arc<Hold>, credit: Option<Arc<OwnedSemaphorePermit>>) -> Self {
        Self { pipe, hold: hold.clone(), _credit: credit }
    }

    /// The next piece; `None` at the end. What came before the link was lost is still read.
    pub(super) async fn read(&mut self) -> Result<Option<Bytes>, StreamError> {
        loop {
            if let Some(outcome) = self.try_read() {
                return outcome;
            }
            self.hold.unless_lost(self.pipe.readable.notified()).await.map_err(StreamError::Link)?;
        }
    }

    fn try_read(&self) -> Option<Result<Option<Bytes>, StreamError>> {
        let mut state = lock(&self.pipe.state);
        if state.stopped {
            return Some(Err(StreamError::Finished));
        }
        if let Some(chunk) = state.chunks.pop_front() {
            state.bytes -= chunk.len();
            drop(state);
            self.pipe.writable.notify_one();
            return Some(Ok(Some(chunk)));
        }
        match state.end {
            Some(PipeEnd::Finished) => Some(Ok(None)),
            Some(PipeEnd::Reset) => Some(Err(StreamError::Reset)),
            None => None,
        }
    }

    pub(super) fn stop(&mut self) {
        let mut state = lock(&self.pipe.state);
        state.stopped = true;
        state.chunks.clear();
        state.bytes = 0;
        drop(state);
        self.pipe.writable.notify_one();
    }
}

impl Drop for MemoryRecv {
    fn drop(&mut self) {
        self.stop();
    }
}
