//! What travels: frames of `kind u8 ‖ stream u64 ‖ length u16 ‖ body`, numbers little-endian. A body is checked against what
//! its kind allows before any of it is kept, and data is passed on as it comes.

use bytes::{Buf, Bytes};

use super::windows::DATAGRAM_BYTES_MAX;
use crate::close::CloseReason;

/// Length of what stands before each body.
pub(crate) const HEADER_BYTES: usize = 11;
/// The longest piece of a stream: with its header it fills one TLS record, so that what is more urgent waits for one
/// record at most.
pub(crate) const CHUNK_BYTES_MAX: usize = 16 * 1024 - HEADER_BYTES;
/// A close: its code, and a detail.
pub(crate) const CLOSE_BYTES_MAX: usize = 4 + CloseReason::DETAIL_BYTES_MAX;

pub(crate) const OPEN: u8 = 1;
pub(crate) const DATA: u8 = 2;
pub(crate) const FINISH: u8 = 3;
pub(crate) const RESET: u8 = 4;
pub(crate) const STOP: u8 = 5;
pub(crate) const STREAM_CREDIT: u8 = 6;
pub(crate) const LANE_CREDIT: u8 = 7;
pub(crate) const DATAGRAM: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;
pub(crate) const CLOSE: u8 = 11;
/// A message of the handshake, which comes before all the others.
pub(crate) const PROOF: u8 = 12;

/// What a peer said that it must not say; the link is closed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("a frame of the unknown kind {kind}")]
    UnknownKind { kind: u8 },
    #[error("a frame of kind {kind} with {bytes} bytes")]
    BadLength { kind: u8, bytes: usize },
    #[error("a stream was opened out of turn")]
    BadOpen,
    #[error("more streams were opened than agreed")]
    TooManyStreams,
    #[error("a frame for a stream that was never opened, or has ended")]
    NoSuchStream,
    #[error("more was sent than there was credit for")]
    NoCredit,
    #[error("more credit was given than can be counted")]
    TooMuchCredit,
    #[error("a ping was answered that was never sent")]
    NoSuchPing,
}

/// One frame as it was read; data in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Open { stream: u64, lane: u8 },
    Data { stream: u64, bytes: Bytes },
    Finish { stream: u64 },
    Reset { stream: u64 },
    Stop { stream: u64, code: u32 },
    StreamCredit { stream: u64, bytes: u32 },
    LaneCredit { lane: u8, bytes: u32 },
    Datagram(Bytes),
    Ping(u64),
    Pong(u64),
    Close { code: u32, detail: Vec<u8> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u8,
    pub(crate) stream: u64,
    pub(crate) bytes: usize,
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0] = self.kind;
        out[1..9].copy_from_slice(&self.stream.to_le_bytes());
        // Whoever makes a header keeps to the lengths below.
        out[9..].copy_from_slice(&(self.bytes as u16).to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [kind, stream @ .., a, b] = *bytes;
        Self { kind, stream: u64::from_le_bytes(stream), bytes: usize::from(u16::from_le_bytes([a, b])) }
    }

    fn check(self) -> Result<(), Violation> {
        let Self { kind, bytes, .. } = self;
        let (least, most) = match kind {
            OPEN => (1, 1),
            DATA => (1, CHUNK_BYTES_MAX),
            FINISH => (0, 0),
            RESET | STOP | STREAM_CREDIT => (4, 4),
            LANE_CREDIT => (5, 5),
            DATAGRAM => (0, DATAGRAM_BYTES_MAX),
            PING | PONG => (8, 8),
            CLOSE => (4, CLOSE_BYTES_MAX),
            kind => return Err(Violation::UnknownKind { kind }),
        };
        if (least..=most).contains(&bytes) { Ok(()) } else { Err(Violation::BadLength { kind, bytes }) }
    }
}

/// Makes frames of bytes, however they are split.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    current: Option<Header>,
    /// What has come of a body that is read as a whole; data is not kept here.
    body: Vec<u8>,
}

impl Decoder {
    /// The next frame, or piece of data, of what `bytes` holds; `None` once more is needed, and all of it was taken.
    pub(crate) fn next(&mut self, bytes: &mut Bytes) -> Result<Option<Input>, Violation> {
        let Some(mut header) = self.current else {
            let piece = bytes.len().min(HEADER_BYTES - self.header_filled);
            bytes.copy_to_slice(&mut self.header[self.header_filled..self.header_filled + piece]);
            self.header_filled += piece;
            if self.header_filled < HEADER_BYTES {
                return Ok(None);
            }
            let header = Header::decode(&self.header);
            header.check()?;
            (self.header_filled, self.current) = (0, Some(header));
            return self.next(bytes);
        };
        if header.kind == DATA {
            let piece = bytes.len().min(header.bytes);
            if piece == 0 {
                return Ok(None);
            }
            header.bytes -= piece;
            self.current = Some(header).filter(|header| header.bytes > 0);
            return Ok(Some(Input::Data { stream: header.stream, bytes: bytes.split_to(piece) }));
        }
        let piece = bytes.len().min(header.bytes - self.body.len());
        self.body.extend_from_slice(&bytes.split_to(piece));
        if self.body.len() < header.bytes {
            return Ok(None);
        }
        self.current = None;
        let input = parse(header, &self.body);
        self.body.clear();
        Ok(Some(input?))
    }
}

/// Reads a whole body whose length was checked.
fn parse(Header { kind, stream, bytes }: Header, mut body: &[u8]) -> Result<Input, Violation> {
    let short = Violation::BadLength { kind, bytes };
    let mut byte = || body.try_get_u8().map_err(|_| short);
    if kind == LANE_CREDIT {
        let lane = byte()?;
        return Ok(Input::LaneCredit { lane, bytes: body.try_get_u32_le().map_err(|_| short)? });
    }
    if kind == OPEN {
        return Ok(Input::Open { stream, lane: byte()? });
    }
    let mut number = || body.try_get_u32_le().map_err(|_| short);
    Ok(match kind {
        FINISH => Input::Finish { stream },
        RESET => Input::Reset { stream },
        STOP => Input::Stop { stream, code: number()? },
        STREAM_CREDIT => Input::StreamCredit { stream, bytes: number()? },
        DATAGRAM => Input::Datagram(Bytes::copy_from_slice(body)),
        CLOSE => Input::Close { code: number()?, detail: body.to_vec() },
        PING => Input::Ping(body.try_get_u64_le().map_err(|_| short)?),
        PONG => Input::Pong(body.try_get_u64_le().map_err(|_| short)?),
        kind => return Err(Violation::UnknownKind { kind }),
    })
}

/// A frame to send, without what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transmit {
    head: [u8; HEADER_BYTES + 8],
    head_bytes: usize,
    /// What follows.
    pub(crate) content: Content,
}

/// What follows the head of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing.
    None,
    /// The next so many bytes of a stream.
    Stream { stream: u64, bytes: usize },
    /// These bytes.
    Bytes(Bytes),
}

impl Transmit {
    /// The first bytes of the frame.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head[..self.head_bytes]
    }

    fn with_body(kind: u8, stream: u64, body: &[u8], content: Content) -> Self {
        let follows = match &content {
            Content::None => 0,
            Content::Stream { bytes, .. } => *bytes,
            Content::Bytes(bytes) => bytes.len(),
        };
        let header = Header { kind, stream, bytes: body.len() + follows };
        let mut head = [0; HEADER_BYTES + 8];
        head[..HEADER_BYTES].copy_from_slice(&header.encode());
        head[HEADER_BYTES..HEADER_BYTES + body.len()].copy_from_slice(body);
        Self { head, head_bytes: HEADER_BYTES + body.len(), content }
    }

    pub(super) fn open(stream: u64, lane: u8) -> Self {
        Self::with_body(OPEN, stream, &[lane], Content::None)
    }

    pub(super) fn data(stream: u64, bytes: usize) -> Self {
        Self::with_body(DATA, stream, &[], Content::Stream { stream, bytes })
    }

    pub(super) fn finish(stream: u64) -> Self {
        Self::with_body(FINISH, stream, &[], Content::None)
    }

    /// `kind` is one of [`RESET`], [`STOP`] and [`STREAM_CREDIT`].
    pub(super) fn number(kind: u8, stream: u64, number: u32) -> Self {
        Self::with_body(kind, stream, &number.to_le_bytes(), Content::None)
    }

    pub(super) fn lane_credit(lane: u8, bytes: u32) -> Self {
        let [a, b, c, d] = bytes.to_le_bytes();
        Self::with_body(LANE_CREDIT, 0, &[lane, a, b, c, d], Content::None)
    }

    pub(super) fn datagram(datagram: Bytes) -> Self {
        Self::with_body(DATAGRAM, 0, &[], Content::Bytes(datagram))
    }

    /// `kind` is [`PING`] or [`PONG`].
    pub(super) fn ping(kind: u8, number: u64) -> Self {
        Self::with_body(kind, 0, &number.to_le_bytes(), Content::None)
    }

    /// A close as a number and a few bytes say it. What is too long is cut.
    pub(crate) fn close(code: u32, detail: &[u8]) -> Self {
        let detail = &detail[..detail.len().min(CloseReason::DETAIL_BYTES_MAX)];
        let detail = Content::Bytes(Bytes::copy_from_slice(detail));
        Self::with_body(CLOSE, 0, &code.to_le_bytes(), detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(transmit: &Transmit) -> Vec<u8> {
        let follows = match &transmit.content {
            Content::None => Vec::new(),
            Content::Stream { bytes, .. } => vec![7; *bytes],
            Content::Bytes(bytes) => bytes.to_vec(),
        };
        [transmit.head(), &follows].concat()
    }

    fn read(bytes: &[u8], decoder: &mut Decoder) -> Result<Vec<Input>, Violation> {
        let mut bytes = Bytes::copy_from_slice(bytes);
        std::iter::from_fn(|| decoder.next(&mut bytes).transpose()).collect()
    }

    #[test]
    fn the_wire_format_is_pinned() {
        let header = |kind, stream: u8, length: u8| vec![kind, stream, 0, 0, 0, 0, 0, 0, 0, length, 0];
        let frame =
            |kind, stream, body: &[u8]| [header(kind, stream, body.len() as u8), body.to_vec()].concat();
        for (transmit, expected, input) in [
            (Transmit::open(3, 4), frame(1, 3, &[4]), Input::Open { stream: 3, lane: 4 }),
            (
                Transmit::data(3, 2),
                frame(2, 3, &[7, 7]),
                Input::Data { stream: 3, bytes: Bytes::from_static(&[7, 7]) },
            ),
            (Transmit::finish(3), frame(3, 3, &[]), Input::Finish { stream: 3 }),
            (Transmit::number(RESET, 3, 9), frame(4, 3, &[9, 0, 0, 0]), Input::Reset { stream: 3 }),
            (Transmit::number(STOP, 3, 9), frame(5, 3, &[9, 0, 0, 0]), Input::Stop { stream: 3, code: 9 }),
            (
                Transmit::number(STREAM_CREDIT, 3, 256),
                frame(6, 3, &[0, 1, 0, 0]),
                Input::StreamCredit { stream: 3, bytes: 256 },
            ),
            (
                Transmit::lane_credit(2, 256),
                frame(7, 0, &[2, 0, 1, 0, 0]),
                Input::LaneCredit { lane: 2, bytes: 256 },
            ),
            (
                Transmit::datagram(Bytes::from_static(b"hey")),
                frame(8, 0, b"hey"),
                Input::Datagram(Bytes::from_static(b"hey")),
            ),
            (Transmit::ping(PING, 5), frame(9, 0, &[5, 0, 0, 0, 0, 0, 0, 0]), Input::Ping(5)),
            (Transmit::ping(PONG, 5), frame(10, 0, &[5, 0, 0, 0, 0, 0, 0, 0]), Input::Pong(5)),
            (
                Transmit::close(1, b"why"),
                frame(11, 0, b"\x01\0\0\0why"),
                Input::Close { code: 1, detail: b"why".to_vec() },
            ),
        ] {
            assert_eq!(bytes(&transmit), expected);
            assert_eq!(read(&expected, &mut Decoder::default()), Ok(vec![input]));
        }
    }

    #[test]
    fn a_length_that_its_kind_does_not_have_is_refused_before_the_body() {
        for (kind, length) in
            [(OPEN, 2), (DATA, 0), (DATA, CHUNK_BYTES_MAX + 1), (FINISH, 1), (CLOSE, 3), (CLOSE, 300)]
        {
            let header = Header { kind, stream: 1, bytes: length }.encode();
            let refused = Violation::BadLength { kind, bytes: length };
            assert_eq!(read(&header, &mut Decoder::default()), Err(refused));
        }
        let header = Header { kind: PROOF, stream: 0, bytes: 1 }.encode();
        let refused = Violation::UnknownKind { kind: PROOF };
        assert_eq!(read(&header, &mut Decoder::default()), Err(refused), "the handshake is over");
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(cuts in proptest::collection::vec(0_usize..200, 0..20)) {
            let frames = [
                Transmit::open(1, 4), Transmit::data(1, 90), Transmit::ping(PING, 3), Transmit::finish(1),
                Transmit::close(7, b"moved"),
            ];
            let wire: Vec<u8> = frames.iter().flat_map(bytes).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(wire.len())).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();
            let mut decoder = Decoder::default();
            let (mut data, mut others) = (0, Vec::new());
            for pair in cuts.windows(2) {
                for input in read(&wire[pair[0]..pair[1]], &mut decoder).unwrap() {
                    match input {
                        Input::Data { bytes, .. } => data += bytes.len(),
                        other => others.push(other),
                    }
                }
            }
            prop_assert_eq!(data, 90);
            let close = Input::Close { code: 7, detail: b"moved".to_vec() };
            prop_assert_eq!(others, [
                Input::Open { stream: 1, lane: 4 }, Input::Ping(3), Input::Finish { stream: 1 }, close,
            ]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(pieces in proptest::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let mut decoder = Decoder::default();
            for piece in pieces {
                if read(&piece, &mut decoder).is_err() {
                    break;
                }
            }
        }
    }
}
