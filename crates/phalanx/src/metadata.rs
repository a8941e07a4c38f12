//! Keeps what all control nodes know, and passes it between them over the links there are.
//!
//! One task owns the core; whoever reads or writes asks it. Messages to a peer wait in a short queue of its link, and are
//! dropped where it is full: what is lost is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use phalanx_base::{Boot, Lane, NodeId, RosterState, Spawn};
use phalanx_jobs::wire::{Frame, Kind, Opening};
use phalanx_jobs::{Carrier, LinkId, Stream};
use phalanx_membership::ClusterView;
use phalanx_metadata::{Key, Message, Metadata, Order, Table, WriteError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Duration, Instant, sleep_until};

use crate::environment::WallClock;
use crate::setup::{Base, stored};
use crate::store::Store;
use crate::tables::{self, Mirrors};

/// How much waits for the task that keeps it: the answers of every control node of a large cluster.
const INBOX_MAX: usize = 1_024;

/// How many messages wait for one peer: with the largest ones, four megabytes.
const WAITING_MAX: usize = 16;

/// How often what has changed is stored: seldom enough for a disk, often enough for the stop of a whole cluster.
const STORE_PAUSE: Duration = Duration::from_secs(2);

enum Input {
    LinkUp(Boot, LinkId, mpsc::Sender<Bytes>),
    LinkLost(NodeId, LinkId),
    Message(NodeId, Bytes),
    Set(Key, Bytes, oneshot::Sender<Result<(), WriteError>>),
    Remove(Key, oneshot::Sender<Result<(), WriteError>>),
    Ordered(Vec<Ordered>, oneshot::Sender<Result<(), WriteError>>),
    Value(Key, oneshot::Sender<Option<Bytes>>),
    Read(Table, oneshot::Sender<Vec<(Key, Bytes)>>),
    Store(oneshot::Sender<()>),
}

/// A value, or a removal, with its order: for a table where the greatest wins.
pub(crate) struct Ordered {
    pub(crate) key: Key,
    pub(crate) order: Order,
    /// Nothing to remove what is there, unless its order is greater.
    pub(crate) value: Option<Bytes>,
}

/// A way to what all control nodes know. Cheap to clone.
#[derive(Clone)]
pub(crate) struct MetadataHandle {
    inbox: mpsc::Sender<Input>,
    /// Grows with each change of a table that nobody mirrors.
    changes: watch::Receiver<u64>,
}

/// Why something was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SetError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the node stops")]
    Stopped,
}

impl MetadataHandle {
    /// A link to a control node is up. Returns the work of sending to it, which ends with the link.
    pub(crate) async fn link_up(
        &self,
        carrier: Arc<dyn Carrier>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (waiting, queue) = mpsc::channel(WAITING_MAX);
        self.tell(Input::LinkUp(carrier.peer().clone(), carrier.id(), waiting)).await;
        send(carrier, queue)
    }

    pub(crate) async fn link_lost(&self, peer: &NodeId, link: LinkId) {
        self.tell(Input::LinkLost(peer.clone(), link)).await;
    }

    /// Reads what a control node tells, until the stream ends.
    pub(crate) async fn read(self, from: NodeId, mut stream: Stream) {
        while let Ok(Some(frame)) = stream.source.next().await {
            if frame.kind != Kind::Metadata as u8 {
                return;
            }
            self.tell(Input::Message(from.clone(), frame.body)).await;
        }
    }

    /// Writes a value. Readers here see it when this returns, and other control nodes a moment later.
    pub(crate) async fn set(&self, key: Key, value: Bytes) -> Result<(), SetError> {
        let (reply, answer) = oneshot::channel();
        self.tell(Input::Set(key, value, reply)).await;
        Ok(answer.await.map_err(|_| SetError::Stopped)??)
    }

    pub(crate) async fn remove(&self, key: Key) -> Result<(), SetError> {
        let (reply, answer) = oneshot::channel();
        self.tell(Input::Remove(key, reply)).await;
        Ok(answer.await.map_err(|_| SetError::Stopped)??)
    }

    /// Writes as many as are there, in their order. What is outranked is out of date, and not written.
    pub(crate) async fn write_ordered(&self, writes: Vec<Ordered>) -> Result<(), SetError> {
        if writes.is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        self.tell(Input::Ordered(writes, reply)).await;
        Ok(answer.await.map_err(|_| SetError::Stopped)??)
    }

    /// The value of a key. Nothing once the node stops.
    pub(crate) async fn value(&self, key: Key) -> Option<Bytes> {
        let (reply, answer) = oneshot::channel();
        self.tell(Input::Value(key, reply)).await;
        answer.await.ok().flatten()
    }

    /// The values of a table, by name. Nothing once the node stops.
    pub(crate) async fn table(&self, table: Table) -> Vec<(Key, Bytes)> {
        let (reply, answer) = oneshot::channel();
        self.tell(Input::Read(table, reply)).await;
        answer.await.unwrap_or_default()
    }

    /// Stores what has changed, as it is stored a moment later anyway: for a node that is about to stop.
    pub(crate) async fn store(&self) {
        let (reply, answer) = oneshot::channel();
        self.tell(Input::Store(reply)).await;
        // A node that has stopped has nothing to store.
        let _ = answer.await;
    }

    /// Changes whenever anything has changed for readers, in a table that nobody mirrors.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    async fn tell(&self, input: Input) {
        // A node that stops keeps nothing.
        let _ = self.inbox.send(input).await;
    }
}

async fn send(carrier: Arc<dyn Carrier>, mut waiting: mpsc::Receiver<Bytes>) {
    let mut stream: Option<Stream> = None;
    while let Some(body) = waiting.recv().await {
        if stream.is_none() {
            let Ok(mut opened) = carrier.open(Lane::Event).await else { return };
            if opened.sink.send(&[Opening::Metadata.to_frame()]).await.is_err() {
                return;
            }
            stream = Some(opened);
        }
        if let Some(stream) = &mut stream
            && stream.sink.send(&[Frame { kind: Kind::Metadata as u8, body }]).await.is_err()
        {
            return;
        }
    }
}

/// Makes the handle, and the work behind it.
pub(crate) fn start(
    base: &Base,
    view: watch::Receiver<Arc<ClusterView>>,
    mirrors: Mirrors,
) -> (MetadataHandle, Keeper) {
    let environment = &base.environment;
    let (inbox, input) = mpsc::channel(INBOX_MAX);
    let (changed, changes) = watch::channel(0);
    let wall_clock = environment.wall_clock.clone();
    let (now, seed) = (Instant::now().into_std(), environment.entropy.bits64());
    let mut core = Metadata::new(base.boot.clone(), tables::config(), now, wall_clock.unix_ms(), seed);
    match environment.store.read(stored::METADATA) {
        Ok(Some(snapshot)) => {
            if let Err(error) = core.restore(now, wall_clock.unix_ms(), &snapshot) {
                tracing::warn!(%error, "what the store remembers of the cluster's jobs is not used");
            }
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "what the store remembers of the cluster's jobs cannot be read"),
    }
    let keeper = Keeper {
        core,
        input,
        view,
        changed,
        mirrors,
        peers: BTreeMap::new(),
        wall_clock,
        store: environment.store.clone(),
        spawn: environment.spawn.clone(),
        store_at: None,
    };
    (MetadataHandle { inbox, changes }, keeper)
}

/// The task that owns the core.
pub(crate) struct Keeper {
    core: Metadata,
    input: mpsc::Receiver<Input>,
    view: watch::Receiver<Arc<ClusterView>>,
    changed: watch::Sender<u64>,
    mirrors: Mirrors,
    peers: BTreeMap<NodeId, (LinkId, mpsc::Sender<Bytes>)>,
    wall_clock: Arc<dyn WallClock>,
    store: Arc<dyn Store>,
    spawn: Arc<dyn Spawn>,
    store_at: Option<Instant>,
}

impl Keeper {
    /// Keeps what is known until the node stops.
    pub(crate) async fn run(mut self) {
        self.handle_view();
        loop {
            self.drain();
            let timeout = self.core.poll_timeout().map(Instant::from_std);
            let timeout = [timeout, self.store_at].into_iter().flatten().min();
            tokio::select! {
                biased;
                input = self.input.recv() => match input {
                    Some(Input::Store(stored)) => {
                        self.keep().await;
                        let _ = stored.send(());
                    }
                    Some(input) => self.handle(input),
                    None => return,
                },
                changed = self.view.changed() => match changed {
                    Ok(()) => self.handle_view(),
                    Err(_) => return,
                },
                () = until(timeout) => self.handle_time().await,
            }
        }
    }

    fn now(&self) -> (std::time::Instant, u64) {
        (Instant::now().into_std(), self.wall_clock.unix_ms())
    }

    fn handle(&mut self, input: Input) {
        let (now, unix_ms) = self.now();
        match input {
            Input::LinkUp(peer, link, queue) => {
                self.peers.insert(peer.node.clone(), (link, queue));
                self.core.handle_peer_up(now, &peer);
            }
            Input::LinkLost(peer, link) => {
                if self.peers.get(&peer).is_some_and(|(present, _)| *present == link) {
                    self.peers.remove(&peer);
                    self.core.handle_peer_down(&peer);
                }
            }
            Input::Message(from, bytes) => match Message::decode(&bytes) {
                Ok(message) => {
                    if let Err(refused) = self.core.handle_message(now, unix_ms, &from, message) {
                        tracing::debug!(%refused, "a part of what a control node knows was not taken");
                    }
                }
                Err(error) => tracing::warn!(%from, %error, "what a control node knows cannot be read"),
            },
            // Whoever wrote and went away has written all the same.
            Input::Set(key, value, reply) => {
                let _ = reply.send(self.core.set(now, unix_ms, &key, value).map(drop));
            }
            Input::Remove(key, reply) => {
                let _ = reply.send(self.core.remove(now, unix_ms, &key).map(drop));
            }
            Input::Ordered(writes, reply) => {
                let _ = reply.send(self.write_ordered(writes));
            }
            Input::Store(_) => {}
            Input::Value(key, reply) => {
                let _ = reply.send(self.core.value(&key).map(|entry| entry.value.clone()));
            }
            Input::Read(table, reply) => {
                let entries = self.core.table(&table);
                let _ = reply.send(entries.map(|entry| (entry.key.clone(), entry.value.clone())).collect());
            }
        }
    }

    /// Tells of the first that was not written for another reason than that it is out of date.
    fn write_ordered(&mut self, writes: Vec<Ordered>) -> Result<(), WriteError> {
        let (now, unix_ms) = self.now();
        let mut outcome = Ok(());
        for Ordered { key, order, value } in writes {
            let written = match value {
                Some(value) => self.core.set_ordered(now, unix_ms, &key, order, value).map(drop),
                None => self.core.remove_ordered(now, unix_ms, &key, order).map(drop),
            };
            match written {
                Ok(()) | Err(WriteError::Outranked { .. }) => {}
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// Who counts as a control node of the cluster, and who of them is alive. One that has left counts no more, so that the
    /// others take over what it wrote.
    fn handle_view(&mut self) {
        let view = self.view.borrow_and_update().clone();
        let has_left = |node: &NodeId| {
            let entry = view.roster.entries().iter().find(|entry| entry.node == *node);
            entry.is_some_and(|entry| entry.state == RosterState::Gone) && !view.is_alive(node)
        };
        let known = view.members.iter().filter(|member| !has_left(&member.boot.node));
        let known: Vec<Boot> = known.map(|member| member.boot.clone()).collect();
        let live: Vec<NodeId> =
            known.iter().filter(|boot| view.is_alive(&boot.node)).map(|boot| boot.node.clone()).collect();
        self.core.handle_roster(Instant::now().into_std(), &known, &live);
    }

    async fn handle_time(&mut self) {
        let (now, unix_ms) = self.now();
        self.core.handle_timeout(now, unix_ms);
        if self.store_at.is_some_and(|at| at.into_std() <= now) {
            self.keep().await;
        }
    }

    /// Stores what must outlive the stop of a whole cluster.
    async fn keep(&mut self) {
        self.store_at = None;
        let (snapshot, store) = (self.core.snapshot(self.wall_clock.unix_ms()), self.store.clone());
        let (sender, done) = oneshot::channel();
        self.spawn.spawn_blocking(Box::new(move || {
            // Nobody waits for it once the node stops.
            let _ = sender.send(store.write(stored::METADATA, &snapshot));
        }));
        if let Ok(Err(error)) = done.await {
            tracing::warn!(%error, "the cluster's jobs were not stored: it is tried again when they change");
        }
    }

    /// Sends what the core has to say, and tells readers.
    fn drain(&mut self) {
        while let Some(transmit) = self.core.poll_transmit() {
            if let Some((_, queue)) = self.peers.get(&transmit.to) {
                // One that does not read asks for it later.
                let _ = queue.try_send(transmit.message.encode());
            }
        }
        let (mut has_changed, mut is_to_store) = (false, false);
        while let Some(event) = self.core.poll_event() {
            has_changed |= self.mirrors.tell(&self.core, &event);
            is_to_store |= tables::is_stored(&event);
        }
        if has_changed {
            self.changed.send_modify(|changes| *changes += 1);
        }
        if is_to_store {
            self.store_at.get_or_insert(Instant::now() + STORE_PAUSE);
        }
    }
}

/// Waits until then; for ever without a time.
pub(crate) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_jobs::wire::rule;

    #[test]
    fn the_wire_has_room_for_the_largest_message() {
        let room = rule(Kind::Metadata as u8).unwrap().bytes_max;
        assert!(phalanx_metadata::MESSAGE_BYTES_MAX <= room);
    }
}
