//! A link carried by a multiplexed connection, as its users see it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use phalanx_base::{Lane, TransportKind};
use tokio::time::timeout;

use super::pipe::{InwardEnd, Pipe, WriteRefused};
use super::shared::Shared;
use super::windows::DATAGRAM_BYTES_MAX;
use crate::close::{CloseReason, LinkLost};
use crate::link::{DatagramError, GIVEN_UP, StreamError};
use crate::tcp::Route;

/// A proven connection. Streams hold it too: when the last of them and the link are dropped, the link closes.
#[derive(Debug)]
pub(crate) struct MuxCarrier {
    shared: Arc<Shared>,
    route: Route,
}

impl Drop for MuxCarrier {
    fn drop(&mut self) {
        self.close(CloseReason::Dropped);
    }
}

/// Both halves of a stream.
pub(crate) type Halves = (MuxSend, MuxRecv);

impl MuxCarrier {
    pub(super) fn new(shared: Arc<Shared>, route: Route) -> Self {
        Self { shared, route }
    }

    pub(crate) async fn open(self: &Arc<Self>, lane: Lane) -> Result<Halves, LinkLost> {
        if let Some(reason) = self.shared.ending.get() {
            return Err(LinkLost::ClosedHere(reason.clone()));
        }
        let place = self.shared.unless_lost(self.shared.places.acquire()).await?;
        // The semaphore is never closed. The driver gives the place back when the stream is over.
        place.map_err(|_| LinkLost::ClosedHere(CloseReason::Dropped))?.forget();
        let pipe = Arc::new(Pipe::new(lane));
        self.shared.post(|mail| mail.opened.push_back(pipe.clone()));
        Ok(self.halves(&pipe))
    }

    pub(crate) async fn accept(self: &Arc<Self>) -> Result<(Lane, Halves), LinkLost> {
        loop {
            // What came before the link was lost is still taken.
            if let Some(pipe) = self.shared.pop_arrival() {
                return Ok((pipe.lane, self.halves(&pipe)));
            }
            self.shared.unless_lost(self.shared.arrived.notified()).await?;
        }
    }

    fn halves(self: &Arc<Self>, pipe: &Arc<Pipe>) -> Halves {
        let send = MuxSend { pipe: pipe.clone(), carrier: self.clone() };
        (send, MuxRecv { pipe: pipe.clone(), carrier: self.clone() })
    }

    pub(crate) fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        if let Some(lost) = self.shared.lost() {
            return Err(DatagramError::Link(lost));
        }
        let (bytes, bytes_max) = (datagram.len(), DATAGRAM_BYTES_MAX);
        if bytes > bytes_max {
            return Err(DatagramError::TooLarge { bytes, bytes_max });
        }
        self.shared.post(|mail| mail.datagrams.push(datagram));
        Ok(())
    }

    pub(crate) async fn recv_datagram(&self) -> Result<Bytes, LinkLost> {
        loop {
            if let Some(datagram) = self.shared.pop_datagram() {
                return Ok(datagram);
            }
            self.shared.unless_lost(self.shared.datagram_came.notified()).await?;
        }
    }

    pub(crate) fn datagram_bytes_max(&self) -> usize {
        DATAGRAM_BYTES_MAX
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.route.remote
    }

    pub(crate) fn transport(&self) -> TransportKind {
        self.route.transport
    }

    pub(crate) fn round_trip(&self) -> Duration {
        self.shared.round_trip()
    }

    pub(crate) fn close(&self, reason: CloseReason) {
        if self.shared.lost().is_none() {
            let reason = self.shared.ending.get_or_init(|| reason);
            self.shared.set_lost(LinkLost::ClosedHere(reason.clone()));
            self.shared.post(|mail| mail.close = Some(reason.clone()));
        }
    }

    /// Takes no more to send, waits until the peer has what was sent, then closes; also when it is dropped.
    pub(crate) async fn close_flushed(&self, reason: CloseReason, limit: Duration) -> bool {
        struct CloseAtLast<'a>(&'a MuxCarrier);
        impl Drop for CloseAtLast<'_> {
            fn drop(&mut self) {
                // The reason was given before.
                self.0.close(CloseReason::Dropped);
            }
        }
        if self.shared.lost().is_some() {
            return false;
        }
        self.shared.ending.get_or_init(|| reason);
        let _close = CloseAtLast(self);
        self.shared.post(|mail| mail.flush = true);
        let flushed = async {
            let mut flushed = self.shared.flushed.subscribe();
            flushed.wait_for(|flushed| *flushed).await.is_ok()
        };
        timeout(limit, self.shared.unless_lost(flushed)).await.is_ok_and(|outcome| outcome.unwrap_or(false))
    }

    pub(crate) async fn closed(&self) -> LinkLost {
        self.shared.closed().await
    }

    pub(crate) fn close_reason(&self) -> Option<LinkLost> {
        self.shared.lost()
    }
}

/// The sending half of a stream.
#[derive(Debug)]
pub(crate) struct MuxSend {
    pipe: Arc<Pipe>,
    carrier: Arc<MuxCarrier>,
}

impl MuxSend {
    /// Moves what there is room for; waits while there is none. Cancellation safe.
    pub(crate) async fn write(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<(), StreamError> {
        let shared = &self.carrier.shared;
        let must_note = poll_fn(|cx| {
            let outcome = self.pipe.poll_write(cx, chunks);
            // Looked at last: whoever loses the link wakes those who wait after it has said so.
            match shared.lost() {
                Some(lost) => Poll::Ready(Err(StreamError::Link(lost))),
                None => outcome.map_err(|refused| match refused {
                    WriteRefused::Stopped => StreamError::Stopped,
                    WriteRefused::Finished => StreamError::Finished,
                }),
            }
        })
        .await?;
        if must_note {
            shared.note(&self.pipe);
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> Result<(), StreamError> {
        self.note(self.pipe.finish()).ok_or(StreamError::Finished)
    }

    pub(crate) fn reset(&mut self) {
        // Nothing is told only when the stream is over already.
        let _ = self.note(self.pipe.reset(GIVEN_UP));
    }

    fn note(&self, must_note: Option<bool>) -> Option<()> {
        if must_note? {
            self.carrier.shared.note(&self.pipe);
        }
        Some(())
    }
}

/// The receiving half of a stream.
#[derive(Debug)]
pub(crate) struct MuxRecv {
    pipe: Arc<Pipe>,
    carrier: Arc<MuxCarrier>,
}

impl MuxRecv {
    /// Takes what is there, or waits until something is; `false` at the end. What came before the link was lost is still
    /// read. Cancellation safe.
    pub(crate) async fn read(&mut self, mut take: impl FnMut(Bytes)) -> Result<bool, StreamError> {
        let shared = &self.carrier.shared;
        let (outcome, must_note) = poll_fn(|cx| match self.pipe.poll_read(cx, &mut take) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => match shared.lost() {
                Some(lost) => Poll::Ready(Err(StreamError::Link(lost))),
                None => Poll::Pending,
            },
        })
        .await?;
        if must_note {
            shared.note(&self.pipe);
        }
        match outcome {
            Ok(bytes) => {
                shared.lane_read(self.pipe.lane, bytes);
                Ok(true)
            }
            Err(InwardEnd::Finished) => Ok(false),
            Err(InwardEnd::Reset) => Err(StreamError::Reset),
        }
    }

    pub(crate) fn stop(&mut self, code: u32) {
        let (unread, must_note) = self.pipe.stop(code);
        if unread > 0 {
            self.carrier.shared.lane_read(self.pipe.lane, unread);
        }
        if must_note {
            self.carrier.shared.note(&self.pipe);
        }
    }
}

impl Drop for MuxRecv {
    fn drop(&mut self) {
        self.stop(GIVEN_UP);
    }
}
