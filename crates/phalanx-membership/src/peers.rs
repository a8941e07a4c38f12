//! The peers to which there is a link, and how far we have come in being let in by each.
//!
//! foca calls a peer once and forgets about it; when that one packet is lost, the node stays alone. So a peer is
//! called until it has fed us.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use phalanx_base::{Address, Boot, NodeId};

use crate::config::Config;
use crate::random::Random;

/// How many peers are remembered: as many as there may be members.
pub(crate) const PEERS_MAX: usize = crate::MEMBERS_MAX;
/// How many peers are called when the node must make itself known again: one that answers is enough, and an answer is
/// a full packet.
const ANNOUNCE_AGAIN_MAX: usize = 3;
/// A peer gets no more than one full answer in this time, however often it asks.
const REPLY_PERIOD_MIN: Duration = Duration::from_secs(1);

/// What is known of why a link was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum LinkLoss {
    /// Nothing: it was closed, replaced or silent. The failure detector finds out what that means.
    #[default]
    Unknown,
    /// The host answered that nobody listens there any more, and the peer was silent as well. A hint: such an answer
    /// can be forged.
    ProcessGone,
}

/// A peer that is called until it answers.
#[derive(Debug, Clone, Copy)]
struct Calling {
    next_at: Instant,
    pause: Duration,
}

/// A peer to which there is a link.
#[derive(Debug)]
struct Peer {
    boot: Boot,
    address: Option<Address>,
    calling: Option<Calling>,
    replied_at: Option<Instant>,
}

/// The peers to which there is a link.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    linked: BTreeMap<NodeId, Peer>,
}

impl Peers {
    /// A link exists: call the peer from now on. `false` where there are too many.
    pub(crate) fn insert(&mut self, now: Instant, boot: Boot, address: Option<Address>) -> bool {
        if self.linked.len() >= PEERS_MAX && !self.linked.contains_key(&boot.node) {
            return false;
        }
        let calling = Some(Calling { next_at: now, pause: Duration::ZERO });
        self.linked.insert(boot.node.clone(), Peer { boot, address, calling, replied_at: None });
        true
    }

    /// The link is lost. Returns to which boot it was.
    pub(crate) fn remove(&mut self, node: &NodeId) -> Option<Boot> {
        self.linked.remove(node).map(|peer| peer.boot)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.linked.keys()
    }

    /// The peer has let us in.
    pub(crate) fn fed(&mut self, node: &NodeId) {
        if let Some(peer) = self.linked.get_mut(node) {
            peer.calling = None;
        }
    }

    /// Calls a few random peers again, because nobody knows this node (any more).
    pub(crate) fn call_again(&mut self, now: Instant, random: &mut Random) {
        let mut silent: Vec<&mut Peer> =
            self.linked.values_mut().filter(|peer| peer.calling.is_none()).collect();
        for _ in 0..ANNOUNCE_AGAIN_MAX.min(silent.len()) {
            let peer = silent.swap_remove(random.below(silent.len() as u64) as usize);
            peer.calling = Some(Calling { next_at: now, pause: Duration::ZERO });
        }
    }

    pub(crate) fn is_calling(&self) -> bool {
        self.linked.values().any(|peer| peer.calling.is_some())
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.linked.values().filter_map(|peer| peer.calling).map(|calling| calling.next_at).min()
    }

    /// Whom to call now; each is due again after a growing pause.
    pub(crate) fn pop_due(&mut self, now: Instant, config: &Config) -> Option<(Boot, Option<Address>)> {
        let due = |peer: &&mut Peer| peer.calling.is_some_and(|calling| calling.next_at <= now);
        let peer = self.linked.values_mut().find(due)?;
        let pause = peer.calling.map_or(Duration::ZERO, |calling| calling.pause * 2);
        let longest = config.announce_retry * Config::ANNOUNCE_BACKOFF_MAX;
        let pause = pause.clamp(config.announce_retry, longest);
        peer.calling = Some(Calling { next_at: now + pause, pause });
        Some((peer.boot.clone(), peer.address.clone()))
    }

    /// A random one of the peers that are fit.
    pub(crate) fn choose(&self, random: &mut Random, fit: impl Fn(&NodeId) -> bool) -> Option<NodeId> {
        let fit: Vec<&NodeId> = self.linked.keys().filter(|node| fit(node)).collect();
        let at = random.below(fit.len() as u64);
        fit.get(at as usize).map(|node| NodeId::clone(node))
    }

    /// Whether a full answer to this peer is in order; if so, it is noted.
    pub(crate) fn may_reply(&mut self, now: Instant, node: &NodeId) -> bool {
        let Some(peer) = self.linked.get_mut(node) else { return false };
        let recent = |at: Instant| now.saturating_duration_since(at) < REPLY_PERIOD_MIN;
        if peer.replied_at.is_some_and(recent) {
            return false;
        }
        peer.replied_at = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_base::Generation;

    fn boot(name: &str) -> Boot {
        Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(1) }
    }

    #[expect(clippy::disallowed_methods, reason = "an origin for manual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_peer_is_called_until_it_answers_and_ever_more_rarely() {
        let (start, config) = (origin(), Config::lan());
        let mut peers = Peers::default();
        assert!(peers.insert(start, boot("a"), None));
        let mut calls_ms = Vec::new();
        for _ in 0..7 {
            let at = peers.next_deadline().unwrap();
            calls_ms.push(at.duration_since(start).as_millis());
            assert!(peers.pop_due(at, &config).is_some());
            assert!(peers.pop_due(at, &config).is_none());
        }
        assert_eq!(calls_ms, [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500]);
        peers.fed(&boot("a").node);
        assert_eq!(peers.next_deadline(), None);
    }

    #[test]
    fn few_are_called_again_and_none_twice() {
        let (start, config) = (origin(), Config::lan());
        let mut peers = Peers::default();
        for name in ["a", "b", "c", "d", "e"] {
            peers.insert(start, boot(name), None);
            peers.fed(&boot(name).node);
        }
        peers.call_again(start, &mut Random::new(7));
        let mut called: Vec<Boot> =
            std::iter::from_fn(|| peers.pop_due(start, &config)).map(|(boot, _)| boot).collect();
        called.dedup();
        assert_eq!(called.len(), ANNOUNCE_AGAIN_MAX);
    }

    #[test]
    fn answers_are_rationed_and_peers_are_capped() {
        let start = origin();
        let mut peers = Peers::default();
        for n in 0..PEERS_MAX {
            assert!(peers.insert(start, boot(&format!("n{n}")), None));
        }
        assert!(!peers.insert(start, boot("one-more"), None));
        assert!(peers.insert(start, boot("n0"), None), "a known peer is replaced");
        let node = boot("n0").node;
        assert!(peers.may_reply(start, &node) && !peers.may_reply(start, &node));
        assert!(peers.may_reply(start + REPLY_PERIOD_MIN, &node));
        assert!(!peers.may_reply(start, &boot("one-more").node));
    }
}
