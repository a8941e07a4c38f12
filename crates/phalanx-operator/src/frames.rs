//! Frames of calls and transfers over a socket of the machine: in each of the socket's messages the byte of the frame's kind,
//! then its body.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use phalanx_jobs::wire::{FRAME_RULES, Frame, rule};
use phalanx_jobs::{CarrierLost, FrameSink, FrameSource, Stream};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

type Connection = Framed<UnixStream, LengthDelimitedCodec>;

/// A connection whose ends have agreed that frames follow.
pub(crate) fn over_socket(mut connection: Connection) -> Stream {
    let longest = FRAME_RULES.iter().map(|rule| rule.bytes_max).max().unwrap_or_default();
    connection.codec_mut().set_max_frame_length(1 + longest);
    let (sink, source) = connection.split();
    Stream { sink: Box::new(Sink(Some(sink))), source: Box::new(Source(source)) }
}

/// Nothing once it has finished.
struct Sink(Option<SplitSink<Connection, Bytes>>);

impl FrameSink for Sink {
    fn send<'a>(&'a mut self, frames: &'a [Frame]) -> BoxFuture<'a, Result<(), CarrierLost>> {
        async move {
            let sink = self.0.as_mut().ok_or(CarrierLost)?;
            for frame in frames {
                let mut message = BytesMut::with_capacity(1 + frame.body.len());
                message.put_u8(frame.kind);
                message.put_slice(&frame.body);
                sink.feed(message.freeze()).await.map_err(|_| CarrierLost)?;
            }
            sink.flush().await.map_err(|_| CarrierLost)
        }
        .boxed()
    }

    /// The other end learns of it by what it reads: a transfer says itself where it ends.
    fn finish(&mut self) {
        self.0 = None;
    }
}

struct Source(SplitStream<Connection>);

impl FrameSource for Source {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frame>, CarrierLost>> {
        async move {
            let Some(message) = self.0.next().await.transpose().map_err(|_| CarrierLost)? else {
                return Ok(None);
            };
            let mut body = message.freeze();
            let kind = match body.split_to(body.len().min(1)).first() {
                Some(kind) => *kind,
                None => return Err(CarrierLost),
            };
            match rule(kind) {
                Some(rule) if body.len() <= rule.bytes_max => Ok(Some(Frame { kind, body })),
                _ => Err(CarrierLost),
            }
        }
        .boxed()
    }
}
