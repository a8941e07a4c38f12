//! Who hosts a worker's proxy: the worker arbitrates, the control nodes claim.
//!
//! The worker's half is the [`Arbiter`], which issues fences and nothing else does, and the [`Finder`], which looks for
//! an owner. The control node's half is the [`Steward`]: from who should act and what the proxy holds it says the next
//! step. A worker that shall move is given away ([`Giving`]) at a pace ([`Pacer`]). Owners themselves come from outside, through [`Owners`], since placement is no business of this crate.

mod arbiter;
mod directory;
mod finder;
mod giving;
mod pacer;
mod steward;

pub use arbiter::{Arbiter, Present, Verdict};
pub use directory::{Directory, NoDirectory};
pub use finder::{Finder, FinderConfig, Target};
pub use giving::{GIVING_PAUSE, GIVING_STEP_MAX, Giving, Stage};
pub use pacer::{MOVES_IN_FLIGHT_MAX, MOVES_PER_SECOND, Pacer};
pub use steward::{Holding, Step, Steward};

use phalanx_base::{AddressList, NodeId, RosterVersion};

use crate::wire::Standby;

/// Who should host a worker's proxy now, as the asked control node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acting {
    /// The acting owner.
    pub node: NodeId,
    /// Where it is reached.
    pub addresses: AddressList,
    /// Who takes over if it is lost, best first.
    pub standbys: Vec<Standby>,
}

impl Acting {
    /// The owner as it is named to a worker.
    #[must_use]
    pub fn as_standby(&self) -> Standby {
        Standby { node: self.node.clone(), addresses: self.addresses.clone() }
    }

    /// Whom a worker dials when its link is lost, best first: the owner, then the standbys.
    #[must_use]
    pub fn to_dial(&self) -> Vec<Standby> {
        std::iter::once(self.as_standby()).chain(self.standbys.iter().cloned()).collect()
    }
}

/// The answers of placement and membership: an immutable view that is replaced when either changes.
pub trait Owners: Send + Sync + 'static {
    /// Who should host the proxy of `worker`; `None` while no control node owns anything.
    fn acting(&self, worker: &NodeId) -> Option<Acting>;
    /// Whether this is the control node that asks.
    fn is_me(&self, control: &NodeId) -> bool;
    /// Whether membership sees this control node down.
    fn is_down(&self, control: &NodeId) -> bool;
    /// Every control node that may host a worker, this one among them: all that have neither left nor been given up,
    /// whether they are seen alive or not.
    fn controls(&self) -> Vec<NodeId>;
    /// How much of the roster the view knows.
    fn roster(&self) -> RosterVersion;
    /// Whether workers may be given away: not while this node sees at most half of the roster, since the other half may
    /// see it otherwise.
    fn may_give(&self) -> bool {
        true
    }
    /// Whether this node is about to leave, so that it gives away all it has without waiting for the roster to settle.
    fn is_leaving(&self) -> bool {
        false
    }
}
