//! The present owner's half of a handover: from the decision to give a worker away to the word that it is gone.
//!
//! Make before break: while the receiver is being called the owner serves as before. Only when the receiver has a link to
//! the worker and asks does the owner fall quiet, and from its offer on it handles no event, so that the receiver begins
//! exactly where it has ended. Whatever goes wrong, it becomes the owner again, since it never stopped being it.

use std::time::{Duration, Instant};

use phalanx_base::NodeId;

/// How long each step of a handover may take: to be asked, to fall quiet, to be told to stand down.
pub const GIVING_STEP_MAX: Duration = Duration::from_secs(30);

/// How long after a failed handover the next try is made.
pub const GIVING_PAUSE: Duration = Duration::from_secs(10);

/// How far a handover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The worker has been told to link to the receiver, which has not asked yet.
    Calling,
    /// The receiver has asked; handlers still have events in hand.
    Quieting,
    /// The offer is out.
    Offered,
}

/// One handover, as the giver sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Giving {
    to: NodeId,
    stage: Stage,
    until: Instant,
}

impl Giving {
    /// The worker shall go to that control node.
    #[must_use]
    pub fn new(now: Instant, to: NodeId) -> Self {
        Self { to, stage: Stage::Calling, until: now + GIVING_STEP_MAX }
    }

    /// Who shall have it.
    #[must_use]
    pub fn to(&self) -> &NodeId {
        &self.to
    }

    /// How far it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// When the present step has had its time.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.until
    }

    /// A control node asks for the worker. Nothing happens unless it is the one that shall have it.
    pub fn handle_wanted(&mut self, now: Instant, by: &NodeId) {
        if *by == self.to && self.stage == Stage::Calling {
            (self.stage, self.until) = (Stage::Quieting, now + GIVING_STEP_MAX);
        }
    }

    /// No handler has anything in hand: says whether the offer is to be made now.
    pub fn handle_quiet(&mut self, now: Instant) -> bool {
        let ready = self.stage == Stage::Quieting;
        if ready {
            (self.stage, self.until) = (Stage::Offered, now + GIVING_STEP_MAX);
        }
        ready
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_quiet_for_the_receiver_and_offers_once() {
        let now = Instant::now();
        let node = |name| NodeId::new(name).unwrap();
        let mut giving = Giving::new(now, node("b"));
        assert!(!giving.handle_quiet(now), "nobody has asked");
        giving.handle_wanted(now, &node("c"));
        assert_eq!(giving.stage(), Stage::Calling);
        let later = now + Duration::from_secs(29);
        giving.handle_wanted(later, &node("b"));
        assert_eq!((giving.stage(), giving.until()), (Stage::Quieting, later + GIVING_STEP_MAX));
        assert!(giving.handle_quiet(later));
        assert!(!giving.handle_quiet(later));
        giving.handle_wanted(later, &node("b"));
        assert_eq!(giving.stage(), Stage::Offered);
    }
}
