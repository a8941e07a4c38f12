//! Requests with their length before them, one at a time on a stream of bytes: what TCP and TLS have in common.

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use crate::Failure;
use crate::client::Caller;

/// The longest request: a peer that is broken must not make the other end run out of memory.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Sends back whatever comes, until the stream ends.
pub(super) async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Failure> {
    let mut stream = BufReader::new(stream);
    let mut frame = BytesMut::new();
    loop {
        let Ok(length) = stream.read_u32().await else { return Ok(()) };
        receive(&mut stream, length, &mut frame).await?;
        stream.get_mut().write_all(&frame).await?;
        stream.get_mut().flush().await?;
    }
}

/// Puts a length and what follows it into the frame.
async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    length: u32,
    frame: &mut BytesMut,
) -> Result<(), Failure> {
    let bytes = usize::try_from(length)?;
    if bytes > REQUEST_BYTES_MAX {
        return Err("a request is longer than any that was sent".into());
    }
    frame.clear();
    frame.put_u32(length);
    frame.resize(bytes + 4, 0);
    stream.read_exact(&mut frame[4..]).await?;
    Ok(())
}

/// Whoever asks over a stream of its own.
pub(super) struct StreamCaller<S> {
    stream: BufReader<S>,
    frame: BytesMut,
}

impl<S: AsyncRead> StreamCaller<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream), frame: BytesMut::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Caller for StreamCaller<S> {
    async fn call(&mut self, payload: Bytes) -> Result<(), Failure> {
        self.frame.clear();
        self.frame.put_u32(u32::try_from(payload.len())?);
        self.frame.put_slice(&payload);
        self.stream.get_mut().write_all(&self.frame).await?;
        self.stream.get_mut().flush().await?;
        let length = self.stream.read_u32().await?;
        receive(&mut self.stream, length, &mut self.frame).await?;
        if self.frame[4..] == payload { Ok(()) } else { Err("another answer than the request".into()) }
    }
}
