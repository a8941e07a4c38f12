//! The worker's half: whom it accepts, and the fences it issues.
//!
//! At most one control node holds the present fence, because one worker decides alone and in order. Everything that
//! causes work carries the fence, so whoever lost it can cause nothing, whatever it still believes.

use std::time::Instant;

use phalanx_base::{Boot, Fence, NodeId, RosterVersion, planted};

use crate::config::OWNER_HELD_MIN;
use crate::session::LinkId;
use crate::wire::Attach;

/// The control node that holds the present fence.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Present {
    /// Which boot of which control node.
    pub control: Boot,
    /// Over which link.
    pub link: LinkId,
    /// How much of the roster it knew when it last spoke.
    pub roster: RosterVersion,
    /// Under which fence.
    pub fence: Fence,
    held_since: Instant,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The claimant holds the present fence now; the former holder, if any, is to stand down.
    Granted {
        /// The new fence.
        fence: Fence,
        /// Who held the one before.
        former: Option<Present>,
    },
    /// The present owner stays.
    Refused {
        /// Who that is.
        present: NodeId,
        /// The present fence.
        fence: Fence,
    },
}

/// Decides about claims. The root of the promise that a worker has at most one owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Arbiter {
    present: Option<Present>,
    issued: Fence,
}

impl Arbiter {
    /// The present owner.
    #[must_use]
    pub fn present(&self) -> Option<&Present> {
        self.present.as_ref()
    }

    /// Whether this link carries the present session under this fence.
    #[must_use]
    pub fn holds(&self, link: LinkId, fence: Fence) -> bool {
        self.present.as_ref().is_some_and(|present| present.link == link && present.fence == fence)
    }

    /// Judges a claim, and grants a fence if it wins. `given`: the claim bears the present owner's valid token.
    pub fn handle_attach(
        &mut self,
        now: Instant,
        link: LinkId,
        control: &Boot,
        attach: &Attach,
        given: bool,
    ) -> Verdict {
        if let Some(present) = &self.present
            && !given
            && !wins(now, present, link, control, attach)
        {
            return Verdict::Refused { present: present.control.node.clone(), fence: present.fence };
        }
        if !(planted!("equal-fence") && given) {
            self.issued = self.issued.max(attach.last_fence).next();
        }
        let fence = self.issued;
        let roster = attach.roster;
        let present = Present { control: control.clone(), link, roster, fence, held_since: now };
        Verdict::Granted { fence, former: self.present.replace(present) }
    }

    /// The owner has told how much of the roster it knows now.
    pub fn handle_beat(&mut self, link: LinkId, roster: RosterVersion) {
        if let Some(present) = self.present.as_mut().filter(|present| present.link == link) {
            present.roster = present.roster.max(roster);
        }
    }

    /// The link is lost, or its owner gave the worker up: says whether that was the present owner.
    pub fn handle_lost(&mut self, link: LinkId) -> bool {
        self.present.take_if(|present| present.link == link).is_some()
    }
}

/// Whether a claim wins over a live owner.
fn wins(now: Instant, present: &Present, link: LinkId, control: &Boot, attach: &Attach) -> bool {
    if present.control.node == control.node {
        return control.generation > present.control.generation
            || (control.generation == present.control.generation && link > present.link);
    }
    let greater = (attach.roster, &control.node) > (present.roster, &present.control.node);
    let settled = now.saturating_duration_since(present.held_since) >= OWNER_HELD_MIN;
    greater && settled && attach.sees_down.as_ref() == Some(&present.control.node)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use phalanx_base::Generation;
    use proptest::prelude::*;
    use std::time::Duration;

    fn boot(name: &str, generation: u64) -> Boot {
        Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(generation) }
    }

    fn attach(roster: u64, last_fence: u64, sees_down: Option<&str>) -> Attach {
        Attach {
            roster: RosterVersion(roster),
            last_fence: Fence(last_fence),
            sees_down: sees_down.map(|name| NodeId::new(name).unwrap()),
            handover_token: None,
            standbys: Vec::new(),
        }
    }

    fn granted(verdict: &Verdict) -> Option<Fence> {
        match verdict {
            Verdict::Granted { fence, .. } => Some(*fence),
            Verdict::Refused { .. } => None,
        }
    }

    #[test]
    fn an_orphan_takes_the_first_and_a_live_owner_stays() {
        let now = Instant::now();
        let mut arbiter = Arbiter::default();
        assert_eq!(
            granted(&arbiter.handle_attach(now, LinkId(1), &boot("a", 1), &attach(1, 41, None), false)),
            Some(Fence(42))
        );
        let later = now + OWNER_HELD_MIN;
        assert_eq!(
            granted(&arbiter.handle_attach(later, LinkId(2), &boot("b", 1), &attach(9, 0, None), false)),
            None
        );
        assert!(arbiter.handle_lost(LinkId(1)));
        let again = arbiter.handle_attach(later, LinkId(2), &boot("b", 1), &attach(1, 0, None), false);
        assert_eq!(granted(&again), Some(Fence(43)));
    }

    #[test]
    fn who_sees_the_owner_down_wins_only_with_more_knowledge_and_after_a_while() {
        let now = Instant::now();
        let mut arbiter = Arbiter::default();
        arbiter.handle_attach(now, LinkId(1), &boot("b", 1), &attach(5, 0, None), false);
        let settled = now + OWNER_HELD_MIN;
        let claim = |arbiter: &mut Arbiter, at, roster| {
            granted(&arbiter.handle_attach(
                at,
                LinkId(2),
                &boot("a", 1),
                &attach(roster, 0, Some("b")),
                false,
            ))
        };
        assert_eq!(claim(&mut arbiter, now, 6), None);
        assert_eq!(claim(&mut arbiter, settled, 5), None);
        assert_eq!(claim(&mut arbiter, settled, 6), Some(Fence(2)));
    }

    #[test]
    fn whom_the_owner_has_given_it_to_wins_at_once() {
        let now = Instant::now();
        let mut arbiter = Arbiter::default();
        arbiter.handle_attach(now, LinkId(1), &boot("a", 1), &attach(5, 0, None), false);
        let given = arbiter.handle_attach(now, LinkId(2), &boot("b", 1), &attach(1, 0, None), true);
        let Verdict::Granted { fence, former } = given else { panic!("{given:?}") };
        assert_eq!((fence, former.map(|former| former.fence)), (Fence(2), Some(Fence(1))));
    }

    #[test]
    fn the_same_owner_returns_on_a_newer_link_or_boot_only() {
        let now = Instant::now();
        let mut arbiter = Arbiter::default();
        arbiter.handle_attach(now, LinkId(5), &boot("a", 2), &attach(1, 0, None), false);
        let mut claim = |link, generation| {
            granted(&arbiter.handle_attach(
                now,
                LinkId(link),
                &boot("a", generation),
                &attach(1, 0, None),
                false,
            ))
        };
        assert_eq!(claim(4, 2), None);
        assert_eq!(claim(9, 1), None);
        assert_eq!(claim(6, 2), Some(Fence(2)));
        assert_eq!(claim(3, 3), Some(Fence(3)));
    }

    proptest! {
        /// Whatever is claimed and lost, no fence is issued twice, and each is above what the claimant knew.
        #[test]
        fn fences_grow(steps in prop::collection::vec((0u64..6, 0usize..3, 0u64..4, 0u64..50, 0u64..20, any::<bool>()), 1..60)) {
            let mut now = Instant::now();
            let (mut arbiter, mut last) = (Arbiter::default(), Fence(0));
            for (link, control, generation, roster, last_fence, lose) in steps {
                now += Duration::from_secs(roster % 7);
                if lose {
                    arbiter.handle_lost(LinkId(link));
                    continue;
                }
                let claimant = boot(["a", "b", "c"][control], generation);
                let down = arbiter.present().map(|present| present.control.node.to_string());
                let claim = attach(roster, last_fence, down.as_deref());
                if let Some(fence) = granted(&arbiter.handle_attach(now, LinkId(link), &claimant, &claim, false)) {
                    prop_assert!(fence > last && fence > Fence(last_fence));
                    prop_assert!(arbiter.holds(LinkId(link), fence));
                    last = fence;
                }
            }
        }
    }
}
