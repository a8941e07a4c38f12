//! The control node's end of a gateway: calls of programs that are no nodes enter the cluster here.
//!
//! A program's call becomes one of this node's own, with its id and its attempts; so a worker remembers this node and not
//! every program that ever asked. One task serves one stream, and keeps reading while it writes.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;

use super::control::ControlService;
use super::now;
use super::splice::{Route, Way};
use crate::attempts::{Attempts, CallOptions};
use crate::carrier::{CarrierLost, FrameSink, Stream};
use crate::outcome::{Cap, Outcome, Reason};
use crate::wire::{Frame, GatewayCall, GatewayCancel, GatewayOutcome, Kind, Opening};

/// How many calls of one program are under way at one time: a person's tool, or a script with many workers.
const CALLS_MAX: usize = 1_024;

/// The longest deadline that is taken over: as for any call of a worker.
const REMAINING_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a stream may take to say what it is for.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);

type Ended = (u64, Option<Frame>);
type Written = (Box<dyn FrameSink>, Result<(), CarrierLost>);

impl ControlService {
    /// Serves one stream that a program which is no node has opened: its calls, or a transfer. Whoever hands the stream over
    /// has made sure that the program may do anything. Returns when the stream has ended; dropping the future cancels the
    /// calls on it.
    pub async fn serve_gateway(&self, mut stream: Stream) {
        let opening = match tokio::time::timeout(OPENING_TIMEOUT, stream.source.next()).await {
            Ok(Ok(Some(frame))) => Opening::from_frame(&frame),
            _ => return,
        };
        match opening {
            Ok(Opening::Gateway) => Calls::new(self.clone(), stream.sink).serve(stream.source).await,
            Ok(Opening::PeerTransfer { worker, generation, task, transfer }) => {
                let route = Route { worker, generation, task, transfer, way: Way::Into };
                self.relay_anywhere(stream, route).await;
            }
            Ok(Opening::PeerFetch { worker, generation, task, transfer, note }) => {
                let route = Route { worker, generation, task, transfer, way: Way::From(note) };
                self.relay_anywhere(stream, route).await;
            }
            _ => tracing::debug!("a gateway's stream is for nothing that is known"),
        }
    }
}

/// The calls of one program.
struct Calls {
    service: ControlService,
    under_way: FuturesUnordered<BoxFuture<'static, Ended>>,
    cancels: BTreeMap<u64, AbortHandle>,
    /// Here while nothing is being written.
    sink: Option<Box<dyn FrameSink>>,
    writing: FuturesUnordered<BoxFuture<'static, Written>>,
    /// As many as calls, since each call has one.
    waiting: Vec<Frame>,
}

impl Calls {
    fn new(service: ControlService, sink: Box<dyn FrameSink>) -> Self {
        Self {
            service,
            under_way: FuturesUnordered::new(),
            cancels: BTreeMap::new(),
            sink: Some(sink),
            writing: FuturesUnordered::new(),
            waiting: Vec::new(),
        }
    }

    async fn serve(mut self, mut source: Box<dyn crate::carrier::FrameSource>) {
        loop {
            // One that does not read its answers is not read either.
            let reads = self.under_way.len() + self.waiting.len() < 2 * CALLS_MAX;
            tokio::select! {
                biased;
                Some((sink, written)) = self.writing.next() => {
                    if written.is_err() {
                        return;
                    }
                    self.sink = Some(sink);
                }
                Some((number, outcome)) = self.under_way.next() => {
                    self.cancels.remove(&number);
                    self.waiting.extend(outcome);
                }
                frame = source.next(), if reads => match frame {
                    Ok(Some(frame)) if self.handle(&frame) => {}
                    _ => return,
                },
            }
            self.write();
        }
    }

    fn write(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let Some(mut sink) = self.sink.take() else { return };
        let frames = std::mem::take(&mut self.waiting);
        self.writing.push(Box::pin(async move {
            let written = sink.send(&frames).await;
            (sink, written)
        }));
    }

    /// A frame has come. Says whether it is one that may.
    fn handle(&mut self, frame: &Frame) -> bool {
        if frame.kind == Kind::GatewayCancel as u8 {
            let Ok(GatewayCancel { number }) = GatewayCancel::from_frame(frame) else { return false };
            if let Some(cancel) = self.cancels.remove(&number) {
                cancel.abort();
            }
            return true;
        }
        let Ok(call) = GatewayCall::from_frame(frame) else { return false };
        if self.cancels.contains_key(&call.number) {
            return false;
        }
        if self.under_way.len() >= CALLS_MAX {
            let outcome = Outcome::NotExecuted(Reason::Busy(Cap::CallsInFlight));
            let (number, id) = (call.number, self.service.new_id());
            self.waiting.push(GatewayOutcome { number, id, generation: None, outcome }.to_frame());
            return true;
        }
        let number = call.number;
        let (work, cancel) = abortable(run(self.service.clone(), call));
        self.cancels.insert(number, cancel);
        self.under_way.push(Box::pin(async move { (number, work.await.ok()) }));
        true
    }
}

async fn run(service: ControlService, call: GatewayCall) -> Frame {
    let GatewayCall { number, worker, bound, remaining_ms, patience_ms, idempotent, verb } = call;
    let time = |ms: u64| Duration::from_millis(ms).min(REMAINING_MAX);
    let options = CallOptions { deadline: time(remaining_ms), patience: time(patience_ms), idempotent };
    let mut attempts = Attempts::new(now(), &options, bound.is_some());
    let called = service.call_in(&worker, verb, bound, &mut attempts).await;
    GatewayOutcome { number, id: called.id, generation: called.generation, outcome: called.outcome }
        .to_frame()
}
