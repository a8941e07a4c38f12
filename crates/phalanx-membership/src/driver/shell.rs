//! The task that owns the core: it hands in what comes from the links, the clock and the handles, and sends what the
//! core wants to send.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::handle::{MembershipHandle, Wish};
use super::socket::{DatagramSocket, Incoming};
use crate::{ClusterView, EVENTS_MAX, Event, Membership};

/// How many wishes of handles wait. They are rare and quick to fulfil; more than this and callers wait.
const WISHES_QUEUED_MAX: usize = 16;

/// How many messages are taken in before a timer that is due fires: the answers to some probes and a gossip of each of
/// 128 peers, but not so many that a peer that talks without end holds up time.
const INCOMING_BEFORE_TIMERS_MAX: usize = 256;

/// A handle to this membership, and the future that runs it. Nothing happens until the future is polled; it ends when
/// the node has left or the socket is closed.
pub fn drive<S: DatagramSocket>(
    core: Membership,
    socket: S,
) -> (MembershipHandle, impl Future<Output = ()> + Send + 'static) {
    let (wishes, inbox) = mpsc::channel(WISHES_QUEUED_MAX);
    let (view, watched) = watch::channel(Arc::new(core.view()));
    let (events, _) = broadcast::channel(EVENTS_MAX);
    let handle = MembershipHandle { wishes, view: watched, events: events.downgrade() };
    let revision = core.revision();
    let shell = Shell { core, socket, inbox: Some(inbox), view, revision, events, leavers: Vec::new() };
    (handle, shell.run())
}

struct Shell<S> {
    core: Membership,
    socket: S,
    /// `None` once there is no handle any more.
    inbox: Option<mpsc::Receiver<Wish>>,
    view: watch::Sender<Arc<ClusterView>>,
    /// Of the view that was published last.
    revision: u64,
    events: broadcast::Sender<Event>,
    /// Who waits until the node has left: one for each caller of `leave`, which takes four gossip periods.
    leavers: Vec<oneshot::Sender<()>>,
}

impl<S: DatagramSocket> Shell<S> {
    async fn run(mut self) {
        loop {
            self.publish();
            if self.core.has_left() {
                break;
            }
            let timeout = self.core.poll_timeout().map(Instant::from_std);
            tokio::select! {
                biased;
                wish = next_wish(&mut self.inbox) => self.fulfil(wish),
                () = sleep_until(timeout) => self.handle_timeout().await,
                incoming = self.socket.recv() => match incoming {
                    Some(incoming) => self.take_in(incoming),
                    None => break,
                },
            }
        }
        if self.core.has_left() {
            for leaver in self.leavers.drain(..) {
                // Whoever does not wait any more need not be told.
                let _ = leaver.send(());
            }
        }
    }

    /// What lies in the inbox when a timer fires has come before it: a probe whose answer lies there was not missed.
    async fn handle_timeout(&mut self) {
        for _ in 0..INCOMING_BEFORE_TIMERS_MAX {
            tokio::select! {
                biased;
                Some(incoming) = self.socket.recv() => self.take_in(incoming),
                () = std::future::ready(()) => break,
            }
            self.publish();
        }
        self.core.handle_timeout(Instant::now().into_std());
    }

    fn fulfil(&mut self, wish: Option<Wish>) {
        let now = Instant::now().into_std();
        match wish {
            Some(Wish::Activate) => self.core.activate(now),
            Some(Wish::Drain) => self.core.drain(now),
            Some(Wish::Leave(leaver)) => {
                self.leavers.push(leaver);
                self.core.leave(now);
            }
            Some(Wish::Remove(node, answer)) => {
                // Whoever does not wait any more need not be told.
                let _ = answer.send(self.core.remove(now, &node));
            }
            None => self.inbox = None,
        }
    }

    fn take_in(&mut self, incoming: Incoming) {
        let now = Instant::now().into_std();
        match incoming {
            Incoming::Datagram { from, bytes } => {
                if let Err(error) = self.core.handle_datagram(now, &from, &bytes) {
                    tracing::debug!(%from, error = &error as &dyn std::error::Error, "dropped a datagram");
                }
            }
            Incoming::Sync { from, bytes } => {
                if let Err(error) = self.core.handle_sync(now, &from, &bytes) {
                    tracing::debug!(%from, error = &error as &dyn std::error::Error, "dropped a sync message");
                }
            }
            Incoming::Reachable { peer, address } => self.core.handle_peer_reachable(now, peer, address),
            Incoming::Unreachable { node, cause } => self.core.handle_peer_unreachable(now, &node, cause),
        }
    }

    /// Sends what waits, publishes a new view where there is one, and then tells the events: whoever reacts to one
    /// finds it in the view.
    fn publish(&mut self) {
        while let Some(transmit) = self.core.poll_transmit() {
            self.socket.send(&transmit.to, transmit.channel, transmit.payload);
        }
        if self.core.revision() != self.revision {
            self.revision = self.core.revision();
            self.view.send_replace(Arc::new(self.core.view()));
        }
        while let Some(event) = self.core.poll_event() {
            // That nobody has subscribed is no error.
            let _ = self.events.send(event);
        }
    }
}

async fn next_wish(inbox: &mut Option<mpsc::Receiver<Wish>>) -> Option<Wish> {
    match inbox {
        Some(inbox) => inbox.recv().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(timeout: Option<Instant>) {
    match timeout {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
