//! What a program holds of a running membership.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use phalanx_base::NodeId;

use crate::{ClusterView, Event, RemoveError};

/// What a handle asks of the driver.
#[derive(Debug)]
pub(super) enum Wish {
    Activate,
    Drain,
    /// Answered when the node has left.
    Leave(oneshot::Sender<()>),
    /// Answered at once.
    Remove(NodeId, oneshot::Sender<Result<(), RemoveError>>),
}

/// A running membership. Cheap to clone.
///
/// Dropping it, even the last clone, stops nothing: a node does not vanish from the cluster because nobody asks. The
/// membership ends with [`leave`](Self::leave) or with its socket.
#[derive(Debug, Clone)]
pub struct MembershipHandle {
    pub(super) wishes: mpsc::Sender<Wish>,
    pub(super) view: watch::Receiver<Arc<ClusterView>>,
    pub(super) events: broadcast::WeakSender<Event>,
}

/// The driver has ended, or was dropped. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the membership has stopped: start a new one to be a member again")]
pub struct Stopped;

/// Why [`MembershipHandle::remove`] did not remove a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoveFailed {
    /// There is no membership any more. Nothing was changed, unless it ended just after it had removed the node.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The membership refused. Nothing was changed.
    #[error(transparent)]
    Refused(#[from] RemoveError),
}

impl MembershipHandle {
    /// The cluster as it is now, with notice of every change. Intermediate states may be skipped.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.view.clone()
    }

    /// Every event from now on; a reader that is too slow is told how many it [missed](Event::Missed).
    #[must_use]
    pub fn subscribe(&self) -> Events {
        Events { receiver: self.events.upgrade().map(|events| events.subscribe()) }
    }

    /// The node is ready to own partitions: its roster state goes from `Joining` to `Active`.
    ///
    /// Cancellation safe: once polled to the end the wish is queued, before that it is not.
    ///
    /// # Errors
    /// [`Stopped`] where there is no membership any more.
    pub async fn activate(&self) -> Result<(), Stopped> {
        self.wishes.send(Wish::Activate).await.map_err(|_| Stopped)
    }

    /// The node wants to hand over what it owns: its roster state becomes `Draining`.
    ///
    /// Cancellation safe, as [`activate`](Self::activate).
    ///
    /// # Errors
    /// [`Stopped`] where there is no membership any more.
    pub async fn drain(&self) -> Result<(), Stopped> {
        self.wishes.send(Wish::Drain).await.map_err(|_| Stopped)
    }

    /// Removes another control node for good: majorities count it no more, and this boot of it never comes back. Should
    /// it run, it leaves; started anew it is welcome. Returns when this node has written that, before all know it.
    ///
    /// Where the future is dropped the node may be removed all the same.
    ///
    /// # Errors
    /// [`RemoveFailed`] where this node cannot remove it, or there is no membership any more.
    pub async fn remove(&self, node: NodeId) -> Result<(), RemoveFailed> {
        let (answer, answered) = oneshot::channel();
        self.wishes.send(Wish::Remove(node, answer)).await.map_err(|_| Stopped)?;
        Ok(answered.await.map_err(|_| Stopped)??)
    }

    /// Leaves the cluster; returns when it was told a few times, after four gossip periods at most. The driver then
    /// ends.
    ///
    /// Where the future is dropped the node may leave all the same.
    ///
    /// # Errors
    /// [`Stopped`] where there was no membership any more.
    pub async fn leave(&self) -> Result<(), Stopped> {
        let (left, has_left) = oneshot::channel();
        self.wishes.send(Wish::Leave(left)).await.map_err(|_| Stopped)?;
        has_left.await.map_err(|_| Stopped)
    }
}

/// The events of a running membership.
#[derive(Debug)]
pub struct Events {
    receiver: Option<broadcast::Receiver<Event>>,
}

impl Events {
    /// The next event; `None` once the membership has stopped.
    ///
    /// Cancellation safe: no event is lost where the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.as_mut()?.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
