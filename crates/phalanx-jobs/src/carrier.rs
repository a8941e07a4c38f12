//! What the drivers need of a link: streams of frames, and an end. Who carries them is no business of this crate.

use futures_util::future::BoxFuture;
use phalanx_base::{Boot, Lane, Role};

use crate::session::LinkId;
use crate::wire::Frame;

/// The link, or the stream, is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the link is lost")]
pub struct CarrierLost;

/// One bidirectional stream of frames.
pub struct Stream {
    /// What is sent.
    pub sink: Box<dyn FrameSink>,
    /// What comes.
    pub source: Box<dyn FrameSource>,
}

/// The sending half of a stream.
pub trait FrameSink: Send {
    /// Sends frames, in order, and waits until they are taken over. Dropping the future may leave a part of them sent.
    fn send<'a>(&'a mut self, frames: &'a [Frame]) -> BoxFuture<'a, Result<(), CarrierLost>>;
    /// Says that nothing follows.
    fn finish(&mut self);
}

/// The receiving half of a stream.
pub trait FrameSource: Send {
    /// The next frame, within the cap of its kind; `None` when nothing follows. Cancellation safe.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frame>, CarrierLost>>;
    /// The next frame if it has come already, as far as that is known without waiting or reading. A refused frame is none: the
    /// next [`next`](Self::next) says so.
    fn ready(&mut self) -> Option<Frame> {
        None
    }
}

/// An authenticated link.
pub trait Carrier: Send + Sync + 'static {
    /// Its number.
    fn id(&self) -> LinkId;
    /// The proven other end.
    fn peer(&self) -> &Boot;
    /// The proven role of the other end.
    fn role(&self) -> Role;
    /// Opens a stream on a lane.
    fn open(&self, lane: Lane) -> BoxFuture<'static, Result<Stream, CarrierLost>>;
    /// Closes the link and everything on it.
    fn close(&self, why: &str);
}
