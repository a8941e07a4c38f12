//! News: what a control node tells every node, over the links that there are.
//!
//! Each control node passes on what is new to it, so that news get around a cut between two of them; a worker only listens.
//! Nothing is kept for who is not there: a node that comes later does not hear it, and what a slow peer has no room for is
//! dropped. What must arrive belongs into a request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use phalanx_base::{Boot, Generation, Lane, NodeId, Role};
use phalanx_jobs::wire::{Kind, NEWS_BYTES_MAX, NEWS_NAME_BYTES_MAX, News as Content, Opening, Published};
use phalanx_jobs::{Carrier, LinkId, Stream};
use tokio::sync::mpsc;

use crate::event_log::EventLog;
use crate::events::ClusterEvent;

/// How many news wait for one peer: a burst, not a backlog.
const WAITING_MAX: usize = 64;

/// How many of the last numbers of one control node are remembered, to know what comes twice by two ways.
const SEEN_MAX: usize = 1_024;

/// Of how many control nodes: twice as many as a cluster has.
const ORIGINS_MAX: usize = 256;

/// Why something was not published. Nobody has heard of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The name is empty or too long.
    #[error("a name of {bytes} bytes: give it 1 to {NEWS_NAME_BYTES_MAX}")]
    Name {
        /// Its length.
        bytes: usize,
    },
    /// The payload is too long.
    #[error(
        "{bytes} bytes are more than the {NEWS_BYTES_MAX} that go to every node: send a transfer to those who need it"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
}

/// The news of a node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct News(Arc<Inner>);

struct Inner {
    me: Boot,
    /// Whether this node passes on what it hears.
    relays: bool,
    log: EventLog,
    state: Mutex<State>,
    /// Where wishes that a worker be forgotten go.
    forget: mpsc::Sender<NodeId>,
}

#[derive(Default)]
struct State {
    peers: BTreeMap<LinkId, Peer>,
    seen: Seen,
    number: u64,
}

struct Peer {
    role: Role,
    waiting: mpsc::Sender<Bytes>,
}

/// What was heard already.
#[derive(Default)]
struct Seen(BTreeMap<NodeId, (Generation, BTreeSet<u64>)>);

impl Seen {
    /// Whether this is heard for the first time. Of earlier boots nothing is new, and nothing below the numbers that are
    /// remembered.
    fn is_new(&mut self, origin: &Boot, number: u64) -> bool {
        if !self.0.contains_key(&origin.node) && self.0.len() >= ORIGINS_MAX {
            // Whoever has been silent for longest is not known; any will do, since a repeat does little harm.
            self.0.pop_first();
        }
        let (generation, numbers) =
            self.0.entry(origin.node.clone()).or_insert_with(|| (origin.generation, BTreeSet::new()));
        if origin.generation < *generation {
            return false;
        }
        if origin.generation > *generation {
            *generation = origin.generation;
            numbers.clear();
        }
        let is_old = numbers.len() >= SEEN_MAX && numbers.first().is_some_and(|first| number < *first);
        let is_new = !is_old && numbers.insert(number);
        if numbers.len() > SEEN_MAX {
            numbers.pop_first();
        }
        is_new
    }
}

impl News {
    /// The news of a node, and where the wishes come out that workers be forgotten.
    pub(crate) fn new(me: Boot, role: Role, log: EventLog) -> (Self, mpsc::Receiver<NodeId>) {
        let (forget, wishes) = mpsc::channel(WAITING_MAX);
        let relays = role == Role::Control;
        (Self(Arc::new(Inner { me, relays, log, state: Mutex::default(), forget })), wishes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link is up. Returns the work of sending to it, which ends with the link.
    pub(crate) fn link_up(&self, carrier: Arc<dyn Carrier>) -> impl Future<Output = ()> + Send + 'static {
        let (waiting, queue) = mpsc::channel(WAITING_MAX);
        let role = carrier.role();
        self.state().peers.insert(carrier.id(), Peer { role, waiting });
        send(carrier, queue)
    }

    pub(crate) fn link_lost(&self, link: LinkId) {
        self.state().peers.remove(&link);
    }

    /// Publishes something of the user's own.
    pub(crate) fn publish(&self, name: &str, payload: Bytes) -> Result<(), PublishError> {
        if !(1..=NEWS_NAME_BYTES_MAX).contains(&name.len()) {
            return Err(PublishError::Name { bytes: name.len() });
        }
        if payload.len() > NEWS_BYTES_MAX {
            return Err(PublishError::TooLarge { bytes: payload.len() });
        }
        self.tell(Content::User { name: name.to_owned(), payload });
        Ok(())
    }

    /// Tells every control node that a worker will not come back.
    pub(crate) fn forget(&self, worker: NodeId) {
        self.tell(Content::Forget { worker });
    }

    fn tell(&self, news: Content) {
        let number = {
            let mut state = self.state();
            state.number += 1;
            state.number
        };
        self.hear(Published { origin: self.0.me.clone(), number, news }, None);
    }

    /// Takes in what is new, and passes it on to everybody but the one whom it comes from.
    fn hear(&self, published: Published, from: Option<LinkId>) {
        {
            let mut state = self.state();
            if !state.seen.is_new(&published.origin, published.number) {
                return;
            }
            let for_workers = matches!(published.news, Content::User { .. });
            let frame = published.to_frame().body;
            let peers = state.peers.iter().filter(|(link, peer)| {
                self.0.relays && Some(**link) != from && (for_workers || peer.role == Role::Control)
            });
            for (link, peer) in peers {
                if peer.waiting.try_send(frame.clone()).is_err() {
                    tracing::debug!(?link, "a peer that does not read misses a piece of news");
                }
            }
        }
        match published.news {
            Content::User { name, payload } => {
                self.0.log.push(ClusterEvent::User { from: published.origin.node, name, payload });
            }
            // A wish that finds no room is repeated by the person whose it is.
            Content::Forget { worker } => drop(self.0.forget.try_send(worker)),
        }
    }

    /// Reads what a control node tells, until the stream ends.
    pub(crate) async fn read(self, from: LinkId, mut stream: Stream) {
        while let Ok(Some(frame)) = stream.source.next().await {
            match Published::from_frame(&frame) {
                Ok(published) if published.is_within_bounds() => self.hear(published, Some(from)),
                _ => return,
            }
        }
    }
}

async fn send(carrier: Arc<dyn Carrier>, mut waiting: mpsc::Receiver<Bytes>) {
    let mut stream: Option<Stream> = None;
    while let Some(body) = waiting.recv().await {
        if stream.is_none() {
            let Ok(mut opened) = carrier.open(Lane::Event).await else { return };
            if opened.sink.send(&[Opening::News.to_frame()]).await.is_err() {
                return;
            }
            stream = Some(opened);
        }
        let frame = phalanx_jobs::wire::Frame { kind: Kind::Published as u8, body };
        if let Some(stream) = &mut stream
            && stream.sink.send(&[frame]).await.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_not_new_and_an_earlier_boot_says_nothing_new() {
        let boot = |generation| Boot {
            node: NodeId::new("a").unwrap(),
            generation: Generation::from_u64(generation),
        };
        let mut seen = Seen::default();
        assert!(seen.is_new(&boot(1), 2) && seen.is_new(&boot(1), 1), "in any order");
        assert!(!seen.is_new(&boot(1), 2));
        assert!(seen.is_new(&boot(2), 1));
        assert!(!seen.is_new(&boot(1), 3));
        for number in 10..10 + 2 * SEEN_MAX as u64 {
            assert!(seen.is_new(&boot(2), number));
        }
        assert!(!seen.is_new(&boot(2), 5), "too old to be remembered");
        for other in 0..2 * ORIGINS_MAX {
            let node = NodeId::new(&format!("n{other}")).unwrap();
            assert!(seen.is_new(&Boot { node, generation: Generation::from_u64(1) }, 1));
        }
        assert!(seen.0.len() <= ORIGINS_MAX);
    }
}
