//! Transfers on their way: from this node to a worker or back, or through this node for another control node.

use bytes::Bytes;
use futures_util::Stream as ChunkStream;
use phalanx_base::{Fence, Generation, Lane, NodeId};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::control::ControlService;
use super::fetch::Fetch;
use super::{now, peers, transfers};
use crate::attempts::{Attempts, CallOptions, Next};
use crate::carrier::{CarrierLost, Stream};
use crate::outcome::{Outcome, Reason};
use crate::transfer::TransferError;
use crate::wire::{FETCH_NOTE_BYTES_MAX, Frame, Opening, Receipt, TaskId, TransferId, TransferReply};

/// Which way the bytes go.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// Into the task.
    Into,
    /// From the task, which is told what is wanted.
    From(Bytes),
}

impl Way {
    /// From the task, unless the note is too long.
    pub(super) fn from(note: Bytes) -> Result<Self, TransferError> {
        if note.len() <= FETCH_NOTE_BYTES_MAX {
            return Ok(Self::From(note));
        }
        let (bytes, bytes_max) = (note.len() as u64, FETCH_NOTE_BYTES_MAX as u64);
        Err(TransferError::Refused(Reason::TooLarge { bytes, bytes_max }))
    }
}

/// A transfer, and the task that is one of its ends.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) worker: NodeId,
    /// As stamped where the transfer began.
    pub(super) generation: Generation,
    pub(super) task: TaskId,
    pub(super) transfer: TransferId,
    pub(super) way: Way,
}

impl Route {
    /// The first frame to the worker.
    fn opening(&self, fence: Fence) -> Opening {
        let Self { generation, task, transfer, .. } = self.clone();
        match self.way.clone() {
            Way::Into => Opening::Transfer { fence, generation, task, transfer },
            Way::From(note) => Opening::Fetch { fence, generation, task, transfer, note },
        }
    }

    /// The first frame to the control node that hosts the worker's proxy.
    pub(super) fn peer_opening(&self) -> Opening {
        let Self { worker, generation, task, transfer, .. } = self.clone();
        match self.way.clone() {
            Way::Into => Opening::PeerTransfer { worker, generation, task, transfer },
            Way::From(note) => Opening::PeerFetch { worker, generation, task, transfer, note },
        }
    }
}

impl ControlService {
    /// Sends chunks into a task, wherever its worker's proxy is.
    pub(super) async fn send<E: std::fmt::Display>(
        &self,
        worker: &NodeId,
        generation: Generation,
        task: &TaskId,
        chunks: impl ChunkStream<Item = Result<Bytes, E>> + Send,
    ) -> Result<Receipt, TransferError> {
        let route = self.route(worker, generation, task, Way::Into);
        let (stream, first) = self.begin(&route).await?;
        transfers::send(stream, &first, chunks).await
    }

    /// Asks a task for bytes, wherever its worker's proxy is.
    pub(super) async fn fetch(
        &self,
        worker: &NodeId,
        generation: Generation,
        task: &TaskId,
        note: Bytes,
    ) -> Result<Fetch, TransferError> {
        let route = self.route(worker, generation, task, Way::from(note)?);
        let (stream, first) = self.begin(&route).await?;
        Ok(Fetch::new(route.transfer, stream, Some(first)))
    }

    /// Begins a transfer wherever the worker's proxy is, and waits for the first frame of the answer. Whoever does not host the
    /// worker any more, or not yet, says so before anything has gone either way, and then it is asked elsewhere: a worker on
    /// the move is waited for as it is for a call.
    async fn begin(&self, route: &Route) -> Result<(Stream, Frame), TransferError> {
        let mut attempts = Attempts::new(now(), &CallOptions::default(), true);
        let mut tried = None;
        loop {
            let (stream, opening) = self.open(route, &mut attempts, &mut tried).await?;
            match transfers::begin(stream, &opening).await {
                Err(TransferError::Refused(reason)) => self.pause(route, &mut attempts, reason).await?,
                begun => return begun,
            }
        }
    }

    fn route(&self, worker: &NodeId, generation: Generation, task: &TaskId, way: Way) -> Route {
        // Unique for this boot, which is all that the worker needs to tell transfers apart.
        let transfer = TransferId(self.new_id().sequence);
        Route { worker: worker.clone(), generation, task: task.clone(), transfer, way }
    }

    /// Opens a stream to the worker, or to the control node that should host its proxy.
    async fn open(
        &self,
        route: &Route,
        attempts: &mut Attempts,
        tried: &mut Option<NodeId>,
    ) -> Result<(Stream, Opening), TransferError> {
        loop {
            let location = self.locate(&route.worker, tried.as_ref()).await;
            *tried = location.as_ref().ok().map(|(owner, _)| owner.clone());
            let opened = match location {
                Ok((owner, _)) if owner == self.0.boot.node => self.open_local(route).await,
                Ok((owner, _)) => self.open_peer(owner, route).await,
                Err(reason) => Err(TransferError::Refused(reason)),
            };
            let reason = match opened {
                Ok(opened) => return Ok(opened),
                Err(TransferError::Refused(reason)) => reason,
                Err(_) => Reason::LinkLost,
            };
            self.pause(route, attempts, reason).await?;
        }
    }

    /// Waits until it is time to try again elsewhere, if that is of any use.
    async fn pause(
        &self,
        route: &Route,
        attempts: &mut Attempts,
        reason: Reason,
    ) -> Result<(), TransferError> {
        self.cache_location(&route.worker, None);
        match attempts.handle(now(), Outcome::NotExecuted(reason.clone())) {
            Next::Again { pause } => {
                sleep(pause).await;
                Ok(())
            }
            Next::Finish(_) | Next::Afresh => Err(TransferError::Refused(reason)),
        }
    }

    async fn open_local(&self, route: &Route) -> Result<(Stream, Opening), TransferError> {
        let serving = self.0.local.serving(&route.worker).await;
        let serving = serving.ok_or(TransferError::Refused(Reason::NotHosted))?;
        if serving.generation != route.generation {
            return Err(TransferError::Refused(Reason::OtherGeneration));
        }
        let opened = serving.carrier.open(Lane::Bulk).await;
        let stream = opened.map_err(|CarrierLost| TransferError::LinkLost)?;
        Ok((stream, route.opening(serving.fence)))
    }

    async fn open_peer(&self, owner: NodeId, route: &Route) -> Result<(Stream, Opening), TransferError> {
        let unreachable = TransferError::Refused(Reason::OwnerUnreachable(owner.clone()));
        let (reply, answer) = oneshot::channel();
        if self.0.peers.send(peers::Input::Carrier(owner, reply)).await.is_err() {
            return Err(TransferError::Refused(Reason::ShuttingDown));
        }
        let Some(carrier) = answer.await.ok().flatten() else { return Err(unreachable) };
        let stream = carrier.open(Lane::Bulk).await.map_err(|CarrierLost| TransferError::LinkLost)?;
        Ok((stream, route.peer_opening()))
    }

    /// Carries a transfer of a program that is no node to a worker or back, wherever its proxy is.
    pub(super) async fn relay_anywhere(&self, mut from: Stream, route: Route) {
        let begun = tokio::select! {
            biased;
            // Whoever says something before the transfer has begun has gone away.
            _ = from.source.next() => return,
            begun = self.begin(&route) => begun,
        };
        splice_or_refuse(from, begun, &route.way).await;
    }

    /// Carries a transfer of another control node to a worker whose proxy this node hosts, or back from it.
    pub(super) async fn relay(&self, from: Stream, route: Route) {
        let begun = match self.open_local(&route).await {
            Ok((stream, opening)) => transfers::begin(stream, &opening).await,
            Err(error) => Err(error),
        };
        splice_or_refuse(from, begun, &route.way).await;
    }
}

async fn splice_or_refuse(mut from: Stream, begun: Result<(Stream, Frame), TransferError>, way: &Way) {
    match begun {
        Ok((to, first)) => {
            if from.sink.send(&[first]).await.is_ok() {
                splice(from, to, way).await;
            }
        }
        Err(error) => refuse(from, error).await,
    }
}

async fn refuse(mut from: Stream, error: TransferError) {
    let reason = match error {
        TransferError::Refused(reason) => reason,
        _ => Reason::LinkLost,
    };
    let _ = from.sink.send(&[TransferReply::Refused(reason).to_frame()]).await;
    from.sink.finish();
}

/// Which end of a transfer on its way is gone.
enum Gone {
    Sender,
    Receiver,
}

/// Carries a transfer that has begun, and the word about it of whoever receives it, until either end is done. What is dropped
/// here is closed for both.
async fn splice(from: Stream, worker: Stream, way: &Way) {
    let (mut sender, mut receiver) = match way {
        Way::Into => (from, worker),
        Way::From(_) => (worker, from),
    };
    if let Some(word) = carry(&mut sender, &mut receiver).await {
        // A sender that is gone needs no word.
        let _ = sender.sink.send(&[word]).await;
        sender.sink.finish();
    }
}

/// Carries frames from one end to the other, until either is done. The other's word about it, if it has one.
async fn carry(from: &mut Stream, to: &mut Stream) -> Option<Frame> {
    let Stream { sink: to_sink, source: to_source } = to;
    let onward = async {
        while let Some(frame) = from.source.next().await.map_err(|_| Gone::Sender)? {
            to_sink.send(&[frame]).await.map_err(|_| Gone::Receiver)?;
        }
        to_sink.finish();
        Ok(())
    };
    tokio::pin!(onward);
    let word = to_source.next();
    tokio::pin!(word);
    let word = tokio::select! {
        biased;
        early = &mut word => early,
        sent = &mut onward => match sent {
            // A receiver that stops reading has said why; that word may still be on its way.
            Ok(()) | Err(Gone::Receiver) => word.await,
            // Nobody waits for a word any more, and the receiver must not wait for the rest.
            Err(Gone::Sender) => return None,
        },
    };
    word.ok().flatten()
}
