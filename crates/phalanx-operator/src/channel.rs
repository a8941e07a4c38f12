//! A connection between an operator and a node: whole messages, over a socket of the same machine or over the network.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use phalanx::OperatorStream;
use phalanx_jobs::Stream;
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::frames;
use crate::wire::REPLY_BYTES_MAX;

/// One end of a connection.
pub(crate) enum Channel {
    /// Frames with a length of four bytes in front.
    Socket(Box<Framed<UnixStream, LengthDelimitedCodec>>),
    /// The network has frames of its own.
    Network(Box<OperatorStream>),
}

impl Channel {
    /// A connection over a socket; a frame of more than `frame_bytes_max` that the other end sends ends it.
    pub(crate) fn socket(stream: UnixStream, frame_bytes_max: usize) -> Self {
        let codec = LengthDelimitedCodec::builder().max_frame_length(frame_bytes_max).new_codec();
        let mut framed = Framed::new(stream, codec);
        framed.set_backpressure_boundary(REPLY_BYTES_MAX);
        Self::Socket(Box::new(framed))
    }

    /// Sends a message. Not cancellation safe: drop the connection after a send that was dropped.
    pub(crate) async fn send(&mut self, message: Bytes) -> io::Result<()> {
        match self {
            Self::Socket(framed) => framed.send(message).await,
            Self::Network(stream) => stream.send(message).await.map_err(io::Error::other),
        }
    }

    /// From here on frames: both ends have agreed on that.
    pub(crate) fn into_frames(self) -> Stream {
        match self {
            Self::Socket(framed) => frames::over_socket(*framed),
            Self::Network(stream) => stream.into_frames(),
        }
    }

    /// The next message; `None` when the other end has ended the connection. Cancellation safe.
    pub(crate) async fn receive(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Self::Socket(framed) => framed.next().await.transpose().map(|frame| frame.map(BytesMut::freeze)),
            Self::Network(stream) => stream.recv().await.map_err(io::Error::other),
        }
    }
}
