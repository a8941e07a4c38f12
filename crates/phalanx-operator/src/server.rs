//! The node's end: takes operators in and answers them, a task for each.

use std::io;
use std::time::Duration;

use phalanx::{ClusterEvents, Control, OperatorListener};
use tokio::net::UnixStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::answer::Answer;
use crate::channel::Channel;
use crate::tell::event;
use crate::wire::REQUEST_BYTES_MAX;
use crate::{Failure, FailureKind, Operated, Reply, Request, Socket};

/// How many connections of operators are served at one time: people and their scripts, each with some transfers under way.
const CONNECTIONS_MAX: usize = 128;

/// How long an operator may say nothing before its place is given to another.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an operator may take to read a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one that is refused may take: it holds up the others.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(100);

/// How long no connection is taken after the system had none to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves operators of one node. Whoever is asked to leave, leaves: the server says so by
/// [`leave_asked`](Self::leave_asked), and whoever runs the node stops it.
///
/// Dropping it ends every connection, and removes the socket.
pub struct Server {
    stop: DropGuard,
    leave: CancellationToken,
    listening: JoinHandle<()>,
}

impl Server {
    /// Serves the operators of a node: those that come over the network where it is a control node, and those that come
    /// over a socket of this machine where one is given. The server holds the node, so that it runs at least as long.
    /// Must be called within a tokio runtime.
    #[must_use = "dropping the server ends it"]
    pub fn start(node: impl Into<Operated>, socket: Option<Socket>) -> Self {
        let (stop, leave) = (CancellationToken::new(), CancellationToken::new());
        let service = Service { node: node.into(), leave: leave.clone() };
        let stopped = stop.clone();
        let listening = tokio::spawn(async move {
            stopped.run_until_cancelled(service.listen(socket)).await;
        });
        Self { stop: stop.drop_guard(), leave, listening }
    }

    /// Returns when an operator has asked the node to leave. Its connection stays until the server is closed, which tells
    /// it that the node has left. Cancellation safe.
    pub async fn leave_asked(&self) {
        self.leave.cancelled().await;
    }

    /// Ends every connection, and removes the socket. Returns when that is done.
    pub async fn close(self) {
        drop(self.stop);
        // It was cancelled, or has panicked: the socket is gone either way.
        let _ = self.listening.await;
    }
}

/// What a connection needs.
#[derive(Clone)]
struct Service {
    node: Operated,
    leave: CancellationToken,
}

impl Service {
    async fn listen(self, socket: Option<Socket>) {
        let mut network = self.node.operators();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = accept_local(socket.as_ref()) => match accepted {
                    Ok(stream) => {
                        self.take(Channel::socket(stream, REQUEST_BYTES_MAX), &mut connections).await;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no operator can be taken in now");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                accepted = accept_remote(network.as_ref()) => match accepted {
                    Some(stream) => {
                        tracing::info!(peer = %stream.peer(), "an operator has come over the network");
                        self.take(Channel::Network(Box::new(stream)), &mut connections).await;
                    }
                    // The node has stopped; who is there by the socket is still answered.
                    None => network = None,
                },
            }
        }
    }

    /// Serves an operator, or says that there are too many.
    async fn take(&self, mut channel: Channel, connections: &mut JoinSet<()>) {
        if connections.len() < CONNECTIONS_MAX {
            connections.spawn(self.clone().serve(channel));
            return;
        }
        let words =
            format!("{CONNECTIONS_MAX} operators are here already: end one of them, or wait a minute");
        if let Ok(bytes) = Reply::Failed(Failure::new(FailureKind::Busy, words)).encode() {
            // Whoever does not even take this is gone.
            let _ = timeout(REFUSAL_TIMEOUT, channel.send(bytes)).await;
        }
    }

    async fn serve(self, mut channel: Channel) {
        match self.converse(&mut channel).await {
            Ok(Some(control)) => control.serve_gateway(channel.into_frames()).await,
            Ok(None) => {}
            Err(reason) => tracing::debug!(%reason, "the connection of an operator has ended"),
        }
    }

    /// Answers one question after another, until the operator goes, says nothing, or says what is no question; or until
    /// frames of a gateway follow, for this node.
    async fn converse(&self, channel: &mut Channel) -> io::Result<Option<Box<Control>>> {
        loop {
            let received = timeout(IDLE_TIMEOUT, channel.receive()).await;
            let Some(bytes) = received.map_err(io::Error::other)?? else { return Ok(None) };
            let request = match Request::decode(&bytes) {
                Ok(request) => request,
                Err(error) => {
                    let failure = Failure::new(FailureKind::NotUnderstood, error.to_string());
                    return send(channel, &Reply::Failed(failure)).await.map(|()| None);
                }
            };
            match self.node.answer(request).await {
                Answer::Replies(replies) => {
                    for reply in &replies {
                        send(channel, reply).await?;
                    }
                }
                Answer::Events { events, from_now } => {
                    return tell(channel, events, from_now).await.map(|()| None);
                }
                Answer::Calls(control) => {
                    send(channel, &Reply::Calls(control.boot().clone())).await?;
                    return Ok(Some(control));
                }
                Answer::Leave => {
                    send(channel, &Reply::Leaving).await?;
                    self.leave.cancel();
                    // The end of the connection says that the node has left.
                    channel.receive().await?;
                    return Ok(None);
                }
            }
        }
    }
}

async fn accept_local(socket: Option<&Socket>) -> io::Result<UnixStream> {
    match socket {
        Some(socket) => socket.accept().await,
        None => std::future::pending().await,
    }
}

async fn accept_remote(network: Option<&OperatorListener>) -> Option<phalanx::OperatorStream> {
    match network {
        Some(network) => network.accept().await,
        None => std::future::pending().await,
    }
}

/// Tells events until the operator goes or says anything, or until the node has stopped.
async fn tell(channel: &mut Channel, mut events: ClusterEvents, from_now: bool) -> io::Result<()> {
    let mut is_caught_up = from_now;
    if from_now {
        send(channel, &Reply::CaughtUp).await?;
    }
    loop {
        let next = if is_caught_up {
            tokio::select! {
                biased;
                _ = channel.receive() => return Ok(()),
                next = events.next_numbered() => next,
            }
        } else {
            match at_once(events.next_numbered()).await {
                Some(next) => next,
                None => {
                    is_caught_up = true;
                    send(channel, &Reply::CaughtUp).await?;
                    continue;
                }
            }
        };
        let Some(next) = next else { return Ok(()) };
        send(channel, &Reply::Event(event(next))).await?;
    }
}

/// What a future gives without waiting.
async fn at_once<F: Future>(future: F) -> Option<F::Output> {
    // A task that has done much is told to wait by tokio; that there is nothing must not be concluded from it.
    let future = tokio::task::unconstrained(future);
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

async fn send(channel: &mut Channel, reply: &Reply) -> io::Result<()> {
    let bytes = match reply.encode() {
        Ok(bytes) => bytes,
        // A status of this size has names of absurd length in it.
        Err(error) => {
            let failure = Failure::new(FailureKind::Refused, format!("the answer does not fit: {error}"));
            Reply::Failed(failure).encode().map_err(io::Error::other)?
        }
    };
    timeout(SEND_TIMEOUT, channel.send(bytes)).await.map_err(io::Error::other)?
}
