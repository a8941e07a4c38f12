//! Frames: the unit of everything that travels on a stream of a link, `kind u8 ‖ length u32 little-endian ‖ body`.
//!
//! The reader says per kind how long a body may be, and that is checked as soon as the five bytes of the header are
//! there, before anything is allocated for the body. Even then memory follows what has arrived, not what was announced.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest body of any kind: more belongs on a bulk stream, in pieces.
pub const FRAME_BYTES_MAX: u32 = 16 * 1024 * 1024;

const HEADER_BYTES: usize = 5;
/// Bodies of this size or more travel and arrive as slices of larger buffers, shorter ones are copied: a copy of this
/// length costs less than the bookkeeping, and a short body must not keep a large receive buffer alive.
const SHARE_BYTES_MIN: usize = 4096;
/// What is reserved for a body before any of it has come.
const RESERVE_BYTES_MAX: usize = 64 * 1024;

/// One message on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it means to the layer above.
    pub kind: u8,
    /// Its content.
    pub body: Bytes,
}

impl Frame {
    /// A frame of this kind with this body.
    #[must_use]
    pub fn new(kind: u8, body: impl Into<Bytes>) -> Self {
        Self { kind, body: body.into() }
    }
}

/// Which kinds of frame a reader takes, and how long the body of each may be.
///
/// ```
/// use phalanx_transport::FrameCaps;
/// static CAPS: FrameCaps = FrameCaps::new().with(1, 64).with(2, 1024 * 1024);
/// assert_eq!(CAPS.bytes_max(1), Some(64));
/// assert_eq!(CAPS.bytes_max(3), None);
/// ```
#[derive(Debug, Clone)]
pub struct FrameCaps([Option<u32>; 256]);

impl FrameCaps {
    /// Takes no kind at all.
    #[must_use]
    pub const fn new() -> Self {
        Self([None; 256])
    }

    /// Takes this kind too, with bodies of at most `bytes_max`.
    ///
    /// # Panics
    /// Where `bytes_max` is above [`FRAME_BYTES_MAX`]; in a `static` or `const` that is a compile error.
    #[must_use]
    pub const fn with(mut self, kind: u8, bytes_max: u32) -> Self {
        assert!(bytes_max <= FRAME_BYTES_MAX, "no frame is longer than FRAME_BYTES_MAX");
        self.0[kind as usize] = Some(bytes_max);
        self
    }

    /// How long the body of a kind may be; `None` for a kind that is not taken.
    #[must_use]
    pub const fn bytes_max(&self, kind: u8) -> Option<u32> {
        self.0[kind as usize]
    }
}

impl Default for FrameCaps {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a frame was refused; its body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The reader does not take this kind.
    #[error("a frame of kind {kind} has no place here")]
    UnknownKind {
        /// The kind.
        kind: u8,
    },
    /// The body is longer than this kind allows.
    #[error("a frame of kind {kind} with {bytes} bytes is above its cap of {bytes_max}")]
    TooLarge {
        /// The kind.
        kind: u8,
        /// The length that its header announces.
        bytes: u32,
        /// The longest that is allowed.
        bytes_max: u32,
    },
}

/// Writes frames to `chunks`, short ones packed together into one buffer taken from `scratch`.
///
/// # Errors
/// [`FrameError::TooLarge`] for a body above [`FRAME_BYTES_MAX`]; then nothing was written.
pub(crate) fn encode_frames<'a>(
    frames: impl Iterator<Item = (u8, &'a Bytes)> + Clone,
    scratch: &mut BytesMut,
    chunks: &mut VecDeque<Bytes>,
) -> Result<(), FrameError> {
    let mut packed_bytes = 0;
    for (kind, body) in frames.clone() {
        let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if bytes > FRAME_BYTES_MAX {
            return Err(FrameError::TooLarge { kind, bytes, bytes_max: FRAME_BYTES_MAX });
        }
        packed_bytes += HEADER_BYTES + if body.len() < SHARE_BYTES_MIN { body.len() } else { 0 };
    }
    scratch.reserve(packed_bytes);
    for (kind, body) in frames {
        scratch.put_u8(kind);
        scratch.put_u32_le(body.len() as u32);
        if body.len() < SHARE_BYTES_MIN {
            scratch.put_slice(body);
        } else {
            chunks.push_back(scratch.split().freeze());
            chunks.push_back(body.clone());
        }
    }
    if !scratch.is_empty() {
        chunks.push_back(scratch.split().freeze());
    }
    Ok(())
}

/// Makes frames of the bytes of a stream, however they are split.
///
/// Feed it by [`push`](Self::push), then take frames by [`next_frame`](Self::next_frame) until it returns `None`.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    chunks: VecDeque<Bytes>,
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    partial: Option<Partial>,
}

/// A frame whose header was accepted.
#[derive(Debug)]
struct Partial {
    kind: u8,
    length: usize,
    body: BytesMut,
}

impl FrameDecoder {
    /// A decoder at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// Whether all that was fed has been taken out as whole frames.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.chunks.is_empty() && self.header_filled == 0 && self.partial.is_none()
    }

    /// The next whole frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`] where the header asks for what `caps` does not allow. The stream cannot be read on: every
    /// further call returns the same.
    pub fn next_frame(&mut self, caps: &FrameCaps) -> Result<Option<Frame>, FrameError> {
        if self.partial.is_none() {
            if !self.fill_header() {
                return Ok(None);
            }
            self.partial = Some(self.begin(caps)?);
            self.header_filled = 0;
        }
        let Some(partial) = &mut self.partial else { return Ok(None) };
        if partial.body.is_empty()
            && partial.length >= SHARE_BYTES_MIN
            && let Some(front) = self.chunks.front_mut().filter(|front| front.len() >= partial.length)
        {
            let frame = Frame { kind: partial.kind, body: front.split_to(partial.length) };
            self.drop_empty_front();
            self.partial = None;
            return Ok(Some(frame));
        }
        while partial.body.len() < partial.length {
            let Some(front) = self.chunks.front_mut() else { return Ok(None) };
            let piece = front.len().min(partial.length - partial.body.len());
            partial.body.extend_from_slice(&front.split_to(piece));
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
        Ok(self.partial.take().map(|partial| Frame { kind: partial.kind, body: partial.body.freeze() }))
    }

    /// Takes bytes into the header until it is whole.
    fn fill_header(&mut self) -> bool {
        while self.header_filled < HEADER_BYTES {
            let Some(front) = self.chunks.front_mut() else { return false };
            let missing = &mut self.header[self.header_filled..];
            let piece = front.len().min(missing.len());
            front.copy_to_slice(&mut missing[..piece]);
            self.header_filled += piece;
            self.drop_empty_front();
        }
        true
    }

    fn begin(&self, caps: &FrameCaps) -> Result<Partial, FrameError> {
        let [kind, a, b, c, d] = self.header;
        let bytes = u32::from_le_bytes([a, b, c, d]);
        match caps.bytes_max(kind) {
            None => Err(FrameError::UnknownKind { kind }),
            Some(bytes_max) if bytes > bytes_max => Err(FrameError::TooLarge { kind, bytes, bytes_max }),
            Some(_) => {
                let length = bytes as usize;
                // A body that can be shared is not copied, so that nothing is reserved for it.
                let whole = self.chunks.front().is_some_and(|front| front.len() >= length);
                let reserve =
                    if whole && length >= SHARE_BYTES_MIN { 0 } else { length.min(RESERVE_BYTES_MAX) };
                Ok(Partial { kind, length, body: BytesMut::with_capacity(reserve) })
            }
        }
    }

    fn drop_empty_front(&mut self) {
        if self.chunks.front().is_some_and(Bytes::is_empty) {
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_kind(bytes_max: u32) -> FrameCaps {
        (0..=u8::MAX).fold(FrameCaps::new(), |caps, kind| caps.with(kind, bytes_max))
    }

    fn parts(frames: &[Frame]) -> impl Iterator<Item = (u8, &Bytes)> + Clone {
        frames.iter().map(|frame| (frame.kind, &frame.body))
    }

    fn wire(frames: &[Frame]) -> Vec<u8> {
        let mut chunks = VecDeque::new();
        encode_frames(parts(frames), &mut BytesMut::new(), &mut chunks).unwrap();
        chunks.into_iter().collect::<Vec<_>>().concat()
    }

    fn drain(decoder: &mut FrameDecoder, caps: &FrameCaps) -> Vec<Frame> {
        std::iter::from_fn(|| decoder.next_frame(caps).unwrap()).collect()
    }

    #[test]
    fn the_wire_format_is_pinned() {
        assert_eq!(wire(&[Frame::new(7, "hey"), Frame::new(8, "")]), b"\x07\x03\0\0\0hey\x08\0\0\0\0");
    }

    #[test]
    fn a_header_above_its_cap_is_refused_before_anything_is_allocated() {
        let mut decoder = FrameDecoder::new();
        decoder.push(Bytes::from_static(b"\x01\xff\xff\xff\xff"));
        let error = FrameError::TooLarge { kind: 1, bytes: u32::MAX, bytes_max: 9 };
        assert_eq!(decoder.next_frame(&FrameCaps::new().with(1, 9)), Err(error));
        assert!(decoder.partial.is_none());
        assert_eq!(decoder.next_frame(&FrameCaps::new().with(1, 9)), Err(error), "and for ever");
    }

    #[test]
    fn memory_follows_what_has_arrived() {
        let mut decoder = FrameDecoder::new();
        decoder.push(Bytes::from_static(b"\x01\0\0\0\x01beginning"));
        assert_eq!(decoder.next_frame(&any_kind(FRAME_BYTES_MAX)), Ok(None));
        let reserved = decoder.partial.as_ref().map_or(0, |partial| partial.body.capacity());
        assert!(reserved <= 2 * RESERVE_BYTES_MAX, "{reserved} bytes for 9 of the 16 MiB announced");
    }

    #[test]
    fn kinds_that_are_not_taken_are_refused() {
        let mut decoder = FrameDecoder::new();
        decoder.push(wire(&[Frame::new(2, "x")]).into());
        assert_eq!(
            decoder.next_frame(&FrameCaps::new().with(1, 9)),
            Err(FrameError::UnknownKind { kind: 2 })
        );
    }

    #[test]
    fn a_body_above_every_cap_is_not_sent() {
        let frames = [Frame::new(1, "fits"), Frame::new(2, vec![0; FRAME_BYTES_MAX as usize + 1])];
        let (mut scratch, mut chunks) = (BytesMut::new(), VecDeque::new());
        assert!(encode_frames(parts(&frames), &mut scratch, &mut chunks).is_err());
        assert!(scratch.is_empty() && chunks.is_empty(), "not even the frame before it");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_split_gives_the_same_frames(
            frames in proptest::collection::vec((any::<u8>(), prop_oneof![0..20_usize, 4_000..9_000_usize]), 0..8),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let frames: Vec<Frame> =
                frames.into_iter().map(|(kind, n)| Frame::new(kind, vec![kind ^ 0x5a; n])).collect();
            let bytes = Bytes::from(wire(&frames));
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let caps = any_kind(FRAME_BYTES_MAX);
            let mut decoder = FrameDecoder::new();
            let mut read = Vec::new();
            for pair in cuts.windows(2) {
                decoder.push(bytes.slice(pair[0]..pair[1]));
                read.extend(drain(&mut decoder, &caps));
            }
            prop_assert_eq!(read, frames);
            prop_assert!(decoder.is_between_frames());
        }

        #[test]
        fn any_bytes_are_read_or_refused(chunks in proptest::collection::vec(any::<Vec<u8>>(), 0..6)) {
            let caps = FrameCaps::new().with(0, 8).with(1, 1_000);
            let mut decoder = FrameDecoder::new();
            for chunk in chunks {
                decoder.push(chunk.into());
                while let Ok(Some(frame)) = decoder.next_frame(&caps) {
                    prop_assert!(caps.bytes_max(frame.kind).is_some_and(|max| frame.body.len() <= max as usize));
                }
            }
        }

        #[test]
        fn a_stream_that_ends_inside_a_frame_is_known(cut in 1_usize..=10) {
            let bytes = Bytes::from(wire(&[Frame::new(1, "whole"), Frame::new(2, "torn!")]));
            let mut decoder = FrameDecoder::new();
            decoder.push(bytes.slice(..bytes.len() - cut));
            let read = drain(&mut decoder, &any_kind(9)).len();
            prop_assert_eq!((read, decoder.is_between_frames()), (1, cut == 10));
        }
    }
}
