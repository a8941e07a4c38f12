//! Calls between control nodes: any of them can be asked for anything, and asks the owner.
//!
//! Each control node opens one stream to each other one and asks over it; answers come back on the same stream. So a node
//! holds two streams to a peer, and knows by the stream which end may ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use phalanx_base::{Lane, NodeId};
use tokio::sync::{mpsc, oneshot};

use super::control::Local;
use super::streams::{StreamEvent, Streams};
use super::{BURST_MAX, now, shard};
use crate::carrier::{Carrier, Stream};
use crate::control::ProxyCall;
use crate::outcome::{Cap, Outcome, Reason};
use crate::session::LinkId;
use crate::wire::{
    CallId, Forward, ForwardCancel, ForwardOutcome, Frame, Hosting, List, Listed, Locate, Located, Message,
    Opening,
};

/// How many calls may be under way to other control nodes, and how many of theirs are served at one time.
const PEER_CALLS_MAX: usize = 65_536;

/// How many pages of workers this node waits for at one time: a few lists of the largest cluster.
const LISTS_MAX: usize = 1_024;

/// What the peers' task is told and asked.
pub(super) enum Input {
    Link(Arc<dyn Carrier>),
    LinkLost(LinkId),
    Stream(LinkId, Stream),
    Forward(NodeId, Forward, oneshot::Sender<Outcome>),
    Cancel(NodeId, ForwardCancel),
    Locate(NodeId, NodeId, oneshot::Sender<Hosting>),
    Carrier(NodeId, oneshot::Sender<Option<Arc<dyn Carrier>>>),
    List(NodeId, List, oneshot::Sender<Listed>),
    /// A word about a handover, which nobody answers.
    Tell(NodeId, Message),
}

/// An answer to another control node.
type Answer = (LinkId, Frame);

pub(super) struct Peers {
    local: Local,
    inbox: mpsc::Receiver<Input>,
    /// Streams this node has opened, over which it asks.
    asking: Streams,
    /// Streams others have opened, over which it answers.
    answering: Streams,
    links: BTreeMap<NodeId, LinkId>,
    calls: BTreeMap<CallId, (LinkId, oneshot::Sender<Outcome>)>,
    located: BTreeMap<(LinkId, NodeId), Vec<oneshot::Sender<Hosting>>>,
    listed: BTreeMap<(LinkId, u64), oneshot::Sender<Listed>>,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
}

impl Peers {
    pub(super) fn new(local: Local, inbox: mpsc::Receiver<Input>) -> Self {
        Self {
            local,
            inbox,
            asking: Streams::new(Some(Opening::Peer)),
            answering: Streams::new(None),
            links: BTreeMap::new(),
            calls: BTreeMap::new(),
            located: BTreeMap::new(),
            listed: BTreeMap::new(),
            answers: FuturesUnordered::new(),
        }
    }

    pub(super) async fn run(mut self) {
        while self.turn().await {}
    }

    async fn turn(&mut self) -> bool {
        let mut input = None;
        tokio::select! {
            biased;
            Some((link, frame)) = self.answers.next() => self.answer(link, frame),
            event = self.asking.next() => {
                self.handle_answer(event);
                for _ in 0..BURST_MAX {
                    let Some(event) = self.asking.ready() else { break };
                    self.handle_answer(event);
                }
            }
            event = self.answering.next() => {
                self.handle_question(event);
                for _ in 0..BURST_MAX {
                    let Some(event) = self.answering.ready() else { break };
                    self.handle_question(event);
                }
            }
            message = self.inbox.recv() => match message {
                Some(message) => input = Some(message),
                None => return false,
            },
        }
        let mut taken = 0;
        while let Some(message) = input.take().or_else(|| self.inbox.try_recv().ok()) {
            self.handle_input(message);
            taken += 1;
            if taken >= BURST_MAX {
                break;
            }
        }
        true
    }

    fn handle_input(&mut self, input: Input) {
        match input {
            Input::Link(carrier) => {
                self.links.insert(carrier.peer().node.clone(), carrier.id());
                self.asking.add_link(carrier.clone());
                self.answering.add_link(carrier);
            }
            Input::LinkLost(link) => self.forget_link(link),
            Input::Stream(link, stream) => self.answering.insert(link, Lane::Request, stream),
            Input::Forward(control, forward, reply) => self.handle_call(control, forward, reply),
            Input::Cancel(control, cancel) => {
                self.calls.remove(&cancel.id);
                if let Some(&link) = self.links.get(&control) {
                    self.ask(link, cancel);
                }
            }
            Input::Locate(control, worker, reply) => self.handle_locate(&control, worker, reply),
            Input::Carrier(control, reply) => {
                let carrier = self.links.get(&control).and_then(|link| self.asking.carrier(*link));
                drop(reply.send(carrier.cloned()));
            }
            Input::List(control, list, reply) => self.handle_list(&control, list, reply),
            Input::Tell(control, message) => {
                let Some(&link) = self.links.get(&control) else { return };
                match message {
                    // An offer answers the question for it, over the stream on which that came.
                    Message::Offer(offer) => self.answer(link, Message::from(offer).to_frame()),
                    question => self.ask(link, question),
                }
            }
        }
    }

    fn handle_call(&mut self, control: NodeId, forward: Forward, reply: oneshot::Sender<Outcome>) {
        let Some(&link) = self.links.get(&control) else {
            return drop(reply.send(Outcome::NotExecuted(Reason::OwnerUnreachable(control))));
        };
        if self.calls.len() >= PEER_CALLS_MAX {
            // Callers that went away while this inbox was full could not say so.
            self.calls.retain(|_, (_, waiting)| !waiting.is_closed());
        }
        if self.calls.len() >= PEER_CALLS_MAX {
            return drop(reply.send(Outcome::NotExecuted(Reason::Busy(Cap::CallsInFlight))));
        }
        self.calls.insert(forward.id.clone(), (link, reply));
        self.ask(link, forward);
    }

    /// Whoever gets no answer in time has gone away; a peer that never answers collects no questions.
    fn handle_locate(&mut self, control: &NodeId, worker: NodeId, reply: oneshot::Sender<Hosting>) {
        let Some(&link) = self.links.get(control) else { return };
        if self.located.len() >= PEER_CALLS_MAX {
            self.located.retain(|_, waiting| waiting.iter().any(|reply| !reply.is_closed()));
        }
        if self.located.len() >= PEER_CALLS_MAX {
            return;
        }
        let waiting = self.located.entry((link, worker.clone())).or_default();
        waiting.retain(|reply| !reply.is_closed());
        waiting.push(reply);
        self.ask(link, Locate(worker));
    }

    fn handle_list(&mut self, control: &NodeId, list: List, reply: oneshot::Sender<Listed>) {
        let Some(&link) = self.links.get(control) else { return };
        self.listed.retain(|_, waiting| !waiting.is_closed());
        if self.listed.len() < LISTS_MAX {
            self.listed.insert((link, list.question), reply);
            self.ask(link, list);
        }
    }

    fn ask(&mut self, link: LinkId, message: impl Into<Message>) {
        if !self.asking.push(link, Lane::Request, message.into().to_frame()) {
            self.close_link(link, "the control node does not read");
        }
    }

    fn answer(&mut self, link: LinkId, frame: Frame) {
        if !self.answering.push(link, Lane::Request, frame) {
            self.close_link(link, "the control node does not read");
        }
    }

    /// A frame on a stream that this node has opened: an answer.
    fn handle_answer(&mut self, event: StreamEvent) {
        let (link, frame) = match event {
            StreamEvent::Frame(link, _, frame) => (link, frame),
            StreamEvent::Lost(link) => return self.close_link(link, "a stream was lost"),
        };
        match Message::from_frame(&frame) {
            Ok(Message::ForwardOutcome(ForwardOutcome { id, outcome })) => {
                if let Some((_, reply)) = self.calls.remove(&id) {
                    drop(reply.send(outcome));
                }
            }
            Ok(Message::Located(Located { worker, hosting })) => {
                for reply in self.located.remove(&(link, worker)).unwrap_or_default() {
                    let _ = reply.send(hosting);
                }
            }
            Ok(Message::Listed(listed)) => {
                if let Some(reply) = self.listed.remove(&(link, listed.question)) {
                    let _ = reply.send(listed);
                }
            }
            Ok(Message::Offer(offer)) => {
                let worker = offer.worker.clone();
                self.tell_shard(link, &worker, |from| shard::Input::Offer(from, offer));
            }
            _ => self.refuse(link, &frame),
        }
    }

    /// A frame on a stream that another control node has opened: a question.
    fn handle_question(&mut self, event: StreamEvent) {
        let (link, frame) = match event {
            StreamEvent::Frame(link, _, frame) => (link, frame),
            StreamEvent::Lost(link) => return self.close_link(link, "a stream was lost"),
        };
        match Message::from_frame(&frame) {
            Ok(Message::Forward(forward)) => self.handle_forward(link, forward),
            // Whoever asks more than is served at one time gets no answer, and takes this node for silent.
            Ok(Message::List(_) | Message::Locate(_)) if self.answers.len() >= PEER_CALLS_MAX => {}
            Ok(Message::ForwardCancel(cancel)) => self.local.cancel(cancel.worker, cancel.id),
            Ok(Message::List(List { question, after })) => {
                let local = self.local.clone();
                self.answers.push(Box::pin(async move {
                    let (workers, more) = local.page(after).await;
                    (link, Message::from(Listed { question, workers, more }).to_frame())
                }));
            }
            Ok(Message::Wanted(wanted)) => {
                let worker = wanted.worker.clone();
                self.tell_shard(link, &worker, |by| shard::Input::Wanted(by, wanted));
            }
            Ok(Message::Declined(declined)) => {
                let worker = declined.worker.clone();
                self.tell_shard(link, &worker, |by| shard::Input::Declined(by, declined));
            }
            Ok(Message::Locate(Locate(worker))) => {
                let local = self.local.clone();
                self.answers.push(Box::pin(async move {
                    let hosting = local.hosting(&worker).await;
                    (link, Message::from(Located { worker, hosting }).to_frame())
                }));
            }
            _ => self.refuse(link, &frame),
        }
    }

    fn handle_forward(&mut self, link: LinkId, forward: Forward) {
        let Forward { worker, id, generation, remaining_ms, verb } = forward;
        if self.answers.len() >= PEER_CALLS_MAX {
            let outcome = Outcome::NotExecuted(Reason::Busy(Cap::CallsInFlight));
            return self.answer(link, Message::from(ForwardOutcome { id, outcome }).to_frame());
        }
        let deadline = now() + std::time::Duration::from_millis(remaining_ms).min(REMAINING_MAX);
        let local = self.local.clone();
        self.answers.push(Box::pin(async move {
            let call = ProxyCall { id: id.clone(), generation, deadline, verb };
            let outcome = local.call(&worker, call).await;
            (link, Message::from(ForwardOutcome { id, outcome }).to_frame())
        }));
    }

    /// A word about a handover goes to the worker's shard; one that finds the inbox full is lost, and said again.
    fn tell_shard(&self, link: LinkId, worker: &NodeId, input: impl FnOnce(NodeId) -> shard::Input) {
        if let Some(carrier) = self.asking.carrier(link) {
            self.local.tell(worker, input(carrier.peer().node.clone()));
        }
    }

    fn refuse(&mut self, link: LinkId, frame: &Frame) {
        tracing::warn!(kind = frame.kind, "closing the link to a control node that breaks the protocol");
        self.close_link(link, "the control node broke the protocol");
    }

    fn close_link(&mut self, link: LinkId, why: &str) {
        if let Some(carrier) = self.asking.carrier(link) {
            carrier.close(why);
        }
        self.forget_link(link);
    }

    fn forget_link(&mut self, link: LinkId) {
        self.asking.remove_link(link);
        self.answering.remove_link(link);
        self.links.retain(|_, of| *of != link);
        // Whoever asked for a location sees that nobody answers.
        self.located.retain(|(of, _), _| *of != link);
        self.listed.retain(|(of, _), _| *of != link);
        let lost: Vec<CallId> =
            self.calls.iter().filter(|(_, (of, _))| *of == link).map(|(id, _)| id.clone()).collect();
        for id in lost {
            if let Some((_, reply)) = self.calls.remove(&id) {
                drop(reply.send(Outcome::Unknown(Reason::LinkLost)));
            }
        }
    }
}

/// The time another control node may ask for: as for any call of a worker.
const REMAINING_MAX: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
