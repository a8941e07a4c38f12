//! Whom this node has links to, and what is to be said to each of them.
//!
//! Nothing waits here as bytes: only that something is to be said. A message is made when it is fetched, from what is
//! known by then, so that a peer that does not read costs no memory, and gets the newest when it does.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::{Duration, Instant};

use phalanx_base::{Boot, NodeId};

use crate::wire::{Digest, LOGS_MAX};

/// How many links there may be: one to each control node.
pub const PEERS_MAX: usize = crate::NODES_MAX;
/// How long an answer is waited for before another peer is asked. Only one is asked at a time: a newcomer would else be
/// told everything by everybody.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// How long a log that was refused is not asked for.
const DECLINED_FOR: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// Up to which version of the own log it was sent what was written.
    pub(crate) pushed: u64,
    /// What it knows, and waits for an answer to.
    pub(crate) asked: Option<Digest>,
    /// That it shall be asked, and whether it shall ask in turn.
    pub(crate) ask: Option<bool>,
}

#[derive(Debug, Default)]
pub(crate) struct Peers {
    peers: BTreeMap<NodeId, Peer>,
    served: Option<NodeId>,
    pull: Option<(NodeId, Instant)>,
    declined: BTreeMap<Boot, Instant>,
}

impl Peers {
    /// A link came up; whoever was at its other end may have restarted. Whether there is room for it.
    pub(crate) fn up(&mut self, node: &NodeId, pushed: u64) -> bool {
        let room = self.peers.len() < PEERS_MAX || self.peers.contains_key(node);
        if room {
            self.peers.insert(node.clone(), Peer { pushed, ..Peer::default() });
        }
        room
    }

    pub(crate) fn down(&mut self, node: &NodeId) {
        self.peers.remove(node);
        self.pull = self.pull.take().filter(|(from, _)| from != node);
    }

    pub(crate) fn nodes(&self) -> impl ExactSizeIterator<Item = &NodeId> {
        self.peers.keys()
    }

    pub(crate) fn peer(&mut self, node: &NodeId) -> Option<&mut Peer> {
        self.peers.get_mut(node)
    }

    /// The peers in turn, from the one after the last that was served.
    pub(crate) fn in_turn(&self) -> Vec<NodeId> {
        let Some(served) = &self.served else { return self.peers.keys().cloned().collect() };
        let after = self.peers.range((Bound::Excluded(served.clone()), Bound::Unbounded));
        after.chain(self.peers.range(..=served.clone())).map(|(node, _)| node.clone()).collect()
    }

    pub(crate) fn served(&mut self, node: NodeId) {
        self.served = Some(node);
    }

    /// Asks a peer for what this node lacks, unless another is being asked.
    pub(crate) fn pull(&mut self, now: Instant, from: &NodeId, both: bool) {
        if self.pull.as_ref().is_some_and(|(asked, until)| asked != from && now < *until) {
            return;
        }
        if let Some(peer) = self.peers.get_mut(from) {
            peer.ask = Some(both || peer.ask == Some(true));
            self.pull = Some((from.clone(), now + ANSWER_WAIT));
        }
    }

    pub(crate) fn is_pulling(&self, now: Instant) -> bool {
        self.pull.as_ref().is_some_and(|(_, until)| now < *until)
    }

    /// A peer has answered.
    pub(crate) fn answered(&mut self, from: &NodeId) {
        self.pull = self.pull.take().filter(|(asked, _)| asked != from);
    }

    /// Does not ask for a log for a while.
    pub(crate) fn decline(&mut self, now: Instant, origin: &Boot) {
        self.declined.retain(|_, until| now < *until);
        if self.declined.len() < LOGS_MAX {
            self.declined.insert(origin.clone(), now + DECLINED_FOR);
        }
    }

    /// Asks for every log again: the roster may know of more.
    pub(crate) fn forgive(&mut self) {
        self.declined.clear();
    }

    pub(crate) fn is_declined(&self, now: Instant, origin: &Boot) -> bool {
        self.declined.get(origin).is_some_and(|until| now < *until)
    }

    pub(crate) fn declined(&self, now: Instant) -> Vec<Boot> {
        self.declined.iter().filter(|(_, until)| now < **until).map(|(origin, _)| origin.clone()).collect()
    }
}
