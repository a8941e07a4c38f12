//! The bytes of binary messages, one after the other: where one message ends means nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, BytesMut};
use phalanx_base::Entropy;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::broken;
use crate::quic::settings::draw;

const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// In the first byte: the message ends with this frame.
const FINAL: u8 = 0x80;
/// In the second byte: the content is masked.
const MASKED: u8 = 0x80;
/// The longest content of a frame that is not data (RFC 6455, section 5.5).
const CONTROL_BYTES_MAX: usize = 125;
/// The longest header: two bytes, a length of eight and a mask.
const HEADER_BYTES_MAX: usize = 14;
/// How much goes into one message.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Which end this is: the dialler masks what it sends.
#[derive(Clone)]
pub(crate) enum Side {
    Client(Arc<dyn Entropy>),
    Server,
}

type Mask = [u8; 4];

/// What is read next.
enum Reading {
    Header { bytes: [u8; HEADER_BYTES_MAX], filled: usize },
    Data { left: u64, mask: Mask, offset: usize },
    Control { kind: u8, mask: Mask, bytes: [u8; CONTROL_BYTES_MAX], filled: usize, length: usize },
    Ended,
}

const BEGIN: Reading = Reading::Header { bytes: [0; HEADER_BYTES_MAX], filled: 0 };

/// Bytes over WebSocket over `S`.
pub(crate) struct WebSocketStream<S> {
    inner: S,
    side: Side,
    reading: Reading,
    /// Frames that are ready to be written.
    outgoing: BytesMut,
    /// The answer to the last ping that was not answered.
    pong: Option<Vec<u8>>,
    is_closed: bool,
}

/// A header that was read as a whole.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    kind: u8,
    length: u64,
    mask: Mask,
}

/// How long a header is, by its first two bytes.
fn header_bytes([_, second]: [u8; 2]) -> usize {
    let length = match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & MASKED == 0 { 0 } else { 4 }
}

/// Reads a header that is there as a whole. A client's frames are masked, a server's are not.
fn parse(mut bytes: &[u8], must_mask: bool) -> io::Result<Header> {
    let short = |_| broken("a header is too short");
    let first = bytes.try_get_u8().map_err(short)?;
    let second = bytes.try_get_u8().map_err(short)?;
    let is_masked = second & MASKED != 0;
    if is_masked != must_mask {
        return Err(broken("a frame is masked, or not, against the rules"));
    }
    let length = match second & !MASKED {
        126 => u64::from(bytes.try_get_u16().map_err(short)?),
        127 => bytes.try_get_u64().map_err(short)?,
        length => length.into(),
    };
    let mask = if is_masked { bytes.try_get_u32().map_err(short)?.to_be_bytes() } else { [0; 4] };
    let kind = first & 0x0f;
    let is_control = kind >= CLOSE;
    let is_sound = first & 0x70 == 0
        && matches!(kind, CONTINUATION | BINARY | CLOSE | PING | PONG)
        && (!is_control || (first & FINAL != 0 && length <= CONTROL_BYTES_MAX as u64));
    if is_sound { Ok(Header { kind, length, mask }) } else { Err(broken("a frame that has no place here")) }
}

fn apply(mask: Mask, offset: usize, bytes: &mut [u8]) {
    if mask == [0; 4] {
        return;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte ^= mask[(offset + place) % 4];
    }
}

impl<S> WebSocketStream<S> {
    /// Bytes over a connection whose upgrade is done.
    pub(crate) fn new(inner: S, side: Side) -> Self {
        let (outgoing, pong) = (BytesMut::new(), None);
        Self { inner, side, reading: BEGIN, outgoing, pong, is_closed: false }
    }

    /// Puts a frame with this content behind what is ready.
    fn push_frame<'a>(&mut self, kind: u8, length: usize, content: impl Iterator<Item = &'a [u8]>) {
        let (mask, masked) = match &self.side {
            Side::Client(entropy) => (Some(draw::<4>(&**entropy)), MASKED),
            Side::Server => (None, 0),
        };
        self.outgoing.put_u8(FINAL | kind);
        match length {
            0..=125 => self.outgoing.put_u8(masked | length as u8),
            126..=0xffff => {
                self.outgoing.put_u8(masked | 126);
                self.outgoing.put_u16(length as u16);
            }
            _ => {
                self.outgoing.put_u8(masked | 127);
                self.outgoing.put_u64(length as u64);
            }
        }
        self.outgoing.extend_from_slice(mask.as_ref().map_or(&[], |mask| mask.as_slice()));
        let begin = self.outgoing.len();
        let mut left = length;
        for piece in content {
            let piece = &piece[..piece.len().min(left)];
            self.outgoing.extend_from_slice(piece);
            left -= piece.len();
        }
        if let Some(mask) = mask {
            apply(mask, 0, &mut self.outgoing[begin..]);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketStream<S> {
    /// Writes what is ready.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.outgoing.is_empty() {
                let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.outgoing))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.outgoing.advance(written);
            }
            match self.pong.take() {
                Some(content) => self.push_frame(PONG, content.len(), std::iter::once(content.as_slice())),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Reads the rest of a header, or of a frame that is not data; then the data that follows can be read.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let must_mask = matches!(self.side, Side::Server);
        loop {
            let next = match &mut self.reading {
                Reading::Data { left: 1.., .. } | Reading::Ended => return Poll::Ready(Ok(())),
                Reading::Data { left: 0, .. } => BEGIN,
                Reading::Header { bytes, filled } => {
                    let wanted = if *filled < 2 { 2 } else { header_bytes([bytes[0], bytes[1]]) };
                    if *filled < wanted {
                        if !ready!(poll_fill(&mut self.inner, cx, &mut bytes[..wanted], filled))? {
                            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                        }
                        continue;
                    }
                    let Header { kind, length, mask } = parse(&bytes[..*filled], must_mask)?;
                    match kind {
                        CONTINUATION | BINARY => Reading::Data { left: length, mask, offset: 0 },
                        // Checked: no longer than there is room.
                        kind => Reading::Control {
                            kind,
                            mask,
                            bytes: [0; CONTROL_BYTES_MAX],
                            filled: 0,
                            length: length as usize,
                        },
                    }
                }
                Reading::Control { kind, mask, bytes, filled, length } => {
                    if *filled < *length {
                        if !ready!(poll_fill(&mut self.inner, cx, &mut bytes[..*length], filled))? {
                            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                        }
                        continue;
                    }
                    apply(*mask, 0, &mut bytes[..*length]);
                    match *kind {
                        CLOSE => Reading::Ended,
                        PING => {
                            self.pong = Some(bytes[..*length].to_vec());
                            BEGIN
                        }
                        _ => BEGIN,
                    }
                }
            };
            self.reading = next;
            if self.pong.is_some() {
                // Whoever writes next sends the answer if the connection is busy now.
                let _ = self.poll_drain(cx)?;
            }
        }
    }
}

/// Reads into the part of `bytes` that is not filled; `false` at the end.
fn poll_fill(
    inner: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    bytes: &mut [u8],
    filled: &mut usize,
) -> Poll<io::Result<bool>> {
    let mut buffer = ReadBuf::new(&mut bytes[*filled..]);
    ready!(Pin::new(inner).poll_read(cx, &mut buffer))?;
    let read = buffer.filled().len();
    *filled += read;
    Poll::Ready(Ok(read > 0))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_head(cx))?;
        let Reading::Data { left, mask, offset } = &mut this.reading else { return Poll::Ready(Ok(())) };
        let room = into.remaining().min(usize::try_from(*left).unwrap_or(usize::MAX));
        let mut part = ReadBuf::new(into.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
        let read = part.filled_mut();
        if read.is_empty() && room > 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        apply(*mask, *offset, read);
        let count = read.len();
        *left -= count as u64;
        *offset = (*offset + count) % 4;
        into.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>().min(MESSAGE_BYTES_MAX);
        if length > 0 {
            this.push_frame(BINARY, length, slices.iter().map(|slice| &**slice));
            // What cannot be written now is written first the next time.
            let _ = this.poll_drain(cx)?;
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.is_closed, true) {
            this.push_frame(CLOSE, 0, std::iter::empty());
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn client() -> Side {
        Side::Client(Arc::new(SystemEntropy::new()))
    }

    async fn read_all(wire: &[u8], side: Side) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let (near, mut far) = tokio::io::duplex(1024 * 1024);
        far.write_all(wire).await?;
        far.shutdown().await?;
        let mut stream = WebSocketStream::new(near, side);
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await?;
        drop(stream);
        let mut answered = Vec::new();
        far.read_to_end(&mut answered).await?;
        Ok((read, answered))
    }

    /// The examples of RFC 6455, section 5.7, as binary frames.
    #[tokio::test]
    async fn frames_of_the_standard_are_read() {
        let masked = [0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let close = [0x88, 0x80, 0, 0, 0, 0];
        let read = read_all(&[masked.as_slice(), &close].concat(), Side::Server).await.unwrap();
        assert_eq!(read.0, b"Hello");
        // In two parts with a ping between them, which is answered at once.
        let wire = b"\x02\x03Hel\x89\x05Hello\x80\x02lo\x88\x00";
        let (read, answered) = read_all(wire, client()).await.unwrap();
        assert_eq!(read, b"Hello");
        assert_eq!(answered[..2], [0x8a, 0x85]);
        let long = [&[0x82, 0x7e, 0x01, 0x00], [7; 256].as_slice(), &[0x88, 0]].concat();
        assert_eq!(read_all(&long, client()).await.unwrap().0, [7; 256]);
        let longer = [&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], vec![7; 65_536].as_slice(), &[0x88, 0]].concat();
        assert_eq!(read_all(&longer, client()).await.unwrap().0.len(), 65_536);
    }

    #[tokio::test]
    async fn what_has_no_place_is_refused() {
        for (wire, side) in [
            (b"\x82\x01a".as_slice(), Side::Server),
            (b"\x82\x81\0\0\0\0a", client()),
            (b"\x81\x01a", client()),
            (b"\xc2\x01a", client()),
            (b"\x89\x7e\0\x7e", client()),
            (b"\x09\x00", client()),
            (b"\x83\x00", client()),
        ] {
            let error = read_all(wire, side).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{wire:?}");
        }
        let torn = read_all(b"\x82\x05abc", client()).await.unwrap_err();
        assert_eq!(torn.kind(), io::ErrorKind::UnexpectedEof, "an end without a close is none");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn bytes_arrive_in_both_directions(
            pieces in proptest::collection::vec(0..100_000_usize, 0..12),
            buffer in 1..70_000_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let bytes: Vec<u8> = (0..pieces.iter().sum::<usize>()).map(|n| (n ^ (n >> 8)) as u8).collect();
                let (near, far) = tokio::io::duplex(buffer);
                let mut ends = [WebSocketStream::new(near, client()), WebSocketStream::new(far, Side::Server)];
                for _ in 0..2 {
                    let [from, to] = &mut ends;
                    let write = async {
                        let mut rest = bytes.as_slice();
                        for piece in &pieces {
                            from.write_all(&rest[..*piece]).await.unwrap();
                            rest = &rest[*piece..];
                        }
                        from.flush().await.unwrap();
                    };
                    let mut read = vec![0; bytes.len()];
                    let (_, outcome) = tokio::join!(write, to.read_exact(&mut read));
                    outcome.unwrap();
                    assert!(read == bytes);
                    ends.reverse();
                }
            });
        }

        #[test]
        fn any_bytes_are_read_or_refused(wire: Vec<u8>, is_client: bool) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let side = if is_client { client() } else { Side::Server };
            let _ = runtime.block_on(read_all(&wire, side));
        }
    }
}
