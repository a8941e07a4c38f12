//! A transfer as its receiver sees it: chunks in order, an end that was verified, or an error.
//!
//! The chunks wait in a short bounded queue: a task that is slow slows its sender, and nothing else.

use async_channel::{Receiver, Sender};
use bytes::Bytes;

use crate::outcome::Reason;
use crate::wire::{Receipt, TransferId};

/// How many chunks wait for a task: with 256 KiB each, two megabytes a transfer, enough to keep the link busy while
/// the task works.
pub(crate) const CHUNKS_WAITING_MAX: usize = 8;

/// How many transfers wait in one task to be taken.
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
    /// The task let go of the transfer before its end.
    #[error("the task let go of the transfer before its end")]
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
