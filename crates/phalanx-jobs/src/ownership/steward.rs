//! The control node's half: from who should act and what the proxy holds, the next step.
//!
//! The decision is a pure function of three facts, so that it can be read as a table and tested as one. A suspect
//! counts as alive: only a node that membership sees down is passed over, which [`Owners::acting`](super::Owners) does.

use super::Acting;

/// What a control node holds of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// No link to it.
    NoLink,
    /// A link, and no session under a fence.
    Link,
    /// A link on which the worker has been sent to its owner already.
    Redirected,
    /// A claim that has not been answered yet.
    Claiming,
    /// The present fence.
    Active,
    /// The present fence, while it is being given to the acting owner.
    Giving,
    /// The present fence, while it is being given to one that is not the acting owner any more.
    GivingAstray,
    /// The present fence, after an offer that cannot be taken back.
    Offered,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Ask the worker to accept this node.
    Claim,
    /// Tell the worker whom to ask.
    Redirect,
    /// Give the worker to its acting owner, when the pace allows.
    Give,
    /// Keep it after all.
    Keep,
}

/// Applies the plan to one worker at a time.
#[derive(Debug, Clone, Copy)]
pub struct Steward;

impl Steward {
    /// The next step. `acting` is who should host the proxy, `mine` whether that is this node, and `by_dialling`
    /// whether the worker reaches its owner by dialling it: a control node does not, since it has a link to each other
    /// one anyway.
    #[must_use]
    pub fn next(holding: Holding, acting: Option<&Acting>, mine: bool, by_dialling: bool) -> Step {
        use Holding::{Active, Claiming, Giving, GivingAstray, Link, NoLink, Offered, Redirected};
        match (holding, acting.is_some(), mine) {
            (GivingAstray, ..) => Step::Keep,
            // While nobody owns anything, what is there stays as it is.
            (_, false, _) | (NoLink | Claiming | Giving | Offered, ..) => Step::Wait,
            (Link | Redirected, true, true) => Step::Claim,
            (Link, true, false) if by_dialling => Step::Redirect,
            (Link | Redirected, true, false) | (Active, true, true) => Step::Wait,
            (Active, true, false) => Step::Give,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_base::{AddressList, NodeId};

    #[test]
    fn the_table() {
        let acting = Acting {
            node: NodeId::new("a").unwrap(),
            addresses: AddressList::default(),
            standbys: Vec::new(),
        };
        let next = |holding, mine, by_dialling| Steward::next(holding, Some(&acting), mine, by_dialling);
        assert_eq!(next(Holding::Link, true, true), Step::Claim);
        assert_eq!(next(Holding::Redirected, true, true), Step::Claim);
        assert_eq!(next(Holding::Link, false, true), Step::Redirect);
        assert_eq!(next(Holding::Link, false, false), Step::Wait);
        assert_eq!(next(Holding::Redirected, false, true), Step::Wait);
        assert_eq!(next(Holding::Active, false, true), Step::Give);
        assert_eq!(next(Holding::Active, true, true), Step::Wait);
        assert_eq!(next(Holding::Giving, false, true), Step::Wait);
        assert_eq!(next(Holding::GivingAstray, true, true), Step::Keep);
        assert_eq!(next(Holding::Offered, true, true), Step::Wait);
        assert_eq!(Steward::next(Holding::Active, None, false, true), Step::Wait);
        assert_eq!(Steward::next(Holding::GivingAstray, None, false, true), Step::Keep);
    }
}
