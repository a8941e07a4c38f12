//! Framed streams of a link: the sending and the receiving half, the same whatever carries them.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::{ReadError, RecvStream, WriteError};

use super::memory::{MemoryRecv, MemorySend};
use crate::close::LinkLost;
use crate::frame::{Frame, FrameCaps, FrameDecoder, FrameError, encode_frames};
use crate::mux::carrier::{MuxRecv, MuxSend};
use crate::quic::carrier::QuicCarrier;
use crate::quic::outgoing::Outgoing;

/// The code of a stream that its owner gave up.
pub(crate) const GIVEN_UP: u32 = 0;
/// The code of a stream whose frames were refused.
pub(crate) const FRAME_REFUSED: u32 = 2;

/// How many pieces of a stream are fetched at a time. Each is at most one packet's worth on QUIC.
const READ_CHUNKS: usize = 16;

/// Why a stream ended before its clean end. The link may well live on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The link is gone.
    #[error(transparent)]
    Link(LinkLost),
    /// The peer gave up sending; what it sent last may be missing.
    #[error("the peer gave up this stream")]
    Reset,
    /// The peer does not read this stream any more; what was sent last may not have been read.
    #[error("the peer does not read this stream any more")]
    Stopped,
    /// The stream was finished, reset or dropped on this side.
    #[error("this stream is finished here")]
    Finished,
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// A frame was refused. Received: nothing more of this stream is read. To be sent: nothing was sent.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

pub(super) enum SendHalf {
    Quic(Arc<Outgoing>, Arc<QuicCarrier>),
    Mux(MuxSend),
    Memory(MemorySend),
}

impl SendHalf {
    /// Writes some of what is at the front of `chunks` and takes it out. Cancellation safe.
    async fn write(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<(), StreamError> {
        match self {
            Self::Quic(send, carrier) => {
                poll_fn(|cx| send.poll_write(cx, chunks)).await.map_err(|error| match error {
                    WriteError::Stopped(_) => StreamError::Stopped,
                    WriteError::ConnectionLost(error) => StreamError::Link(carrier.lost(&error)),
                    WriteError::ClosedStream | WriteError::ZeroRttRejected => StreamError::Finished,
                })
            }
            Self::Mux(send) => send.write(chunks).await,
            Self::Memory(send) => send.write(chunks).await,
        }
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        match self {
            Self::Quic(send, _) => {
                if send.finish() {
                    Ok(())
                } else {
                    Err(StreamError::Finished)
                }
            }
            Self::Mux(send) => send.finish(),
            Self::Memory(send) => send.finish(),
        }
    }

    fn reset(&mut self) {
        match self {
            Self::Quic(send, _) => send.reset(GIVEN_UP),
            Self::Mux(send) => send.reset(),
            Self::Memory(send) => send.reset(),
        }
    }
}

/// The sending half of a stream.
///
/// Dropping it finishes the stream, unless a send was cancelled halfway; then it resets it.
pub struct FrameSender {
    half: SendHalf,
    scratch: BytesMut,
    /// What a send that was cancelled left to be sent: at most what one call was given.
    unsent: VecDeque<Bytes>,
    failed: Option<StreamError>,
}

impl FrameSender {
    pub(super) fn new(half: SendHalf) -> Self {
        Self { half, scratch: BytesMut::new(), unsent: VecDeque::new(), failed: None }
    }

    /// Sends a frame; returns when the carrier has taken it, which says nothing about the peer. Waits while the peer
    /// does not read.
    ///
    /// Cancellation: a call that was dropped may have sent its frame, or not; no frame is torn or sent twice. What it
    /// left half sent goes before the next frame.
    ///
    /// # Errors
    /// [`StreamError::Frame`] for a body above [`FRAME_BYTES_MAX`](crate::FRAME_BYTES_MAX), and nothing was sent; after
    /// any other error the stream is over, and each further call says the same.
    pub async fn send(&mut self, kind: u8, body: impl Into<Bytes>) -> Result<(), StreamError> {
        self.send_each(std::iter::once((kind, &body.into()))).await
    }

    /// Sends several frames with as few writes as possible; else as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send): where one frame is too long, none is sent.
    pub async fn send_all(&mut self, frames: &[Frame]) -> Result<(), StreamError> {
        self.send_each(frames.iter().map(|frame| (frame.kind, &frame.body))).await
    }

    /// As [`send_all`](Self::send_all), for whoever has kinds and bodies in another form.
    ///
    /// # Errors
    /// As [`send_all`](Self::send_all).
    pub async fn send_each<'a>(
        &mut self,
        frames: impl Iterator<Item = (u8, &'a Bytes)> + Clone,
    ) -> Result<(), StreamError> {
        self.flush().await?;
        encode_frames(frames, &mut self.scratch, &mut self.unsent)?;
        self.flush().await
    }

    /// Says that nothing more will come; what was sent still arrives.
    ///
    /// # Errors
    /// [`StreamError::Finished`] where that has been said, or where a cancelled send has left a part of a frame; then
    /// the stream is reset.
    pub fn finish(&mut self) -> Result<(), StreamError> {
        if self.unsent.is_empty() {
            return self.half.finish();
        }
        self.reset();
        Err(StreamError::Finished)
    }

    /// Gives the stream up: what has not arrived may never arrive.
    pub fn reset(&mut self) {
        self.unsent.clear();
        self.half.reset();
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        while !self.unsent.is_empty() {
            if let Err(error) = self.half.write(&mut self.unsent).await {
                self.unsent.clear();
                self.failed = Some(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        // Fails only when the stream is over already.
        let _ = self.finish();
    }
}

impl fmt::Debug for FrameSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameSender").field("unsent_chunks", &self.unsent.len()).finish_non_exhaustive()
    }
}

pub(super) enum RecvHalf {
    Quic(RecvStream, Arc<QuicCarrier>),
    Mux(MuxRecv),
    Memory(MemoryRecv),
}

impl RecvHalf {
    /// Reads what is there, or waits until something is; `false` at the clean end. Cancellation safe.
    async fn read(&mut self, decoder: &mut FrameDecoder) -> Result<bool, StreamError> {
        match self {
            Self::Quic(recv, carrier) => {
                let mut chunks = [const { Bytes::new() }; READ_CHUNKS];
                let count = recv.read_chunks(&mut chunks).await.map_err(|error| match error {
                    ReadError::Reset(_) => StreamError::Reset,
                    ReadError::ConnectionLost(error) => StreamError::Link(carrier.lost(&error)),
                    ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => {
                        StreamError::Finished
                    }
                })?;
                let Some(count) = count else { return Ok(false) };
                chunks.into_iter().take(count).for_each(|chunk| decoder.push(chunk));
                Ok(true)
            }
            Self::Mux(recv) => recv.read(|chunk| decoder.push(chunk)).await,
            Self::Memory(recv) => match recv.read().await? {
                Some(chunk) => {
                    decoder.push(chunk);
                    Ok(true)
                }
                None => Ok(false),
            },
        }
    }

    fn stop(&mut self, code: u32) {
        match self {
            // Fails only when the stream is over already.
            Self::Quic(recv, _) => drop(recv.stop(code.into())),
            Self::Mux(recv) => recv.stop(code),
            Self::Memory(recv) => recv.stop(),
        }
    }
}

/// The receiving half of a stream.
///
/// Dropping it tells the peer that nobody reads any more, unless the stream has ended.
pub struct FrameReceiver {
    half: RecvHalf,
    decoder: FrameDecoder,
    ended: Option<Result<(), StreamError>>,
}

impl FrameReceiver {
    pub(super) fn new(half: RecvHalf) -> Self {
        Self { half, decoder: FrameDecoder::new(), ended: None }
    }

    /// The next frame; `None` at the clean end of the stream, and from then on.
    ///
    /// Cancellation safe: what was read of a frame stays here for the next call.
    ///
    /// # Errors
    /// [`StreamError`]; the stream is over, and each further call says the same. [`StreamError::Frame`] means that the
    /// peer broke the protocol; whether its link is closed for that is the caller's to say.
    pub async fn next(&mut self, caps: &FrameCaps) -> Result<Option<Frame>, StreamError> {
        loop {
            if let Some(ended) = &self.ended {
                return ended.clone().map(|()| None);
            }
            match self.decoder.next_frame(caps) {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => {}
                Err(refused) => {
                    self.half.stop(FRAME_REFUSED);
                    self.ended = Some(Err(refused.into()));
                    continue;
                }
            }
            match self.half.read(&mut self.decoder).await {
                Ok(true) => {}
                Ok(false) if self.decoder.is_between_frames() => self.ended = Some(Ok(())),
                Ok(false) => self.ended = Some(Err(StreamError::Truncated)),
                Err(error) => self.ended = Some(Err(error)),
            }
        }
    }

    /// The next frame if all of it has been read already. `None` says nothing about the stream: [`next`](Self::next) does.
    pub fn ready(&mut self, caps: &FrameCaps) -> Option<Frame> {
        match &self.ended {
            // A frame that is refused is so for ever, and `next` says why.
            None => self.decoder.next_frame(caps).ok().flatten(),
            Some(_) => None,
        }
    }

    /// Says that nothing more of this stream will be read.
    pub fn stop(&mut self) {
        if self.ended.is_none() {
            self.half.stop(GIVEN_UP);
            self.ended = Some(Err(StreamError::Finished));
        }
    }
}

impl fmt::Debug for FrameReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReceiver").field("ended", &self.ended).finish_non_exhaustive()
    }
}
