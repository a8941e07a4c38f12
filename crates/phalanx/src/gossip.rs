//! Carries membership's messages over the links between control nodes: datagrams as they are, the rest on a stream.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use phalanx_base::{Boot, Lane, NodeId};
use phalanx_jobs::wire::{Frame, Kind, Opening};
use phalanx_jobs::{Carrier, LinkId, Stream};
use phalanx_membership::driver::{DatagramSocket, Incoming};
use phalanx_membership::{Channel, LinkLoss};
use phalanx_transport::{Link, LinkLost};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

/// How many messages wait to be handled. Gossip repeats itself: what does not fit is dropped.
const INCOMING_MAX: usize = 1_024;

/// How many messages wait for the stream to one peer. A peer that does not read misses an exchange, and gets the next.
const SYNCS_WAITING_MAX: usize = 16;

struct Peer {
    link: Link,
    syncs: mpsc::Sender<Bytes>,
}

/// The links that carry gossip. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gossip(Arc<Inner>);

struct Inner {
    /// A table for routing, changed when a link comes or goes.
    peers: Mutex<BTreeMap<NodeId, Peer>>,
    incoming: mpsc::Sender<Incoming>,
    inbox: AsyncMutex<mpsc::Receiver<Incoming>>,
}

impl Gossip {
    pub(crate) fn new() -> Self {
        let (incoming, inbox) = mpsc::channel(INCOMING_MAX);
        Self(Arc::new(Inner { peers: Mutex::default(), incoming, inbox: AsyncMutex::new(inbox) }))
    }

    fn peers(&self) -> MutexGuard<'_, BTreeMap<NodeId, Peer>> {
        self.0.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link to a control node is up. Returns the work of sending to it, which ends with the link.
    pub(crate) async fn link_up(
        &self,
        link: Link,
        carrier: Arc<dyn Carrier>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (syncs, waiting) = mpsc::channel(SYNCS_WAITING_MAX);
        let peer = link.peer().boot.clone();
        self.peers().insert(peer.node.clone(), Peer { link, syncs });
        self.tell(Incoming::Reachable { peer, address: None }).await;
        send_syncs(carrier, waiting)
    }

    /// A link is lost.
    pub(crate) async fn link_lost(&self, peer: &Boot, link: LinkId, lost: &LinkLost) {
        let removed = {
            let mut peers = self.peers();
            let is_current =
                peers.get(&peer.node).is_some_and(|present| crate::carrier::link_id(&present.link) == link);
            is_current && peers.remove(&peer.node).is_some()
        };
        if removed {
            let cause = match lost {
                LinkLost::ProcessGone | LinkLost::Reset => LinkLoss::ProcessGone,
                _ => LinkLoss::Unknown,
            };
            self.tell(Incoming::Unreachable { node: peer.node.clone(), cause }).await;
        }
    }

    /// A datagram has come. One that finds the inbox full is lost, as a datagram may be.
    pub(crate) fn datagram(&self, from: &NodeId, bytes: Bytes) {
        let _ = self.0.incoming.try_send(Incoming::Datagram { from: from.clone(), bytes });
    }

    /// Reads a stream that a peer has opened for its messages, until it ends.
    pub(crate) async fn read(self, from: NodeId, mut stream: Stream) {
        while let Ok(Some(frame)) = stream.source.next().await {
            if frame.kind != Kind::Gossip as u8 {
                return;
            }
            self.tell(Incoming::Sync { from: from.clone(), bytes: frame.body }).await;
        }
    }

    async fn tell(&self, incoming: Incoming) {
        // The receiver lives as long as this value.
        let _ = self.0.incoming.send(incoming).await;
    }
}

async fn send_syncs(carrier: Arc<dyn Carrier>, mut waiting: mpsc::Receiver<Bytes>) {
    let mut stream: Option<Stream> = None;
    while let Some(payload) = waiting.recv().await {
        if stream.is_none() {
            let Ok(mut opened) = carrier.open(Lane::Control).await else { return };
            if opened.sink.send(&[Opening::Gossip.to_frame()]).await.is_err() {
                return;
            }
            stream = Some(opened);
        }
        if let Some(stream) = &mut stream
            && stream.sink.send(&[Frame { kind: Kind::Gossip as u8, body: payload }]).await.is_err()
        {
            return;
        }
    }
}

impl DatagramSocket for Gossip {
    fn send(&self, to: &NodeId, channel: Channel, payload: Bytes) {
        let peers = self.peers();
        let Some(peer) = peers.get(to) else { return };
        match channel {
            Channel::Datagram => {
                if let Err(error) = peer.link.send_datagram(payload) {
                    tracing::debug!(%to, %error, "a gossip datagram was not sent");
                }
            }
            Channel::Sync => {
                if peer.syncs.try_send(payload).is_err() {
                    tracing::debug!(%to, "an exchange was not sent: the peer does not read");
                }
            }
        }
    }

    async fn recv(&self) -> Option<Incoming> {
        self.0.inbox.lock().await.recv().await
    }
}
