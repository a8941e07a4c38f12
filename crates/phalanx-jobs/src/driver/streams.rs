//! The open streams of many links, driven by one task.
//!
//! Each link has one stream a lane. Reads, writes and openings are futures in one set, so that a shard with a thousand
//! workers is one task; a peer that does not read fills its own queue and loses its link, and nobody else waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use phalanx_base::Lane;

use crate::carrier::{Carrier, CarrierLost, FrameSink, FrameSource, Stream};
use crate::session::LinkId;
use crate::wire::{Frame, Opening};

/// How many bytes wait for one stream before its peer counts as stalled: a few of the largest messages, and more than
/// the windows of calls and events together let a peer that reads ever need.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// What has happened on a stream.
#[derive(Debug)]
pub(crate) enum StreamEvent {
    /// A frame has come.
    Frame(LinkId, Lane, Frame),
    /// The link is of no use any more.
    Lost(LinkId),
}

enum Done {
    Opened(LinkId, Lane, Result<Stream, CarrierLost>),
    Read(LinkId, Lane, Box<dyn FrameSource>, Result<Option<Frame>, CarrierLost>),
    Written(LinkId, Lane, Box<dyn FrameSink>, Result<(), CarrierLost>),
}

#[derive(Default)]
struct LaneState {
    /// Here while nothing is being written.
    sink: Option<Box<dyn FrameSink>>,
    waiting: Vec<Frame>,
    waiting_bytes: usize,
}

struct Link {
    carrier: Arc<dyn Carrier>,
    lanes: BTreeMap<Lane, LaneState>,
}

/// The streams. `opening` is what this end says first on a stream it opens; without one it opens none.
pub(crate) struct Streams {
    opening: Option<Opening>,
    links: BTreeMap<LinkId, Link>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
}

impl Streams {
    pub(crate) fn new(opening: Option<Opening>) -> Self {
        Self { opening, links: BTreeMap::new(), work: FuturesUnordered::new() }
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
        let Some(state) = self.links.get_mut(&link) else { return };
        state.lanes.entry(lane).or_default().sink = Some(stream.sink);
        self.read(link, lane, stream.source);
        self.write(link, lane);
    }

    /// Opens a lane, if it is not open.
    pub(crate) fn open(&mut self, link: LinkId, lane: Lane) {
        let Some(state) = self.links.get_mut(&link) else { return };
        if state.lanes.contains_key(&lane) {
            return;
        }
        let mut lane_state = LaneState::default();
        if let Some(opening) = &self.opening {
            lane_state.waiting.push(opening.to_frame());
            let opened = state.carrier.open(lane);
            self.work.push(Box::pin(async move { Done::Opened(link, lane, opened.await) }));
        }
        state.lanes.insert(lane, lane_state);
    }

    /// Sends a frame, after those before it on its lane. Says whether the peer still keeps up.
    #[must_use]
    pub(crate) fn push(&mut self, link: LinkId, lane: Lane, frame: Frame) -> bool {
        self.open(link, lane);
        let Some(state) = self.links.get_mut(&link).and_then(|link| link.lanes.get_mut(&lane)) else {
            return true;
        };
        state.waiting_bytes += frame.body.len();
        state.waiting.push(frame);
        let keeps_up = state.waiting_bytes <= WAITING_BYTES_MAX;
        self.write(link, lane);
        keeps_up
    }

    /// The next thing that happens. Cancellation safe.
    pub(crate) async fn next(&mut self) -> StreamEvent {
        loop {
            let Some(done) = self.work.next().await else { std::future::pending().await };
            if let Some(event) = self.handle(done) {
                return event;
            }
        }
    }

    fn handle(&mut self, done: Done) -> Option<StreamEvent> {
        match done {
            Done::Opened(link, lane, Ok(stream)) => {
                self.insert(link, lane, stream);
                None
            }
            Done::Read(link, lane, source, Ok(Some(frame))) => {
                if !self.links.contains_key(&link) {
                    return None;
                }
                self.read(link, lane, source);
                Some(StreamEvent::Frame(link, lane, frame))
            }
            Done::Read(link, lane, _, Ok(None)) => {
                // The peer has finished the stream in order; a session over it starts with a new one.
                if let Some(state) = self.links.get_mut(&link) {
                    state.lanes.remove(&lane);
                }
                None
            }
            Done::Written(link, lane, sink, Ok(())) => {
                if let Some(state) = self.links.get_mut(&link).and_then(|link| link.lanes.get_mut(&lane)) {
                    state.sink.get_or_insert(sink);
                    self.write(link, lane);
                }
                None
            }
            Done::Opened(link, _, Err(CarrierLost))
            | Done::Read(link, _, _, Err(CarrierLost))
            | Done::Written(link, _, _, Err(CarrierLost)) => {
                self.links.contains_key(&link).then_some(StreamEvent::Lost(link))
            }
        }
    }

    fn read(&mut self, link: LinkId, lane: Lane, mut source: Box<dyn FrameSource>) {
        self.work.push(Box::pin(async move {
            let result = source.next().await;
            Done::Read(link, lane, source, result)
        }));
    }

    /// Starts to write what waits, if nothing is being written.
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
        self.work.push(Box::pin(async move {
            let result = sink.send(&frames).await;
            Done::Written(link, lane, sink, result)
        }));
    }
}
