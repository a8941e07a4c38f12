//! A link carried by a QUIC connection: quinn's calls and errors in our words.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use phalanx_base::Lane;
use quinn::{Connection, ConnectionError, RecvStream, SendDatagramError, SendStream, VarInt};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::close::{CloseReason, LinkLost};
use crate::link::{DatagramError, canonical, priority};
use crate::quic::outgoing::OutgoingStreams;

/// The code with which a stream of a lane that we do not know is refused.
const UNKNOWN_LANE: u32 = 1;

/// A proven connection. Streams hold it too: it lives as long as the link or any of them.
#[derive(Debug)]
pub(crate) struct QuicCarrier {
    connection: Connection,
    /// Why this end closes it: quinn does not keep that.
    ending: OnceLock<Ending>,
    outgoing: OutgoingStreams,
    endpoint_closed: Arc<OnceLock<CloseReason>>,
    arrivals: Mutex<Arrivals>,
}

/// How a link ends at the will of this end.
#[derive(Debug)]
struct Ending {
    /// What is said here.
    lost: LinkLost,
    /// What the peer is told.
    told: CloseReason,
}

type Arrival = (Lane, SendStream, RecvStream);

/// Streams whose lane is not known yet. A stream exists for QUIC before its first byte has come, so that one lost
/// packet must not hold up the streams after it. As many as the peer may have open.
#[derive(Debug, Default)]
struct Arrivals(FuturesUnordered<BoxFuture<'static, Option<Arrival>>>);

impl QuicCarrier {
    pub(crate) fn new(connection: Connection, endpoint_closed: Arc<OnceLock<CloseReason>>) -> Self {
        let (ending, outgoing, arrivals) = (OnceLock::new(), OutgoingStreams::default(), Mutex::default());
        Self { connection, ending, outgoing, endpoint_closed, arrivals }
    }

    /// The sending halves of this link's streams.
    pub(crate) fn outgoing(&self) -> &OutgoingStreams {
        &self.outgoing
    }

    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) async fn open(&self, lane: Lane) -> Result<(SendStream, RecvStream), LinkLost> {
        if let Some(ending) = self.ending.get() {
            return Err(ending.lost.clone());
        }
        let (mut send, recv) = self.connection.open_bi().await.map_err(|error| self.lost(&error))?;
        // Fails only when the link is lost, which the write reports better.
        let _ = send.set_priority(priority(lane));
        match send.write_all(&[lane.code()]).await {
            Ok(()) => Ok((send, recv)),
            Err(quinn::WriteError::ConnectionLost(error)) => Err(self.lost(&error)),
            // Stopped before it began: the peer does not know the lane. The first use of the stream says so.
            Err(_) => Ok((send, recv)),
        }
    }

    pub(crate) async fn accept(&self) -> Result<Arrival, LinkLost> {
        let mut arrivals = self.arrivals.lock().await;
        loop {
            tokio::select! {
                biased;
                Some(arrival) = arrivals.0.next(), if !arrivals.0.is_empty() => {
                    if let Some(arrival) = arrival {
                        return Ok(arrival);
                    }
                }
                opened = self.connection.accept_bi() => {
                    let (send, recv) = opened.map_err(|error| self.lost(&error))?;
                    arrivals.0.push(Box::pin(read_lane(send, recv)));
                }
            }
        }
    }

    pub(crate) fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        let bytes = datagram.len();
        self.connection.send_datagram(datagram).map_err(|error| match error {
            SendDatagramError::TooLarge => {
                DatagramError::TooLarge { bytes, bytes_max: self.datagram_bytes_max() }
            }
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => DatagramError::Unsupported,
            SendDatagramError::ConnectionLost(error) => DatagramError::Link(self.lost(&error)),
        })
    }

    pub(crate) async fn recv_datagram(&self) -> Result<Bytes, LinkLost> {
        loop {
            let datagram = self.connection.read_datagram().await.map_err(|error| self.lost(&error))?;
            // An empty one is a ping, which QUIC has answered.
            if !datagram.is_empty() {
                return Ok(datagram);
            }
        }
    }

    /// Sends what the peer must acknowledge, and its user never sees: an empty datagram.
    pub(crate) fn ping(&self) {
        // Fails only when the link is lost.
        let _ = self.connection.send_datagram(Bytes::new());
    }

    /// How many acknowledgements have come, each in a packet that only the peer can have made.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.connection.stats().frame_rx.acks
    }

    pub(crate) fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    /// Where the peer is now.
    pub(crate) fn remote(&self) -> SocketAddr {
        canonical(self.connection.remote_address())
    }

    pub(crate) fn datagram_bytes_max(&self) -> usize {
        self.connection.max_datagram_size().unwrap_or(0)
    }

    pub(crate) fn close(&self, reason: CloseReason) {
        self.end(|| Ending { lost: LinkLost::ClosedHere(reason.clone()), told: reason });
    }

    /// The peer's process is dead. Should it live after all, it learns that this end has given it up.
    pub(crate) fn process_gone(&self) {
        self.end(|| Ending { lost: LinkLost::ProcessGone, told: CloseReason::PresumedGone });
    }

    /// Takes no more to send, waits until the peer has what was sent, then closes; also when it is dropped.
    pub(crate) async fn close_flushed(&self, reason: CloseReason, limit: Duration) -> bool {
        struct CloseAtLast<'a>(&'a QuicCarrier);
        impl Drop for CloseAtLast<'_> {
            fn drop(&mut self) {
                // The reason was given before.
                self.0.close(CloseReason::Dropped);
            }
        }
        if self.connection.close_reason().is_some() {
            return false;
        }
        self.ending.get_or_init(|| Ending { lost: LinkLost::ClosedHere(reason.clone()), told: reason });
        let _close = CloseAtLast(self);
        timeout(limit, self.outgoing.finish_all()).await.unwrap_or(false)
    }

    fn end(&self, ending: impl FnOnce() -> Ending) {
        if self.connection.close_reason().is_none() {
            let (code, detail) = self.ending.get_or_init(ending).told.encode();
            self.connection.close(code.into(), detail);
        }
    }

    pub(crate) async fn closed(&self) -> LinkLost {
        let error = self.connection.closed().await;
        self.lost(&error)
    }

    pub(crate) fn close_reason(&self) -> Option<LinkLost> {
        self.connection.close_reason().map(|error| self.lost(&error))
    }

    /// quinn's reason in our words. It does not keep ours, so that we do.
    pub(crate) fn lost(&self, error: &ConnectionError) -> LinkLost {
        match error {
            ConnectionError::LocallyClosed => {
                let by_endpoint = || self.endpoint_closed.get().cloned().map(LinkLost::ClosedHere);
                let ending = self.ending.get().map(|ending| ending.lost.clone()).or_else(by_endpoint);
                ending.unwrap_or(LinkLost::ClosedHere(CloseReason::Dropped))
            }
            error => link_lost(error),
        }
    }
}

/// quinn's reason in our words, of a connection that was not closed here on purpose.
pub(crate) fn link_lost(error: &ConnectionError) -> LinkLost {
    match error {
        ConnectionError::LocallyClosed => LinkLost::ClosedHere(CloseReason::Shutdown),
        ConnectionError::ApplicationClosed(close) => {
            LinkLost::ClosedByPeer(CloseReason::decode(VarInt::into_inner(close.error_code), &close.reason))
        }
        ConnectionError::TimedOut => LinkLost::TimedOut,
        ConnectionError::Reset => LinkLost::Reset,
        error => LinkLost::Carrier(error.to_string()),
    }
}

/// Reads the first byte of a stream. `None` when there is none, or when it names no lane.
async fn read_lane(mut send: SendStream, mut recv: RecvStream) -> Option<Arrival> {
    let mut code = [0];
    recv.read_exact(&mut code).await.ok()?;
    match Lane::from_code(code[0]) {
        Some(lane) => {
            // Fails only when the link is lost, which the first use of the stream reports better.
            let _ = send.set_priority(priority(lane));
            Some((lane, send, recv))
        }
        None => {
            tracing::debug!(code = code[0], "a stream of a lane that this version does not know was refused");
            let _ = send.reset(UNKNOWN_LANE.into());
            let _ = recv.stop(UNKNOWN_LANE.into());
            None
        }
    }
}
