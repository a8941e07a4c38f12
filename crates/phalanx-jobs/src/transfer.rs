//! A transfer as its task sees it. Into the task: chunks in order, an end that was verified, or an error. From it: the
//! question, the chunks that answer it, and what has become of them.
//!
//! The chunks wait in a short bounded queue: who is slow slows the other end, and nothing else.

use async_channel::{Receiver, Sender};
use bytes::Bytes;

use crate::outcome::Reason;
use crate::outcome::shortened;
use crate::wire::{CHUNK_BYTES_MAX, Receipt, TransferId};

/// How many chunks wait for a task, or for the link: with 256 KiB each, two megabytes a transfer, enough to keep the link busy while
/// the task works.
pub(crate) const CHUNKS_WAITING_MAX: usize = 8;

/// How many transfers each way wait in one task to be taken.
pub(crate) const TRANSFERS_WAITING_MAX: usize = 16;

/// Why a transfer did not arrive as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The link was lost on the way: start the transfer again.
    #[error("the link was lost during the transfer: start it again")]
    LinkLost,
    /// The worker, or the control node in between, does not take it.
    #[error("the transfer was refused: {0}")]
    Refused(Reason),
    /// The other end let go of the transfer before its end.
    #[error("the other end let go of the transfer before its end")]
    Abandoned,
    /// Length or hash differ from what the sender announced.
    #[error("what arrived differs from what was sent")]
    Corrupt,
    /// The source of the chunks failed.
    #[error("the source of the transfer failed: {0}")]
    Source(String),
}

/// What the driver puts into a transfer's queue.
#[derive(Debug)]
pub(crate) enum Piece {
    Chunk(Bytes),
    /// All has come and the hash is right. The sender is told once the task has seen this.
    End(Receipt, Sender<()>),
    Failed(TransferError),
}

/// A transfer into a task.
#[derive(Debug)]
pub struct Transfer {
    id: TransferId,
    pieces: Receiver<Piece>,
    receipt: Option<Receipt>,
    over: bool,
}

impl Transfer {
    pub(crate) fn new(id: TransferId) -> (Sender<Piece>, Self) {
        let (sender, pieces) = async_channel::bounded(CHUNKS_WAITING_MAX);
        (sender, Self { id, pieces, receipt: None, over: false })
    }

    /// Its number, unique for its sender and this task.
    #[must_use]
    pub fn id(&self) -> TransferId {
        self.id
    }

    /// The next chunk; `None` after the last one, when length and hash were found right. Cancellation safe. A transfer
    /// that is dropped before that is over for its sender too.
    ///
    /// # Errors
    /// [`TransferError`], once; what came before it is not the whole.
    pub async fn next(&mut self) -> Option<Result<Bytes, TransferError>> {
        if self.over {
            return None;
        }
        match self.pieces.recv().await {
            Ok(Piece::Chunk(bytes)) => Some(Ok(bytes)),
            Ok(Piece::End(receipt, seen)) => {
                self.over = true;
                self.receipt = Some(receipt);
                // A sender that is gone does not wait for it.
                let _ = seen.try_send(());
                None
            }
            Ok(Piece::Failed(error)) => {
                self.over = true;
                Some(Err(error))
            }
            Err(_) => {
                self.over = true;
                Some(Err(TransferError::LinkLost))
            }
        }
    }

    /// Length and hash of the whole, after [`Transfer::next`] has said `None`.
    #[must_use]
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }
}

/// What a task puts into the queue of a transfer from it.
#[derive(Debug)]
pub(crate) enum Leaving {
    Chunk(Bytes),
    End,
    Failed(String),
}

/// The driver's end of a transfer from a task.
#[derive(Debug)]
pub(crate) struct Outflow {
    pub(crate) leaving: Receiver<Leaving>,
    pub(crate) ended: Sender<Result<Receipt, TransferError>>,
}

/// A transfer from a task, to whoever has asked for it through a
/// handle of the task. Dropped before [`OutgoingTransfer::finish`], it is abandoned, and its reader is told.
#[derive(Debug)]
pub struct OutgoingTransfer {
    id: TransferId,
    note: Bytes,
    leaving: Sender<Leaving>,
    ended: Receiver<Result<Receipt, TransferError>>,
    error: Option<TransferError>,
}

impl OutgoingTransfer {
    pub(crate) fn new(id: TransferId, note: Bytes) -> (Outflow, Self) {
        let (leaving, leaving_receiver) = async_channel::bounded(CHUNKS_WAITING_MAX);
        let (ended, ended_receiver) = async_channel::bounded(1);
        let outflow = Outflow { leaving: leaving_receiver, ended };
        (outflow, Self { id, note, leaving, ended: ended_receiver, error: None })
    }

    /// Its number, unique for who asks and this task.
    #[must_use]
    pub fn id(&self) -> TransferId {
        self.id
    }

    /// What is wanted, in the words of the task's class.
    #[must_use]
    pub fn note(&self) -> &Bytes {
        &self.note
    }

    /// Sends bytes. Waits while as many chunks as a transfer may have wait for the link. Dropping the future may leave a part
    /// of the bytes sent: drop the transfer too then.
    ///
    /// # Errors
    /// [`TransferError`]: the transfer is over, and each further call says the same.
    pub async fn send(&mut self, mut bytes: Bytes) -> Result<(), TransferError> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(CHUNK_BYTES_MAX));
            if self.leaving.send(Leaving::Chunk(piece)).await.is_err() {
                return Err(self.why().await);
            }
        }
        Ok(())
    }

    /// Says that all has been sent, and waits until the reader has all of it. Dropping the future stops the waiting, and not
    /// the transfer.
    ///
    /// # Errors
    /// [`TransferError`]: the reader has not got the whole.
    pub async fn finish(mut self) -> Result<Receipt, TransferError> {
        let said = self.leaving.send(Leaving::End).await;
        match self.ended.recv().await {
            Ok(Ok(receipt)) if said.is_ok() => Ok(receipt),
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Err(self.why().await),
        }
    }

    /// Gives up, since the source of the bytes fails, and tells the reader why (shortened).
    pub async fn fail(self, why: &str) {
        // A reader that is gone needs no reason.
        let _ = self.leaving.send(Leaving::Failed(shortened(why))).await;
    }

    /// Why nothing can be sent any more.
    async fn why(&mut self) -> TransferError {
        if self.error.is_none() {
            let said = self.ended.recv().await;
            self.error = said.ok().and_then(Result::err);
        }
        self.error.clone().unwrap_or(TransferError::LinkLost)
    }
}
