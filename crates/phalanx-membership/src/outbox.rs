//! What waits to be sent, bounded: a caller that does not send must not make the node run out of memory.

use std::collections::VecDeque;

use bytes::Bytes;
use phalanx_base::NodeId;

/// How many datagrams wait. One input makes some dozens at most; beyond this they are stale, and the oldest go.
pub const DATAGRAMS_QUEUED_MAX: usize = 1_024;
/// How many bytes of sync messages wait: four of the largest, or one each of the usual size to 128 peers. Beyond this
/// the oldest go, and the next exchange makes up for them.
pub const SYNC_BYTES_QUEUED_MAX: usize = 4 * crate::SYNC_BYTES_MAX;

/// On which of the two ways between control nodes a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Small, quick, may be lost, repeated or overtaken. At most [`DATAGRAM_BYTES_MAX`](crate::DATAGRAM_BYTES_MAX).
    Datagram,
    /// Large, in order, whole or not at all. At most [`SYNC_BYTES_MAX`](crate::SYNC_BYTES_MAX).
    Sync,
}

/// A message to send. It is fine to drop it where there is no link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// To whom.
    pub to: NodeId,
    /// On which way.
    pub channel: Channel,
    /// What.
    pub payload: Bytes,
}

/// What waits to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    datagrams: VecDeque<(NodeId, Bytes)>,
    syncs: VecDeque<(NodeId, Bytes)>,
    sync_bytes: usize,
    dropped: u64,
}

impl Outbox {
    pub(crate) fn push_datagram(&mut self, to: NodeId, payload: Bytes) {
        self.datagrams.push_back((to, payload));
        if self.datagrams.len() > DATAGRAMS_QUEUED_MAX {
            self.datagrams.pop_front();
            self.dropped += 1;
        }
    }

    pub(crate) fn push_sync(&mut self, to: NodeId, payload: Bytes) {
        self.sync_bytes += payload.len();
        self.syncs.push_back((to, payload));
        while self.sync_bytes > SYNC_BYTES_QUEUED_MAX {
            self.pop_sync();
            self.dropped += 1;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Transmit> {
        if let Some((to, payload)) = self.datagrams.pop_front() {
            return Some(Transmit { to, channel: Channel::Datagram, payload });
        }
        self.pop_sync().map(|(to, payload)| Transmit { to, channel: Channel::Sync, payload })
    }

    /// How many messages were dropped because nobody polled.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn pop_sync(&mut self) -> Option<(NodeId, Bytes)> {
        let (to, payload) = self.syncs.pop_front()?;
        self.sync_bytes -= payload.len();
        Some((to, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    #[test]
    fn both_queues_stay_within_their_caps() {
        let mut outbox = Outbox::default();
        let large = Bytes::from(vec![0; crate::SYNC_BYTES_MAX]);
        (0..6).for_each(|_| outbox.push_sync(id("a"), large.clone()));
        (0..DATAGRAMS_QUEUED_MAX + 2).for_each(|_| outbox.push_datagram(id("b"), Bytes::from_static(b"x")));
        assert_eq!(outbox.dropped(), 4);
        let sent: Vec<Channel> =
            std::iter::from_fn(|| outbox.pop()).map(|transmit| transmit.channel).collect();
        assert_eq!(sent.iter().filter(|channel| **channel == Channel::Sync).count(), 4);
        assert_eq!(sent.len(), DATAGRAMS_QUEUED_MAX + 4);
        assert_eq!(outbox.sync_bytes, 0);
    }
}
