//! The state of a multiplexed connection at one end: what is sent next, and what the peer may do. No I/O, no clock, and no
//! data: what a user has written waits elsewhere, and is counted here.

mod lanes;
mod liveness;
mod receiving;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use phalanx_base::Lane;
use tokio::time::Instant;

use super::datagrams::Datagrams;
use super::windows::{GRANT_PART, rank};
use super::wire::{CHUNK_BYTES_MAX, Decoder, RESET, STOP, STREAM_CREDIT, Transmit, Violation};
use crate::close::{CloseReason, LinkLost};
use crate::handshake::End;
use lanes::Lanes;
use liveness::Liveness;
use stream::{ReceiveState, SendState, Stream};

/// What the owner of a [`Core`] has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The peer has opened a stream.
    Opened { stream: u64, lane: Lane },
    /// More of a stream.
    Data { stream: u64, bytes: Bytes },
    /// Nothing more will come of it.
    Finished { stream: u64 },
    /// The peer has given it up.
    Reset { stream: u64 },
    /// The peer does not read it: what waits is thrown away, and nothing more is taken.
    Stopped { stream: u64 },
    /// Both halves are over: nothing more is said of it. Where it was ours its place is free.
    Over { stream: u64, is_ours: bool },
    /// A datagram.
    Datagram(Bytes),
    /// The peer has everything that was sent.
    Flushed,
    /// The link is lost; for a violation, see [`Core::violation`]. What is left to transmit tells the peer why.
    Lost(LinkLost),
}

/// Times and limits of one link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CoreConfig {
    pub(crate) streams_max: u16,
    pub(crate) idle_timeout: Duration,
    pub(crate) keep_alive_interval: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    Idle,
    /// Once all data is sent a ping follows it.
    Wanted,
    /// This ping stands behind everything.
    Sent(u64),
}

/// One end of a multiplexed connection.
///
/// - *in*: `handle_…`; data of a stream is only announced, by [`handle_written`](Self::handle_written);
/// - *out*: [`poll_transmit`](Self::poll_transmit), [`poll_event`](Self::poll_event), both until `None` after each input,
///   and [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub(crate) struct Core {
    config: CoreConfig,
    streams: BTreeMap<u64, Stream>,
    next_ours: u64,
    next_theirs: u64,
    open_ours: u16,
    open_theirs: u16,
    /// All that waits for being sent.
    queued: u64,
    lanes: Lanes,
    /// Streams with something to say that needs no credit, each once.
    urgent: VecDeque<u64>,
    datagrams: Datagrams,
    liveness: Liveness,
    flush: Flush,
    decoder: Decoder,
    events: VecDeque<Event>,
    /// What the peer is still to be told.
    farewell: Option<Transmit>,
    is_over: bool,
    violation: Option<Violation>,
}

impl Core {
    pub(crate) fn new(now: Instant, end: End, config: CoreConfig) -> Self {
        // The numbers of streams tell who has opened them.
        let (next_ours, next_theirs) = match end {
            End::Dialler => (1, 2),
            End::Acceptor => (2, 1),
        };
        Self {
            config,
            streams: BTreeMap::new(),
            next_ours,
            next_theirs,
            open_ours: 0,
            open_theirs: 0,
            queued: 0,
            lanes: Lanes::new(),
            urgent: VecDeque::new(),
            datagrams: Datagrams::default(),
            liveness: Liveness::new(now, config.idle_timeout, config.keep_alive_interval),
            flush: Flush::Idle,
            decoder: Decoder::default(),
            events: VecDeque::new(),
            farewell: None,
            is_over: false,
            violation: None,
        }
    }

    /// Opens a stream; `None` while as many are open as the peer takes.
    pub(crate) fn handle_open(&mut self, lane: Lane) -> Option<u64> {
        if self.open_ours >= self.config.streams_max || self.is_over {
            return None;
        }
        let id = self.next_ours;
        self.next_ours += 2;
        self.open_ours += 1;
        self.streams.insert(id, Stream::new(lane, true));
        self.settle(id);
        Some(id)
    }

    /// So much more of a stream waits for being sent.
    pub(crate) fn handle_written(&mut self, id: u64, bytes: usize) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.sending == SendState::Open)
        else {
            return;
        };
        stream.queued += bytes as u64;
        self.queued += bytes as u64;
        self.settle(id);
    }

    /// Nothing more of a stream will be written.
    pub(crate) fn handle_finish(&mut self, id: u64) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.sending == SendState::Open
        {
            stream.sending = SendState::Finishing;
            self.settle(id);
        }
    }

    /// Gives a stream up: what waits is not sent any more.
    pub(crate) fn handle_reset(&mut self, id: u64, code: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && matches!(stream.sending, SendState::Open | SendState::Finishing)
        {
            self.queued -= std::mem::take(&mut stream.queued);
            stream.sending = SendState::Resetting(code);
            if std::mem::take(&mut stream.is_ready) {
                self.lanes.remove(stream.lane, id);
            }
            self.settle(id);
        }
    }

    /// Nobody reads a stream any more.
    pub(crate) fn handle_stop(&mut self, id: u64, code: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.receiving == ReceiveState::Open
        {
            stream.receiving = ReceiveState::Unwanted;
            stream.stop = Some(code);
            self.settle(id);
        }
    }

    /// So much of a stream was read. Its lane is told apart, by [`handle_lane_read`](Self::handle_lane_read).
    pub(crate) fn handle_read(&mut self, id: u64, bytes: u32) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.grant = stream.grant.saturating_add(bytes);
            self.settle(id);
        }
    }

    /// So much of all streams of a lane was read, or thrown away.
    pub(crate) fn handle_lane_read(&mut self, lane: Lane, bytes: u32) {
        self.lanes.read(lane, bytes);
    }

    /// A datagram to send; too many, and the oldest are dropped.
    pub(crate) fn handle_datagram(&mut self, datagram: Bytes) {
        if !self.is_over {
            self.datagrams.push(datagram);
        }
    }

    /// [`Event::Flushed`] is to follow once the peer has everything that was written so far.
    pub(crate) fn handle_flush(&mut self) {
        self.flush = Flush::Wanted;
    }

    /// Closes the link: the peer is told, and nothing else is sent any more.
    pub(crate) fn handle_close(&mut self, reason: &CloseReason) {
        if !self.is_over {
            let (code, detail) = reason.encode();
            self.farewell = Some(Transmit::close(code, detail));
            self.end(LinkLost::ClosedHere(reason.clone()));
        }
    }

    /// Looks at the time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if !self.is_over && !self.liveness.handle_timeout(now) {
            self.end(LinkLost::TimedOut);
        }
    }

    /// When to look at the time next; `None` once the link is over.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_over).then(|| self.liveness.poll_timeout())
    }

    /// The next event.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next frame to send. Where it announces bytes of a stream, these follow it at once.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if self.is_over {
            return self.farewell.take();
        }
        if let Some(transmit) = self.liveness.poll_transmit(now) {
            return Some(transmit);
        }
        if let Some(transmit) = self.urgent_frame() {
            return Some(transmit);
        }
        if let Some((lane, bytes)) = self.lanes.take_grant(GRANT_PART) {
            return Some(Transmit::lane_credit(lane.code(), bytes));
        }
        if let Some(transmit) = self.data_frame(Lane::Control) {
            return Some(transmit);
        }
        if let Some(datagram) = self.datagrams.pop() {
            self.lanes.passed(rank(Lane::Request), datagram.len() as u64);
            return Some(Transmit::datagram(datagram));
        }
        if let Some(transmit) = self.data_frame(Lane::Bulk) {
            return Some(transmit);
        }
        self.flush_frame(now)
    }

    /// A ping behind everything, where somebody wants to know when all of it has arrived.
    fn flush_frame(&mut self, now: Instant) -> Option<Transmit> {
        if self.flush != Flush::Wanted || self.queued > 0 {
            return None;
        }
        let (number, transmit) = self.liveness.ping(now);
        self.flush = Flush::Sent(number);
        Some(transmit)
    }

    /// The best estimate of a round trip.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.liveness.round_trip()
    }

    /// What the peer did that it must not do.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.violation
    }

    /// Whether nothing more will be sent but what [`poll_transmit`](Self::poll_transmit) still gives.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    fn end(&mut self, lost: LinkLost) {
        self.is_over = true;
        self.streams.clear();
        self.events.push_back(Event::Lost(lost));
    }

    /// After a stream has changed: lists it where it belongs, or forgets it.
    fn settle(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !stream.is_urgent && stream.has_urgent() {
            stream.is_urgent = true;
            self.urgent.push_back(id);
        }
        if !stream.is_ready && stream.may_send() {
            stream.is_ready = true;
            self.lanes.push(stream.lane, id);
        }
        if stream.is_over() {
            let is_ours = stream.is_ours;
            self.streams.remove(&id);
            match is_ours {
                true => self.open_ours -= 1,
                false => self.open_theirs -= 1,
            }
            self.events.push_back(Event::Over { stream: id, is_ours });
        }
    }

    /// What one stream has to say that needs no credit. One that has more to say is listed again.
    fn urgent_frame(&mut self) -> Option<Transmit> {
        while let Some(id) = self.urgent.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.is_urgent = false;
            let transmit = say_urgent(id, stream);
            self.settle(id);
            if transmit.is_some() {
                return transmit;
            }
        }
        None
    }

    /// The next piece of data, of lanes as urgent as `least`, or of one that has waited for too long.
    fn data_frame(&mut self, least: Lane) -> Option<Transmit> {
        while let Some(lane) = self.lanes.next_lane(least) {
            let Some(id) = self.lanes.pop(lane) else { continue };
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.is_ready = false;
            if !stream.may_send() {
                continue;
            }
            let credit = stream.send_credit.min(self.lanes.send_credit(lane));
            let bytes = stream.queued.min(credit).min(CHUNK_BYTES_MAX as u64);
            stream.queued -= bytes;
            stream.send_credit -= bytes;
            self.queued -= bytes;
            self.lanes.sent(lane, bytes);
            self.settle(id);
            return Some(Transmit::data(id, bytes as usize));
        }
        None
    }
}

/// What a stream has to say, the opening first.
fn say_urgent(id: u64, stream: &mut Stream) -> Option<Transmit> {
    if std::mem::take(&mut stream.is_new) {
        return Some(Transmit::open(id, stream.lane.code()));
    }
    if let Some(code) = stream.stop.take() {
        return Some(Transmit::number(STOP, id, code));
    }
    match stream.sending {
        SendState::Resetting(code) => {
            stream.sending = SendState::Over;
            return Some(Transmit::number(RESET, id, code));
        }
        SendState::Finishing if stream.queued == 0 => {
            stream.sending = SendState::Over;
            return Some(Transmit::finish(id));
        }
        SendState::Open | SendState::Finishing | SendState::Over => {}
    }
    if !stream.grants() {
        return None;
    }
    let grant = std::mem::take(&mut stream.grant);
    stream.receive_credit += u64::from(grant);
    Some(Transmit::number(STREAM_CREDIT, id, grant))
}
