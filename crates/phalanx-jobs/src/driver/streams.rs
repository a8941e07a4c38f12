//! The open streams of many links, driven by one task.
//!
//! Each link has one stream a lane. Reads, writes and openings are futures in one set, so that a shard with a thousand
//! workers is one task; a peer that does not read fills its own queue and loses its link, and nobody else waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures_util::future::{BoxFuture, ready};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use phalanx_base::Lane;

use crate::carrier::{Carrier, CarrierLost, FrameSink, FrameSource, Stream};
use crate::session::LinkId;
use crate::wire::{Frame, Opening};

/// How many bytes wait for one stream before its peer counts as stalled: a few of the largest messages, and more than
/// the windows of calls and events together let a peer that reads ever need.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// How many frames of one stream are taken at one time, if they are there: so many small ones come in a few packets, and the
/// streams beside it wait no longer than these take.
const FRAMES_TAKEN_MAX: usize = 64;

/// What has happened on a stream.
#[derive(Debug)]
pub(crate) enum StreamEvent {
    /// A frame has come.
    Frame(LinkId, Lane, Frame),
    /// The link is of no use any more.
    Lost(LinkId),
}

enum Done {
    Opened(StreamKey, Result<Stream, CarrierLost>),
    /// Nothing: the stream has ended.
    Read(StreamKey, Box<dyn FrameSource>, Result<Vec<Frame>, CarrierLost>),
    Written(StreamKey, Box<dyn FrameSink>, Result<(), CarrierLost>),
}

/// One stream. A lane that is closed and opened again has another one, with which what is still under way on the first must
/// not be mixed up: the opening of the second would be written to the first.
#[derive(Debug, Clone, Copy)]
struct StreamKey {
    link: LinkId,
    lane: Lane,
    number: u64,
}

struct LaneState {
    /// Which stream it is.
    number: u64,
    /// Here while nothing is being written.
    sink: Option<Box<dyn FrameSink>>,
    waiting: Vec<Frame>,
    waiting_bytes: usize,
}

impl LaneState {
    fn new(number: u64) -> Self {
        Self { number, sink: None, waiting: Vec::new(), waiting_bytes: 0 }
    }
}

struct Link {
    carrier: Arc<dyn Carrier>,
    lanes: BTreeMap<Lane, LaneState>,
}

/// The streams. `opening` is what this end says first on a stream it opens; without one it opens none.
pub(crate) struct Streams {
    opening: Option<Opening>,
    links: BTreeMap<LinkId, Link>,
    /// The number of the last stream.
    last: u64,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// What was read and not taken yet, at most what came of one read.
    taken: VecDeque<StreamEvent>,
    /// The lanes that have something new to write: it is written when nothing is left to do, so that it goes together.
    unwritten: Vec<(LinkId, Lane)>,
}

impl Streams {
    pub(crate) fn new(opening: Option<Opening>) -> Self {
        Self {
            opening,
            links: BTreeMap::new(),
            last: 0,
            work: FuturesUnordered::new(),
            taken: VecDeque::new(),
            unwritten: Vec::new(),
        }
    }

    pub(crate) fn add_link(&mut self, carrier: Arc<dyn Carrier>) {
        self.links.entry(carrier.id()).or_insert_with(|| Link { carrier, lanes: BTreeMap::new() });
    }

    pub(crate) fn carrier(&self, link: LinkId) -> Option<&Arc<dyn Carrier>> {
        self.links.get(&link).map(|link| &link.carrier)
    }

    /// Forgets a link. What is under way on it ends by itself.
    pub(crate) fn remove_link(&mut self, link: LinkId) -> Option<Arc<dyn Carrier>> {
        self.links.remove(&link).map(|link| link.carrier)
    }

    /// A stream that the peer has opened. A second one on the same lane takes the place of the first.
    pub(crate) fn insert(&mut self, link: LinkId, lane: Lane, stream: Stream) {
        let number = self.next_number();
        let Some(state) = self.links.get_mut(&link) else { return };
        let lane_state = state.lanes.entry(lane).or_insert_with(|| LaneState::new(number));
        lane_state.number = number;
        self.start(StreamKey { link, lane, number }, stream);
    }

    /// Begins to use the stream that a lane has now.
    fn start(&mut self, key: StreamKey, stream: Stream) {
        let Some(state) = self.state_of(key) else { return };
        state.sink = Some(stream.sink);
        self.read(key, stream.source);
        self.write(key.link, key.lane);
    }

    fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The state of a lane, if it still has this stream.
    fn state_of(&mut self, key: StreamKey) -> Option<&mut LaneState> {
        let state = self.links.get_mut(&key.link)?.lanes.get_mut(&key.lane)?;
        (state.number == key.number).then_some(state)
    }

    /// Opens a lane, if it is not open.
    pub(crate) fn open(&mut self, link: LinkId, lane: Lane) {
        let number = self.next_number();
        let Some(state) = self.links.get_mut(&link) else { return };
        if state.lanes.contains_key(&lane) {
            return;
        }
        let mut lane_state = LaneState::new(number);
        if let Some(opening) = &self.opening {
            lane_state.waiting.push(opening.to_frame());
            let opened = state.carrier.open(lane);
            let key = StreamKey { link, lane, number };
            self.work.push(Box::pin(async move { Done::Opened(key, opened.await) }));
        }
        state.lanes.insert(lane, lane_state);
    }

    /// Sends a frame with the next [`next`](Self::next), after those before it on its lane. Says whether the peer still keeps up.
    #[must_use]
    pub(crate) fn push(&mut self, link: LinkId, lane: Lane, frame: Frame) -> bool {
        self.open(link, lane);
        let Some(state) = self.links.get_mut(&link).and_then(|link| link.lanes.get_mut(&lane)) else {
            return true;
        };
        state.waiting_bytes += frame.body.len();
        state.waiting.push(frame);
        let keeps_up = state.waiting_bytes <= WAITING_BYTES_MAX;
        // What was there before is on the list, or goes when the write before it is done.
        if state.waiting.len() == 1 && state.sink.is_some() {
            self.unwritten.push((link, lane));
        }
        keeps_up
    }

    /// Writes what was pushed, and waits for the next thing that happens. Cancellation safe.
    pub(crate) async fn next(&mut self) -> StreamEvent {
        self.flush();
        loop {
            if let Some(event) = self.take() {
                return event;
            }
            let Some(done) = self.work.next().await else { std::future::pending().await };
            self.handle(done);
        }
    }

    /// The next thing that has happened already, so that what comes together is answered together.
    pub(crate) fn ready(&mut self) -> Option<StreamEvent> {
        loop {
            if let Some(event) = self.take() {
                return Some(event);
            }
            // What is not ready wakes whoever awaits `next`.
            let done = self.work.next().now_or_never().flatten()?;
            self.handle(done);
        }
    }

    fn take(&mut self) -> Option<StreamEvent> {
        while let Some(event) = self.taken.pop_front() {
            let (StreamEvent::Frame(link, ..) | StreamEvent::Lost(link)) = &event;
            // What came over a link that is forgotten is forgotten with it.
            if self.links.contains_key(link) {
                return Some(event);
            }
        }
        None
    }

    fn handle(&mut self, done: Done) {
        match done {
            Done::Opened(key, Ok(stream)) => self.start(key, stream),
            Done::Read(key, _, Ok(frames)) if frames.is_empty() => {
                // The peer has finished the stream in order; a session over it starts with a new one.
                if self.state_of(key).is_some()
                    && let Some(link) = self.links.get_mut(&key.link)
                {
                    link.lanes.remove(&key.lane);
                }
            }
            Done::Read(key, source, Ok(frames)) => {
                if self.links.contains_key(&key.link) {
                    self.read(key, source);
                    let events =
                        frames.into_iter().map(|frame| StreamEvent::Frame(key.link, key.lane, frame));
                    self.taken.extend(events);
                }
            }
            Done::Written(key, sink, Ok(())) => {
                if let Some(state) = self.state_of(key) {
                    state.sink = Some(sink);
                    self.write(key.link, key.lane);
                }
            }
            Done::Opened(key, Err(CarrierLost))
            | Done::Read(key, _, Err(CarrierLost))
            | Done::Written(key, _, Err(CarrierLost)) => {
                self.taken.push_back(StreamEvent::Lost(key.link));
            }
        }
    }

    fn read(&mut self, key: StreamKey, mut source: Box<dyn FrameSource>) {
        self.work.push(Box::pin(async move {
            let result = source.next().await.map(|first| {
                let mut frames: Vec<Frame> = first.into_iter().collect();
                while !frames.is_empty() && frames.len() < FRAMES_TAKEN_MAX {
                    let Some(frame) = source.ready() else { break };
                    frames.push(frame);
                }
                frames
            });
            Done::Read(key, source, result)
        }));
    }

    fn flush(&mut self) {
        while let Some((link, lane)) = self.unwritten.pop() {
            self.write(link, lane);
        }
    }

    /// Writes what waits, if nothing is being written. Most of the time there is room for it at once.
    fn write(&mut self, link: LinkId, lane: Lane) {
        let Some(state) = self.links.get_mut(&link).and_then(|link| link.lanes.get_mut(&lane)) else {
            return;
        };
        if state.waiting.is_empty() {
            return;
        }
        let Some(mut sink) = state.sink.take() else { return };
        let frames = std::mem::take(&mut state.waiting);
        state.waiting_bytes = 0;
        let key = StreamKey { link, lane, number: state.number };
        let mut writing: BoxFuture<'static, Done> = Box::pin(async move {
            let result = sink.send(&frames).await;
            Done::Written(key, sink, result)
        });
        match (&mut writing).now_or_never() {
            Some(Done::Written(_, sink, Ok(()))) => state.sink = Some(sink),
            Some(done) => self.work.push(ready(done).boxed()),
            None => self.work.push(writing),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt;
    use phalanx_base::{Boot, Generation, NodeId, Role};
    use tokio::sync::Notify;

    use super::*;

    const LINK: LinkId = LinkId(1);

    /// What was written, by the stream that it was written to.
    type Written = Arc<Mutex<Vec<(usize, u8)>>>;

    /// A carrier whose first stream writes, and whose second one opens, only when it is let to.
    struct Slow {
        peer: Boot,
        opened: Mutex<usize>,
        written: Written,
        first_may_write: Arc<Notify>,
        first_ends: Arc<Notify>,
        second_may_open: Arc<Notify>,
    }

    struct Sink {
        stream: usize,
        written: Written,
        may_write: Option<Arc<Notify>>,
    }

    impl FrameSink for Sink {
        fn send<'a>(&'a mut self, frames: &'a [Frame]) -> BoxFuture<'a, Result<(), CarrierLost>> {
            async move {
                if let Some(may_write) = &self.may_write {
                    may_write.notified().await;
                }
                let frames = frames.iter().map(|frame| (self.stream, frame.kind));
                self.written.lock().unwrap().extend(frames);
                Ok(())
            }
            .boxed()
        }

        fn finish(&mut self) {}
    }

    /// Says nothing until it ends.
    struct Source(Option<Arc<Notify>>);

    impl FrameSource for Source {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<Frame>, CarrierLost>> {
            async move {
                match &self.0 {
                    Some(ends) => ends.notified().await,
                    None => std::future::pending().await,
                }
                Ok(None)
            }
            .boxed()
        }
    }

    impl Carrier for Slow {
        fn id(&self) -> LinkId {
            LINK
        }

        fn peer(&self) -> &Boot {
            &self.peer
        }

        fn role(&self) -> Role {
            Role::Worker
        }

        fn open(&self, _: Lane) -> BoxFuture<'static, Result<Stream, CarrierLost>> {
            let mut opened = self.opened.lock().unwrap();
            *opened += 1;
            let (stream, is_first) = (*opened, *opened == 1);
            let may_write = is_first.then(|| self.first_may_write.clone());
            let sink = Box::new(Sink { stream, written: self.written.clone(), may_write });
            let source = Box::new(Source(is_first.then(|| self.first_ends.clone())));
            let second_may_open = self.second_may_open.clone();
            async move {
                if !is_first {
                    second_may_open.notified().await;
                }
                Ok(Stream { sink, source })
            }
            .boxed()
        }

        fn close(&self, _: &str) {}
    }

    /// Lets everything happen that can.
    async fn settle(streams: &mut Streams) {
        for _ in 0..10 {
            assert!(streams.next().now_or_never().is_none(), "nothing is said here");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_lane_that_is_opened_again_begins_with_its_opening_on_its_own_stream() {
        let written = Written::default();
        let [first_may_write, first_ends, second_may_open] = std::array::from_fn(|_| Arc::new(Notify::new()));
        let carrier = Slow {
            peer: Boot { node: NodeId::new("w").unwrap(), generation: Generation::from_u64(1) },
            opened: Mutex::default(),
            written: written.clone(),
            first_may_write: first_may_write.clone(),
            first_ends: first_ends.clone(),
            second_may_open: second_may_open.clone(),
        };
        let frame = |kind| Frame { kind, body: bytes::Bytes::new() };
        let mut streams = Streams::new(Some(Opening::Session));
        streams.add_link(Arc::new(carrier));
        assert!(streams.push(LINK, Lane::Control, frame(7)));
        settle(&mut streams).await;
        // The peer ends the stream while something is still being written to it, and the lane is wanted again.
        first_ends.notify_one();
        settle(&mut streams).await;
        assert!(streams.push(LINK, Lane::Control, frame(8)));
        first_may_write.notify_one();
        settle(&mut streams).await;
        second_may_open.notify_one();
        settle(&mut streams).await;
        let opening = Opening::Session.to_frame().kind;
        let mut expected = vec![(1, opening), (1, 7), (2, opening), (2, 8)];
        let mut found = written.lock().unwrap().clone();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}
