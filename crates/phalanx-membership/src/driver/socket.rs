//! The seam between membership and whatever carries its messages.

use std::future::Future;

use bytes::Bytes;
use phalanx_base::{Address, Boot, NodeId};

use crate::{Channel, LinkLoss};

/// Carries messages between control nodes over links that know who the peer is.
pub trait DatagramSocket: Send + Sync + 'static {
    /// Sends without waiting, as well as it can: a message to a node without a link, or for which there is no room, is
    /// dropped. A [`Channel::Datagram`] may be lost on its way; on [`Channel::Sync`] messages arrive whole and in
    /// order, or the link is lost.
    fn send(&self, to: &NodeId, channel: Channel, payload: Bytes);

    /// The next thing that comes in; `None` once the socket is closed, which ends the driver.
    ///
    /// Must be cancellation safe: the driver drops the future whenever something else happens first.
    fn recv(&self) -> impl Future<Output = Option<Incoming>> + Send;
}

/// What comes in from the links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A message on [`Channel::Datagram`].
    Datagram {
        /// Whom the link has authenticated as the sender.
        from: NodeId,
        /// The message.
        bytes: Bytes,
    },
    /// A message on [`Channel::Sync`].
    Sync {
        /// Whom the link has authenticated as the sender.
        from: NodeId,
        /// The message.
        bytes: Bytes,
    },
    /// A link to a control node exists now.
    Reachable {
        /// Which node, and which boot of it.
        peer: Boot,
        /// Where it is reached, if that is known.
        address: Option<Address>,
    },
    /// The link to a node is lost.
    Unreachable {
        /// Which node.
        node: NodeId,
        /// What is known of the reason.
        cause: LinkLoss,
    },
}
