//! Where a call enters the cluster: at this control node, or through another one's gateway.
//!
//! Handles do not care: a program that is no node has the same typed workers and tasks as a control node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream as ChunkStream;
use phalanx_base::{Boot, Generation, Lane, NodeId, Spawn};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use super::call::Called;
use super::control::ControlService;
use super::fetch::Fetch;
use super::splice::{Route, Way};
use super::streams::{StreamEvent, Streams};
use super::worker_handle::WorkerHandle;
use super::{INBOX_MAX, now, transfers};
use crate::attempts::{Attempts, CallOptions};
use crate::carrier::{Carrier, CarrierLost, Stream};
use crate::outcome::{Outcome, Reason};
use crate::transfer::TransferError;
use crate::wire::{
    CallId, Frame, GatewayCall, GatewayCancel, GatewayOutcome, Kind, Opening, Receipt, TaskId, TransferId,
    Verb,
};

/// How long after the deadline the control node's own word about it is waited for: a little longer than that waits for the
/// owner.
const DEADLINE_GRACE: Duration = Duration::from_millis(1_600);

/// Where the calls of a handle enter.
#[derive(Clone)]
pub(super) enum Entrance {
    /// Here.
    Control(ControlService),
    /// At a control node, since this program is none.
    Gateway(Gateway),
}

impl Entrance {
    pub(super) fn new_id(&self) -> CallId {
        match self {
            Self::Control(service) => service.new_id(),
            Self::Gateway(gateway) => gateway.new_id(),
        }
    }

    /// Makes a call. Dropping the future cancels it.
    pub(super) async fn call(
        &self,
        worker: &NodeId,
        verb: Verb,
        bound: Option<Generation>,
        options: &CallOptions,
    ) -> Called {
        let mut attempts = Attempts::new(now(), options, bound.is_some());
        self.call_in(worker, verb, bound, &mut attempts).await
    }

    /// As [`ControlService::call_in`].
    pub(super) async fn call_in(
        &self,
        worker: &NodeId,
        verb: Verb,
        bound: Option<Generation>,
        attempts: &mut Attempts,
    ) -> Called {
        match self {
            Self::Control(service) => service.call_in(worker, verb, bound, attempts).await,
            Self::Gateway(gateway) => gateway.call(worker, verb, bound, &attempts.options(now())).await,
        }
    }

    /// As [`ControlService::send`].
    pub(super) async fn send<E: std::fmt::Display>(
        &self,
        worker: &NodeId,
        generation: Generation,
        task: &TaskId,
        chunks: impl ChunkStream<Item = Result<Bytes, E>> + Send,
    ) -> Result<Receipt, TransferError> {
        match self {
            Self::Control(service) => service.send(worker, generation, task, chunks).await,
            Self::Gateway(gateway) => gateway.send(worker, generation, task, chunks).await,
        }
    }

    /// As [`ControlService::fetch`].
    pub(super) async fn fetch(
        &self,
        worker: &NodeId,
        generation: Generation,
        task: &TaskId,
        note: Bytes,
    ) -> Result<Fetch, TransferError> {
        match self {
            Self::Control(service) => service.fetch(worker, generation, task, note).await,
            Self::Gateway(gateway) => gateway.fetch(worker, generation, task, note).await,
        }
    }
}

/// The calls of a program that is no node: each enters the cluster at the control node at the other end of a link, which
/// serves it by [`ControlService::serve_gateway`]. Cheap to clone. Once the link is lost every call fails; make another.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    me: Boot,
    carrier: Arc<dyn Carrier>,
    inbox: mpsc::Sender<Input>,
    last: AtomicU64,
}

enum Input {
    Call(Box<GatewayCall>, oneshot::Sender<GatewayOutcome>),
    Cancel(u64),
}

impl Gateway {
    /// Calls over a link to a control node. `me` is a name that nobody else has.
    #[must_use]
    pub fn start(me: Boot, carrier: Arc<dyn Carrier>, spawn: &dyn Spawn) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        spawn.spawn(Box::pin(Asking::new(carrier.clone(), inbox).run()));
        Self(Arc::new(Inner { me, carrier, inbox: sender, last: AtomicU64::new(0) }))
    }

    /// A handle to a worker, by its name. It does no I/O; an unknown name is an error of the call.
    #[must_use]
    pub fn worker(&self, worker: NodeId) -> WorkerHandle {
        WorkerHandle::new(Entrance::Gateway(self.clone()), worker)
    }

    fn new_id(&self) -> CallId {
        CallId { caller: self.0.me.clone(), sequence: self.0.last.fetch_add(1, Ordering::Relaxed) }
    }

    async fn call(
        &self,
        worker: &NodeId,
        verb: Verb,
        bound: Option<Generation>,
        options: &CallOptions,
    ) -> Called {
        let id = self.new_id();
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let call = GatewayCall {
            number: id.sequence,
            worker: worker.clone(),
            bound,
            remaining_ms: milliseconds(options.deadline),
            patience_ms: milliseconds(options.patience),
            idempotent: options.idempotent,
            verb,
        };
        let failed = |outcome| Called { id: id.clone(), generation: bound, outcome };
        let (reply, answer) = oneshot::channel();
        if self.0.inbox.send(Input::Call(Box::new(call), reply)).await.is_err() {
            return failed(Outcome::NotExecuted(Reason::LinkLost));
        }
        let mut cancel = CancelOnDrop { gateway: self, number: Some(id.sequence) };
        // A deadline beyond the clock's end never passes; a day is what the other end takes.
        let until = now() + options.deadline.min(Duration::from_secs(24 * 60 * 60)) + DEADLINE_GRACE;
        let answered = timeout_at(until.into(), answer).await;
        if answered.is_ok() {
            cancel.number = None;
        }
        match answered {
            Ok(Ok(GatewayOutcome { id, generation, outcome, .. })) => Called { id, generation, outcome },
            Ok(Err(_)) => failed(Outcome::Unknown(Reason::LinkLost)),
            Err(_) => failed(Outcome::Unknown(Reason::DeadlineExceeded)),
        }
    }

    async fn send<E: std::fmt::Display>(
        &self,
        worker: &NodeId,
        generation: Generation,
        task: &TaskId,
        chunks: impl ChunkStream<Item = Result<Bytes, E>> + Send,
    ) -> Result<Receipt, TransferError> {
        let (stream, first, _) = self.begin(worker, generation, task, Way::Into).await?;
        transfers::send(stream, &first, chunks).await
    }

    async fn fetch(
        &self,
        worker: &NodeId,
        generation: Generation,
        task: &TaskId,
        note: Bytes,
    ) -> Result<Fetch, TransferError> {
        let (stream, first, transfer) = self.begin(worker, generation, task, Way::from(note)?).await?;
        Ok(Fetch::new(transfer, stream, Some(first)))
    }

    /// The control node asks elsewhere where that is of any use, so that what comes is its last word.
    async fn begin(
        &self,
        worker: &NodeId,
        generation: Generation,
        task: &TaskId,
        way: Way,
    ) -> Result<(Stream, Frame, TransferId), TransferError> {
        let transfer = TransferId(self.new_id().sequence);
        let route = Route { worker: worker.clone(), generation, task: task.clone(), transfer, way };
        let opened = self.0.carrier.open(Lane::Bulk).await;
        let stream = opened.map_err(|CarrierLost| TransferError::LinkLost)?;
        let (stream, first) = transfers::begin(stream, &route.peer_opening()).await?;
        Ok((stream, first, transfer))
    }
}

/// Cancels a call whose caller goes away before its outcome is there.
struct CancelOnDrop<'a> {
    gateway: &'a Gateway,
    number: Option<u64>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            // One that finds the inbox full is left to the deadline.
            let _ = self.gateway.0.inbox.try_send(Input::Cancel(number));
        }
    }
}

/// Asks over one stream, until the link is lost or nobody asks any more.
struct Asking {
    carrier: Arc<dyn Carrier>,
    inbox: mpsc::Receiver<Input>,
    streams: Streams,
    waiting: BTreeMap<u64, oneshot::Sender<GatewayOutcome>>,
}

impl Asking {
    fn new(carrier: Arc<dyn Carrier>, inbox: mpsc::Receiver<Input>) -> Self {
        let mut streams = Streams::new(Some(Opening::Gateway));
        streams.add_link(carrier.clone());
        // At once, since the other end waits for the word what it is for: the first call may come much later.
        streams.open(carrier.id(), Lane::Request);
        Self { carrier, inbox, streams, waiting: BTreeMap::new() }
    }

    async fn run(mut self) {
        loop {
            let goes_on = tokio::select! {
                biased;
                event = self.streams.next() => match event {
                    StreamEvent::Frame(_, _, frame) => self.handle_answer(&frame),
                    StreamEvent::Lost(_) => false,
                },
                input = self.inbox.recv() => match input {
                    Some(input) => self.handle_input(input),
                    None => false,
                },
            };
            if !goes_on {
                // Whoever waits learns by its closed channel that the link is lost.
                return self.carrier.close("the gateway has ended");
            }
        }
    }

    fn handle_input(&mut self, input: Input) -> bool {
        match input {
            Input::Call(call, reply) => {
                self.waiting.insert(call.number, reply);
                self.push(call.to_frame())
            }
            Input::Cancel(number) => {
                self.waiting.remove(&number).is_none() || self.push(GatewayCancel { number }.to_frame())
            }
        }
    }

    fn push(&mut self, frame: Frame) -> bool {
        self.streams.push(self.carrier.id(), Lane::Request, frame)
    }

    fn handle_answer(&mut self, frame: &Frame) -> bool {
        if frame.kind != Kind::GatewayOutcome as u8 {
            return false;
        }
        let Ok(outcome) = GatewayOutcome::from_frame(frame) else { return false };
        if let Some(reply) = self.waiting.remove(&outcome.number) {
            // Whoever does not wait any more has said so.
            let _ = reply.send(outcome);
        }
        true
    }
}
