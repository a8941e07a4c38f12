//! Whether other control nodes went away together: then the way to them is lost rather than they are.
//!
//! A node that sees no more than half of the roster knows that it is cut off, and says so (`PartitionOccurred`). The larger side
//! of a partition cannot know: to it the others are silent, as if they had died. But machines seldom die by twos.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use phalanx_base::NodeId;
use phalanx_membership::Event as MemberEvent;
use tokio::time::Instant;

use crate::events::ClusterEvent;

/// Within which time control nodes go away together: as long as the detector takes to declare two of a cut down, one after
/// the other.
const WINDOW: Duration = Duration::from_secs(10);

/// How many must go away within it.
const AWAY_MIN: usize = 2;

/// Who is away, and what was told of it.
#[derive(Debug, Default)]
pub(crate) struct Severed {
    /// Who went down, and when, and is not back. As many as the roster has at most.
    down: BTreeMap<NodeId, Instant>,
    /// Who was told to be away, and is not back.
    told: BTreeSet<NodeId>,
}

impl Severed {
    /// What follows from an event of membership.
    pub(crate) fn handle(&mut self, now: Instant, event: &MemberEvent) -> Option<ClusterEvent> {
        match event {
            MemberEvent::Down(boot) => {
                self.down.insert(boot.node.clone(), now);
                self.suspect(now)
            }
            MemberEvent::Joined(member) => self.back(&member.boot.node),
            MemberEvent::Up(boot) | MemberEvent::Left(boot) | MemberEvent::Removed(boot) => {
                self.back(&boot.node)
            }
            _ => None,
        }
    }

    fn suspect(&mut self, now: Instant) -> Option<ClusterEvent> {
        let together = self.down.iter().filter(|(_, at)| now < **at + WINDOW).map(|(node, _)| node.clone());
        let together: BTreeSet<NodeId> = together.collect();
        if together.len() < AWAY_MIN && self.told.is_empty() {
            return None;
        }
        // Who follows soon belongs to what was told.
        let is_news = self.told.is_empty();
        self.told.extend(together);
        let away = self.told.iter().cloned().collect();
        is_news.then_some(ClusterEvent::PartitionSuspected { away })
    }

    fn back(&mut self, node: &NodeId) -> Option<ClusterEvent> {
        self.down.remove(node);
        let was_away = self.told.remove(node);
        (was_away && self.told.is_empty()).then_some(ClusterEvent::PartitionEnded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_base::{Boot, Generation};

    fn boot(name: &str) -> Boot {
        Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(1) }
    }

    fn down(name: &str) -> MemberEvent {
        MemberEvent::Down(boot(name))
    }

    #[tokio::test]
    async fn two_at_once_are_a_partition_until_both_are_back() {
        let (mut severed, now) = (Severed::default(), Instant::now());
        assert_eq!(severed.handle(now, &down("a")), None);
        let away = vec![boot("a").node, boot("b").node];
        let told = severed.handle(now + WINDOW / 2, &down("b"));
        assert_eq!(told, Some(ClusterEvent::PartitionSuspected { away }));
        assert_eq!(severed.handle(now + WINDOW / 2, &down("c")), None, "it is told once");
        assert_eq!(severed.handle(now, &MemberEvent::Up(boot("a"))), None);
        assert_eq!(severed.handle(now, &MemberEvent::Removed(boot("b"))), None);
        assert_eq!(severed.handle(now, &MemberEvent::Up(boot("c"))), Some(ClusterEvent::PartitionEnded));
        assert_eq!(severed.handle(now, &MemberEvent::Up(boot("c"))), None);
    }

    #[tokio::test]
    async fn one_after_the_other_are_crashes() {
        let (mut severed, now) = (Severed::default(), Instant::now());
        assert_eq!(severed.handle(now, &down("a")), None);
        assert_eq!(severed.handle(now + WINDOW, &down("b")), None);
        assert_eq!(severed.handle(now + WINDOW, &MemberEvent::Up(boot("b"))), None);
        assert_eq!(severed.handle(now + WINDOW + WINDOW, &down("b")), None, "the first is long gone");
    }
}
