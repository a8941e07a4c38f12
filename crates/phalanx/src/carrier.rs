//! Lets the job layer use a transport's link: frames on one side are frames on the other.

use std::sync::{Arc, LazyLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use phalanx_base::{Boot, Lane, Role};
use phalanx_jobs::wire::{FRAME_RULES, Frame};
use phalanx_jobs::{Carrier, CarrierLost, FrameSink, FrameSource, LinkId, Stream};
use phalanx_transport::{CloseReason, FrameCaps, FrameReceiver, FrameSender, Link};

/// The caps of the table of verbs, in the transport's form.
static CAPS: LazyLock<FrameCaps> = LazyLock::new(|| {
    FRAME_RULES.iter().fold(FrameCaps::new(), |caps, rule| {
        let bytes_max = u32::try_from(rule.bytes_max).expect("the caps of the table are far below 4 GiB");
        caps.with(rule.kind as u8, bytes_max)
    })
});

/// The code with which the job layer closes a link; the text says why.
const CLOSED_BY_JOBS: u16 = 1;

struct LinkCarrier {
    id: LinkId,
    link: Link,
}

/// A link as the job layer knows it.
pub(crate) fn carrier(link: Link) -> Arc<dyn Carrier> {
    Arc::new(LinkCarrier { id: link_id(&link), link })
}

/// A link's number, as the job layer knows it.
pub(crate) fn link_id(link: &Link) -> LinkId {
    LinkId(link.id().as_u64())
}

pub(crate) fn stream(sender: FrameSender, receiver: FrameReceiver) -> Stream {
    Stream { sink: Box::new(Sink(sender)), source: Box::new(Source(receiver)) }
}

impl Carrier for LinkCarrier {
    fn id(&self) -> LinkId {
        self.id
    }

    fn peer(&self) -> &Boot {
        &self.link.peer().boot
    }

    fn role(&self) -> Role {
        self.link.peer().role
    }

    fn open(&self, lane: Lane) -> BoxFuture<'static, Result<Stream, CarrierLost>> {
        let link = self.link.clone();
        async move {
            let (sender, receiver) = link.open(lane).await.map_err(|_| CarrierLost)?;
            Ok(stream(sender, receiver))
        }
        .boxed()
    }

    fn close(&self, why: &str) {
        self.link.close(CloseReason::Application { code: CLOSED_BY_JOBS, detail: why.to_owned() });
    }
}

struct Sink(FrameSender);

impl FrameSink for Sink {
    fn send<'a>(&'a mut self, frames: &'a [Frame]) -> BoxFuture<'a, Result<(), CarrierLost>> {
        async move {
            let frames = frames.iter().map(|frame| (frame.kind, &frame.body));
            self.0.send_each(frames).await.map_err(|_| CarrierLost)
        }
        .boxed()
    }

    fn finish(&mut self) {
        // A stream that is over already needs no end.
        let _ = self.0.finish();
    }
}

struct Source(FrameReceiver);

impl FrameSource for Source {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frame>, CarrierLost>> {
        async move {
            let frame = self.0.next(&CAPS).await.map_err(|error| {
                tracing::debug!(%error, "a stream ended early");
                CarrierLost
            })?;
            Ok(frame.map(|frame| Frame { kind: frame.kind, body: frame.body }))
        }
        .boxed()
    }

    fn ready(&mut self) -> Option<Frame> {
        let frame = self.0.ready(&CAPS)?;
        Some(Frame { kind: frame.kind, body: frame.body })
    }
}
