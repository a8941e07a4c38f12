//! The two ends of a transfer: the worker's, which counts and hashes for itself, and the sender's.

use async_channel::Sender;
use bytes::Bytes;
use futures_util::{Stream as ChunkStream, StreamExt};
use phalanx_base::planted;

use crate::carrier::{CarrierLost, FrameSink, Stream};
use crate::outcome::{Reason, shortened};
use crate::transfer::{Piece, TransferError};
use crate::wire::{CHUNK_BYTES_MAX, Chunk, Frame, Kind, Opening, Receipt, TransferEnd, TransferReply};

/// Receives one transfer for a task, or says why not.
pub(super) async fn receive(mut stream: Stream, taken: Result<Sender<Piece>, Reason>) {
    let reply = match taken {
        Ok(pieces) => match receive_pieces(&mut stream, &pieces).await {
            Some(reply) => reply,
            // Nobody is left to hear a reply.
            None => return,
        },
        Err(reason) => TransferReply::Refused(reason),
    };
    // A sender that is gone needs no reply.
    let _ = stream.sink.send(&[reply.to_frame()]).await;
    stream.sink.finish();
}

/// Lets the sender begin, and takes what it sends. `None` when the link is lost.
async fn receive_pieces(stream: &mut Stream, pieces: &Sender<Piece>) -> Option<TransferReply> {
    // Where that fails, so does the next read.
    let _ = stream.sink.send(&[TransferReply::Begun.to_frame()]).await;
    let mut hasher = blake3::Hasher::new();
    loop {
        let frame = match stream.source.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(CarrierLost) => {
                let _ = pieces.send(Piece::Failed(TransferError::LinkLost)).await;
                return None;
            }
        };
        if frame.kind == Kind::Chunk as u8 {
            hasher.update(&frame.body);
            if planted!("dropped-chunk") && hasher.count() > CHUNK_BYTES_MAX as u64 {
                continue;
            }
            if pieces.send(Piece::Chunk(frame.body)).await.is_err() {
                return Some(TransferReply::Abandoned);
            }
            continue;
        }
        let receipt = Receipt { bytes: hasher.count(), blake3: *hasher.finalize().as_bytes() };
        let announced = TransferEnd::from_frame(&frame);
        if announced != Ok(TransferEnd { bytes: receipt.bytes, blake3: receipt.blake3 }) {
            let _ = pieces.send(Piece::Failed(TransferError::Corrupt)).await;
            return Some(TransferReply::Corrupt);
        }
        let (seen, wait) = async_channel::bounded(1);
        let ended = pieces.send(Piece::End(receipt.clone(), seen)).await.is_ok() && wait.recv().await.is_ok();
        return Some(if ended { TransferReply::Received(receipt) } else { TransferReply::Abandoned });
    }
}

/// Asks for a transfer, either way, and waits for the first frame of the answer: nothing is sent before it, so that whoever is
/// refused may ask elsewhere.
pub(super) async fn begin(mut stream: Stream, opening: &Opening) -> Result<(Stream, Frame), TransferError> {
    let lost = |CarrierLost| TransferError::LinkLost;
    stream.sink.send(&[opening.to_frame()]).await.map_err(lost)?;
    let first = stream.source.next().await.map_err(lost)?.ok_or(TransferError::LinkLost)?;
    match TransferReply::from_frame(&first) {
        Ok(TransferReply::Refused(reason)) => Err(TransferError::Refused(reason)),
        _ => Ok((stream, first)),
    }
}

/// Sends chunks over a stream that has begun with this frame, and waits for the receipt. A reply that comes early ends the
/// sending.
pub(super) async fn send<E: std::fmt::Display>(
    mut stream: Stream,
    first: &Frame,
    chunks: impl ChunkStream<Item = Result<Bytes, E>> + Send,
) -> Result<Receipt, TransferError> {
    if TransferReply::from_frame(first) != Ok(TransferReply::Begun) {
        return Err(TransferError::Refused(Reason::Malformed));
    }
    let Stream { sink, source } = &mut stream;
    let reply = {
        let sending = send_chunks(sink.as_mut(), chunks);
        tokio::pin!(sending);
        let reply = source.next();
        tokio::pin!(reply);
        tokio::select! {
            biased;
            early = &mut reply => early,
            sent = &mut sending => match sent {
                // A receiver that stops reading has said why; that word may still be on its way.
                Ok(()) | Err(TransferError::LinkLost) => reply.await,
                Err(error) => return Err(error),
            },
        }
    };
    match reply {
        Ok(Some(frame)) => match TransferReply::from_frame(&frame) {
            Ok(TransferReply::Received(receipt)) => Ok(receipt),
            Ok(TransferReply::Refused(reason)) => Err(TransferError::Refused(reason)),
            Ok(TransferReply::Abandoned) => Err(TransferError::Abandoned),
            Ok(TransferReply::Corrupt) => Err(TransferError::Corrupt),
            Ok(TransferReply::Failed(_) | TransferReply::Begun) | Err(_) => {
                Err(TransferError::Refused(Reason::Malformed))
            }
        },
        Ok(None) | Err(CarrierLost) => Err(TransferError::LinkLost),
    }
}

async fn send_chunks<E: std::fmt::Display>(
    sink: &mut dyn FrameSink,
    chunks: impl ChunkStream<Item = Result<Bytes, E>> + Send,
) -> Result<(), TransferError> {
    let mut hasher = blake3::Hasher::new();
    let lost = |_: CarrierLost| TransferError::LinkLost;
    let mut chunks = std::pin::pin!(chunks);
    while let Some(chunk) = chunks.next().await {
        let mut chunk = chunk.map_err(|error| TransferError::Source(shortened(&error.to_string())))?;
        hasher.update(&chunk);
        while !chunk.is_empty() {
            let piece = chunk.split_to(chunk.len().min(CHUNK_BYTES_MAX));
            let frames: [Frame; 1] = [Chunk(piece).into_frame()];
            sink.send(&frames).await.map_err(lost)?;
        }
    }
    let end = TransferEnd { bytes: hasher.count(), blake3: *hasher.finalize().as_bytes() };
    sink.send(&[end.to_frame()]).await.map_err(lost)?;
    sink.finish();
    Ok(())
}
