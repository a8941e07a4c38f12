//! A link carried by a QUIC connection: quinn's calls and errors in our words.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use phalanx_base::Lane;
use quinn::{Connection, ConnectionError, RecvStream, SendDatagramError, SendStream, VarInt};
use tokio::sync::Mutex;

use crate::close::{CloseReason, LinkLost};
use crate::link::{DatagramError, priority};

/// The code with which a stream of a lane that we do not know is refused.
const UNKNOWN_LANE: u32 = 1;

/// A proven connection. Streams hold it too: it lives as long as the link or any of them.
#[derive(Debug)]
pub(crate) struct QuicCarrier {
    connection: Connection,
    closed_here: OnceLock<CloseReason>,
    endpoint_closed: Arc<OnceLock<CloseReason>>,
    arrivals: Mutex<Arrivals>,
}

type Arrival = (Lane, SendStream, RecvStream);

/// Streams whose lane is not known yet. A stream exists for QUIC before its first byte has come, so that one lost
/// packet must not hold up the streams after it. As many as the peer may have open.
#[derive(Debug, Default)]
struct Arrivals(FuturesUnordered<BoxFuture<'static, Option<Arrival>>>);

impl QuicCarrier {
    pub(crate) fn new(connection: Connection, endpoint_closed: Arc<OnceLock<CloseReason>>) -> Self {
        let (closed_here, arrivals) = (OnceLock::new(), Mutex::default());
        Self { connection, closed_here, endpoint_closed, arrivals }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) async fn open(&self, lane: Lane) -> Result<(SendStream, RecvStream), LinkLost> {
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
        self.connection.read_datagram().await.map_err(|error| self.lost(&error))
    }

    pub(crate) fn datagram_bytes_max(&self) -> usize {
        self.connection.max_datagram_size().unwrap_or(0)
    }

    pub(crate) fn close(&self, reason: CloseReason) {
        if self.connection.close_reason().is_none() {
            let reason = self.closed_here.get_or_init(|| reason);
            let (code, detail) = reason.encode();
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
                let reason = self.closed_here.get().or_else(|| self.endpoint_closed.get());
                LinkLost::ClosedHere(reason.cloned().unwrap_or(CloseReason::Dropped))
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
