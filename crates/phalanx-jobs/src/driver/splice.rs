//! Transfers on their way: from this node to a worker, or through this node for another control node.

use bytes::Bytes;
use futures_util::Stream as ChunkStream;
use phalanx_base::{Generation, Lane, NodeId};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::control::ControlService;
use super::{now, peers, transfers};
use crate::attempts::{Attempts, CallOptions, Next};
use crate::carrier::{CarrierLost, Stream};
use crate::outcome::{Outcome, Reason};
use crate::transfer::TransferError;
use crate::wire::{Opening, Receipt, TaskId, TransferId, TransferReply};

impl ControlService {
    /// Sends chunks into a task, wherever its worker's proxy is.
    pub(super) async fn send<E: std::fmt::Display>(
        &self,
        worker: &NodeId,
        generation: Generation,
        task: &TaskId,
        chunks: impl ChunkStream<Item = Result<Bytes, E>> + Send,
    ) -> Result<Receipt, TransferError> {
        // Unique for this boot, which is all that the receiver needs to tell transfers apart.
        let transfer = TransferId(self.new_id().sequence);
        let opened = self.open(worker, generation, task, transfer).await;
        let (stream, opening) = opened?;
        transfers::send(stream, opening, chunks).await
    }

    /// Opens a stream to the worker, wherever its proxy is. Nothing has been sent before it is open, so that a worker on
    /// the move is waited for as it is for a call.
    async fn open(
        &self,
        worker: &NodeId,
        generation: Generation,
        task: &TaskId,
        transfer: TransferId,
    ) -> Result<(Stream, Opening), TransferError> {
        let mut attempts = Attempts::new(now(), &CallOptions::default(), true);
        loop {
            let opened = match self.locate(worker).await {
                Ok((owner, _)) if owner == self.0.boot.node => {
                    self.open_local(worker, generation, task.clone(), transfer).await
                }
                Ok((owner, _)) => self.open_peer(owner, worker, generation, task.clone(), transfer).await,
                Err(reason) => Err(TransferError::Refused(reason)),
            };
            let reason = match opened {
                Ok(opened) => return Ok(opened),
                Err(TransferError::Refused(reason)) => reason,
                Err(_) => Reason::LinkLost,
            };
            self.cache_location(worker, None);
            match attempts.handle(now(), Outcome::NotExecuted(reason.clone())) {
                Next::Again { pause } => sleep(pause).await,
                Next::Finish(_) | Next::Afresh => return Err(TransferError::Refused(reason)),
            }
        }
    }

    async fn open_local(
        &self,
        worker: &NodeId,
        generation: Generation,
        task: TaskId,
        transfer: TransferId,
    ) -> Result<(Stream, Opening), TransferError> {
        let serving = self.0.local.serving(worker).await;
        let serving = serving.ok_or(TransferError::Refused(Reason::NotHosted))?;
        if serving.generation != generation {
            return Err(TransferError::Refused(Reason::OtherGeneration));
        }
        let opened = serving.carrier.open(Lane::Bulk).await;
        let stream = opened.map_err(|CarrierLost| TransferError::LinkLost)?;
        Ok((stream, Opening::Transfer { fence: serving.fence, generation, task, transfer }))
    }

    async fn open_peer(
        &self,
        owner: NodeId,
        worker: &NodeId,
        generation: Generation,
        task: TaskId,
        transfer: TransferId,
    ) -> Result<(Stream, Opening), TransferError> {
        let unreachable = TransferError::Refused(Reason::OwnerUnreachable(owner.clone()));
        let (reply, answer) = oneshot::channel();
        if self.0.peers.send(peers::Input::Carrier(owner, reply)).await.is_err() {
            return Err(TransferError::Refused(Reason::ShuttingDown));
        }
        let Some(carrier) = answer.await.ok().flatten() else { return Err(unreachable) };
        let stream = carrier.open(Lane::Bulk).await.map_err(|CarrierLost| TransferError::LinkLost)?;
        Ok((stream, Opening::PeerTransfer { worker: worker.clone(), generation, task, transfer }))
    }

    /// Carries a transfer of a program that is no node on to a worker, wherever its proxy is.
    pub(super) async fn relay_anywhere(
        &self,
        from: Stream,
        worker: NodeId,
        generation: Generation,
        task: TaskId,
        transfer: TransferId,
    ) {
        let opened = self.open(&worker, generation, &task, transfer).await;
        splice_or_refuse(from, opened).await;
    }

    /// Carries a transfer of another control node on to a worker whose proxy this node hosts.
    pub(super) async fn relay(
        &self,
        from: Stream,
        worker: NodeId,
        generation: Generation,
        task: TaskId,
        transfer: TransferId,
    ) {
        let opened = self.open_local(&worker, generation, task, transfer).await;
        splice_or_refuse(from, opened).await;
    }
}

async fn splice_or_refuse(mut from: Stream, opened: Result<(Stream, Opening), TransferError>) {
    let reason = match opened {
        Ok((to, opening)) => return splice(from, to, opening).await,
        Err(TransferError::Refused(reason)) => reason,
        Err(_) => Reason::LinkLost,
    };
    let _ = from.sink.send(&[TransferReply::Refused(reason).to_frame()]).await;
    from.sink.finish();
}

/// Which end of a transfer on its way is gone.
enum Gone {
    Sender,
    Receiver,
}

/// Carries frames one way and the reply the other, until either end is done. What is dropped here is closed for both.
async fn splice(mut from: Stream, mut to: Stream, opening: Opening) {
    let Stream { sink: to_sink, source: to_source } = &mut to;
    let onward = async {
        let receiver_gone = |_: CarrierLost| Gone::Receiver;
        to_sink.send(&[opening.to_frame()]).await.map_err(receiver_gone)?;
        while let Some(frame) = from.source.next().await.map_err(|_| Gone::Sender)? {
            to_sink.send(&[frame]).await.map_err(receiver_gone)?;
        }
        to_sink.finish();
        Ok(())
    };
    tokio::pin!(onward);
    let reply = to_source.next();
    tokio::pin!(reply);
    let reply = tokio::select! {
        biased;
        early = &mut reply => early,
        sent = &mut onward => match sent {
            // A receiver that stops reading has said why; that word may still be on its way.
            Ok(()) | Err(Gone::Receiver) => reply.await,
            // Nobody waits for a reply any more, and the receiver must not wait for the rest.
            Err(Gone::Sender) => return,
        },
    };
    if let Ok(Some(frame)) = reply {
        let _ = from.sink.send(&[frame]).await;
        from.sink.finish();
    }
}
