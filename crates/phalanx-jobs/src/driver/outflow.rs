//! The worker's end of a transfer from a task: it counts and hashes what the task sends, and hears what has arrived.

use async_channel::Receiver;

use crate::carrier::{CarrierLost, FrameSink, Stream};
use crate::outcome::Reason;
use crate::transfer::{Leaving, Outflow, TransferError};
use crate::wire::{Chunk, Frame, Receipt, TransferEnd, TransferReply};

/// Carries one transfer from a task, or says why not.
pub(super) async fn serve(mut stream: Stream, taken: Result<Outflow, Reason>) {
    match taken {
        Ok(Outflow { leaving, ended }) => {
            let result = carry(&mut stream, &leaving).await;
            // A task that is gone, or does not wait, needs no word; one that sends finds it before its queue is closed.
            let _ = ended.try_send(result);
        }
        Err(reason) => {
            let _ = stream.sink.send(&[TransferReply::Refused(reason).to_frame()]).await;
            stream.sink.finish();
        }
    }
}

/// A word of the reader that comes early ends the sending.
async fn carry(stream: &mut Stream, leaving: &Receiver<Leaving>) -> Result<Receipt, TransferError> {
    let Stream { sink, source } = stream;
    let sending = send_pieces(sink.as_mut(), leaving);
    tokio::pin!(sending);
    let word = source.next();
    tokio::pin!(word);
    tokio::select! {
        biased;
        early = &mut word => heard(early, None),
        sent = &mut sending => match sent {
            Ok(receipt) => heard(word.await, Some(&receipt)),
            // A reader that stops reading has said why; that word may still be on its way.
            Err(TransferError::LinkLost) => heard(word.await, None),
            Err(error) => Err(error),
        },
    }
}

/// What the reader's word means, after all has been sent or before.
fn heard(word: Result<Option<Frame>, CarrierLost>, sent: Option<&Receipt>) -> Result<Receipt, TransferError> {
    let frame = match word {
        Ok(Some(frame)) => frame,
        Ok(None) => return Err(TransferError::Abandoned),
        Err(CarrierLost) => return Err(TransferError::LinkLost),
    };
    match TransferReply::from_frame(&frame) {
        Ok(TransferReply::Received(receipt)) if sent == Some(&receipt) => Ok(receipt),
        Ok(TransferReply::Received(_) | TransferReply::Corrupt) => Err(TransferError::Corrupt),
        Ok(TransferReply::Refused(reason)) => Err(TransferError::Refused(reason)),
        Ok(TransferReply::Abandoned) => Err(TransferError::Abandoned),
        Ok(TransferReply::Failed(_) | TransferReply::Begun) | Err(_) => {
            Err(TransferError::Refused(Reason::Malformed))
        }
    }
}

async fn send_pieces(
    sink: &mut dyn FrameSink,
    leaving: &Receiver<Leaving>,
) -> Result<Receipt, TransferError> {
    let mut hasher = blake3::Hasher::new();
    let lost = |_: CarrierLost| TransferError::LinkLost;
    let error = loop {
        match leaving.recv().await {
            Ok(Leaving::Chunk(bytes)) => {
                hasher.update(&bytes);
                sink.send(&[Chunk(bytes).into_frame()]).await.map_err(lost)?;
            }
            Ok(Leaving::End) => {
                let receipt = Receipt { bytes: hasher.count(), blake3: *hasher.finalize().as_bytes() };
                let end = TransferEnd { bytes: receipt.bytes, blake3: receipt.blake3 };
                sink.send(&[end.to_frame()]).await.map_err(lost)?;
                sink.finish();
                return Ok(receipt);
            }
            Ok(Leaving::Failed(why)) => break TransferError::Source(why),
            Err(_) => break TransferError::Abandoned,
        }
    };
    let reply = match &error {
        TransferError::Source(why) => TransferReply::Failed(why.clone()),
        _ => TransferReply::Abandoned,
    };
    sink.send(&[reply.to_frame()]).await.map_err(lost)?;
    sink.finish();
    Err(error)
}
