//! Who is written as gone or removed by others: after a time, or by an operator's wish.

use std::time::Instant;

use phalanx_base::NodeId;

use super::{Membership, Phase};
use crate::record::Standing;

/// Why a node was not removed. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoveError {
    /// The roster has no such node.
    #[error("no control node {node} is known: check its name")]
    Unknown {
        /// Which one.
        node: NodeId,
    },
    /// A node does not remove itself.
    #[error("a node does not remove itself: let it leave")]
    Own,
    /// This node sees no more than half of the roster, so the others may know better.
    #[error("this node sees no majority of the control nodes: ask one that does")]
    Minority,
    /// This node leaves, or has left.
    #[error("this node leaves the cluster: ask another one")]
    Leaving,
}

impl Membership {
    /// Removes another node for good: majorities count it no more, and this boot of it never comes back. Should it run,
    /// it is told and [leaves](crate::Event::Expelled); started anew it is welcome. Removing it again changes nothing.
    ///
    /// # Errors
    /// [`RemoveError`]; nothing was changed.
    pub fn remove(&mut self, now: Instant, node: &NodeId) -> Result<(), RemoveError> {
        if self.phase != Phase::Present {
            return Err(RemoveError::Leaving);
        }
        if *node == self.boot.node {
            return Err(RemoveError::Own);
        }
        if self.roster.record(node).is_none() {
            return Err(RemoveError::Unknown { node: node.clone() });
        }
        if !self.has_majority() {
            return Err(RemoveError::Minority);
        }
        if let Some(record) = self.roster.bury(node, Standing::Removed).cloned() {
            self.roster_changed = true;
            // Also to the node itself, while it still has a link.
            self.tell_peers(record.clone());
            self.spread(now, record.clone());
            self.detector.handle_left(now, node, record.generation());
            self.settle(now);
        }
        Ok(())
    }

    /// Writes who has been missing for long as gone, and for very long as removed, if this node sees a majority. Every
    /// node that does so writes the same record, so that the roster changes once.
    pub(super) fn give_up_missing(&mut self, now: Instant) {
        let (gone_after, autoclean_after) = (self.config.gone_after, self.config.autoclean_after);
        let mut written = Vec::new();
        let overdue = self.observations.overdue(now, gone_after.min(autoclean_after));
        if !overdue.is_empty() && self.has_majority() {
            let cleaned = self.observations.overdue(now, autoclean_after);
            written.extend(overdue.iter().filter_map(|node| self.roster.give_up(node).cloned()));
            let buried = cleaned.iter().filter_map(|node| self.roster.bury(node, Standing::Cleaned).cloned());
            written.extend(buried);
        }
        if !written.is_empty() {
            written.into_iter().for_each(|record| self.spread(now, record));
            self.roster_changed = true;
            self.observations.refresh_missing(now, &self.roster);
            self.revision += 1;
        }
        self.give_up_at = self.observations.next_overdue(now, [gone_after, autoclean_after]);
    }
}
