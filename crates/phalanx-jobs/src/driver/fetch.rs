//! A transfer from a task as its reader sees it: chunks in order, an end that was verified, or an error.
//!
//! Nothing waits here: what is not read stays on the stream, whose window slows the task.

use bytes::Bytes;

use crate::carrier::{CarrierLost, Stream};
use crate::outcome::Reason;
use crate::transfer::TransferError;
use crate::wire::{Frame, Kind, Receipt, TransferEnd, TransferId, TransferReply};

/// Bytes that come from a task. Dropped before its end, it is over for the task too.
pub struct Fetch {
    id: TransferId,
    stream: Stream,
    hasher: blake3::Hasher,
    /// What came first, until it is taken.
    first: Option<Frame>,
    /// The worker's word is here, and nothing follows.
    over: bool,
    /// What the worker is still to be told.
    owed: Option<Frame>,
    error: Option<TransferError>,
    receipt: Option<Receipt>,
}

impl Fetch {
    pub(super) fn new(id: TransferId, stream: Stream, first: Option<Frame>) -> Self {
        let hasher = blake3::Hasher::new();
        Self { id, stream, hasher, first, over: false, owed: None, error: None, receipt: None }
    }

    /// Its number, unique for this control node and the task.
    #[must_use]
    pub fn id(&self) -> TransferId {
        self.id
    }

    /// The next chunk; `None` after the last one, when length and hash were found right. Cancellation safe.
    ///
    /// # Errors
    /// [`TransferError`], once; what came before it is not the whole.
    pub async fn next(&mut self) -> Option<Result<Bytes, TransferError>> {
        if !self.over {
            let came = match self.first.take() {
                Some(first) => Ok(Some(first)),
                None => self.stream.source.next().await,
            };
            match came {
                Ok(Some(frame)) if frame.kind == Kind::Chunk as u8 => {
                    self.hasher.update(&frame.body);
                    return Some(Ok(frame.body));
                }
                Ok(Some(frame)) => self.handle_word(&frame),
                Ok(None) | Err(CarrierLost) => self.end(TransferError::LinkLost),
            }
        }
        if let Some(owed) = &self.owed {
            // A worker that is gone needs no word. A future that is dropped here says it again, which does no harm: only
            // one word is read.
            let _ = self.stream.sink.send(std::slice::from_ref(owed)).await;
            self.owed = None;
            self.stream.sink.finish();
        }
        self.error.take().map(Err)
    }

    /// Length and hash of the whole, after [`Fetch::next`] has said `None`.
    #[must_use]
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    fn end(&mut self, error: TransferError) {
        (self.over, self.error) = (true, Some(error));
        if self.owed.is_none() {
            // Who is in between need not wait for a word.
            self.stream.sink.finish();
        }
    }

    /// The end, or why there is none.
    fn handle_word(&mut self, frame: &Frame) {
        let receipt = Receipt { bytes: self.hasher.count(), blake3: *self.hasher.finalize().as_bytes() };
        if let Ok(TransferEnd { bytes, blake3 }) = TransferEnd::from_frame(frame) {
            let is_whole = (bytes, blake3) == (receipt.bytes, receipt.blake3);
            if is_whole {
                self.owed = Some(TransferReply::Received(receipt.clone()).to_frame());
                (self.over, self.receipt) = (true, Some(receipt));
            } else {
                self.owed = Some(TransferReply::Corrupt.to_frame());
                self.end(TransferError::Corrupt);
            }
            return;
        }
        self.end(match TransferReply::from_frame(frame) {
            Ok(TransferReply::Refused(reason)) => TransferError::Refused(reason),
            Ok(TransferReply::Abandoned) => TransferError::Abandoned,
            Ok(TransferReply::Corrupt) => TransferError::Corrupt,
            Ok(TransferReply::Failed(why)) => TransferError::Source(why),
            Ok(TransferReply::Received(_) | TransferReply::Begun) | Err(_) => {
                TransferError::Refused(Reason::Malformed)
            }
        });
    }
}
