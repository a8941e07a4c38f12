//! One state of the model: two control nodes, a worker, what is under way between them, and what has happened.
//!
//! A state must be equal to another one exactly when the same can follow. So numbers start at one with each boot, what
//! is known of the past is kept only where a promise speaks of it, and the cores are given instants that are steps of
//! one clock (see `worker` and `control`).

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use phalanx_base::{Boot, Fence, Generation, NodeId};
use phalanx_jobs::{Arbiter, Cursor, Giving};

use crate::network::{Link, Session, Word};
use crate::promises::History;
use crate::rules::{Budget, Rules};

/// The control nodes. The order of their names is theirs in the cores, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Node {
    A,
    B,
}

impl Node {
    pub(crate) const ALL: [Node; 2] = [Node::A, Node::B];

    pub(crate) fn other(self) -> Node {
        match self {
            Node::A => Node::B,
            Node::B => Node::A,
        }
    }

    pub(crate) fn id(self) -> &'static NodeId {
        static IDS: LazyLock<[NodeId; 2]> =
            LazyLock::new(|| ["a", "b"].map(|name| NodeId::new(name).expect("a letter is a name")));
        &IDS[self as usize]
    }

    pub(crate) fn of(id: &NodeId) -> Node {
        if id == Node::A.id() { Node::A } else { Node::B }
    }

    pub(crate) fn boot(self, number: u8) -> Boot {
        Boot { node: self.id().clone(), generation: Generation::from_u64(number.into()) }
    }
}

/// What a claim bears as the proof that the owner gave the worker away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token {
    pub(crate) generation: u8,
    pub(crate) fence: u8,
    pub(crate) receiver: Node,
    /// How far the worker's log is acknowledged. One log stands for all: the digest of many is equal where each is.
    pub(crate) cursor: u8,
}

/// An offer, without what the protocol itself does not look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Offer {
    pub(crate) number: u8,
    pub(crate) token: Token,
}

/// A claim, as it waits at the worker after it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClaimOf {
    pub(crate) roster: u8,
    pub(crate) last_fence: u8,
    pub(crate) sees_down: Option<Node>,
    pub(crate) token: Option<Token>,
}

/// How far a control node's claim is: the proxy's own states.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Claim {
    None,
    SentOn,
    Attaching { refused: bool },
    Active(u8),
    Giving(u8, Giving),
}

/// What a control node has of the worker's log. The real cursor, which only lacks a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Followed {
    pub(crate) cursor: Cursor,
    /// Through which number the handler has events in hand.
    pub(crate) in_hand: Option<u8>,
}

impl Hash for Followed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.cursor.received(), self.cursor.handled(), self.in_hand).hash(state);
    }
}

/// A control node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Control {
    pub(crate) up: bool,
    pub(crate) boot: u8,
    /// Whether it knows that the ring has changed: with that it knows more of the roster.
    pub(crate) knows_change: bool,
    pub(crate) sees_other_down: bool,
    pub(crate) link: Option<u8>,
    pub(crate) session: Session,
    pub(crate) claim: Claim,
    /// The boot of the worker whose log is followed; 0 before the first.
    pub(crate) generation: u8,
    pub(crate) last_fence: u8,
    pub(crate) refused_for: Option<Node>,
    pub(crate) offer: Option<Offer>,
    /// The last offer that was declined, and the last that was taken, by boot of the worker, fence and number.
    pub(crate) declined: Option<(u8, u8, u8)>,
    pub(crate) taken: Option<(u8, u8, u8)>,
    pub(crate) is_wanted: bool,
    pub(crate) offers: u8,
    pub(crate) is_resting: bool,
    pub(crate) followed: Followed,
}

impl Control {
    pub(crate) fn started(boot: u8, knows_change: bool) -> Self {
        Self {
            up: true,
            boot,
            knows_change,
            sees_other_down: false,
            link: None,
            session: Session::default(),
            claim: Claim::None,
            generation: 0,
            last_fence: 0,
            refused_for: None,
            offer: None,
            declined: None,
            taken: None,
            is_wanted: false,
            offers: 0,
            is_resting: false,
            followed: Followed::default(),
        }
    }

    /// The fence that it believes to hold.
    pub(crate) fn fence(&self) -> Option<u8> {
        match self.claim {
            Claim::Active(fence) | Claim::Giving(fence, _) => Some(fence),
            Claim::None | Claim::SentOn | Claim::Attaching { .. } => None,
        }
    }

    pub(crate) fn roster(&self) -> u8 {
        1 + u8::from(self.knows_change)
    }
}

/// The worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub(crate) generation: u8,
    pub(crate) arbiter: Arbiter,
    /// How often an owner's time of safety has passed since the start: the arbiter's clock.
    pub(crate) safe_times: u8,
    /// Whether the present owner's time of safety has passed.
    pub(crate) is_settled: bool,
    pub(crate) refused: BTreeMap<u8, ClaimOf>,
    /// Whom to link to beside the present owner.
    pub(crate) redirected: Option<Node>,
    pub(crate) is_flowing: bool,
    pub(crate) acked: u8,
    pub(crate) sent: u8,
}

impl Worker {
    pub(crate) fn started(generation: u8) -> Self {
        Self {
            generation,
            arbiter: Arbiter::default(),
            safe_times: 0,
            is_settled: false,
            refused: BTreeMap::new(),
            redirected: None,
            is_flowing: false,
            acked: 0,
            sent: 0,
        }
    }

    /// The present owner, its boot, link and fence.
    pub(crate) fn present(&self) -> Option<(Node, u8, u8, u8)> {
        self.arbiter.present().map(|present| {
            let boot = small(present.control.generation.as_u64());
            (Node::of(&present.control.node), boot, small(present.link.0), number(present.fence))
        })
    }
}

/// A state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) controls: [Control; 2],
    pub(crate) worker: Worker,
    pub(crate) links: Vec<Link>,
    /// How many links there were to each control node.
    pub(crate) links_opened: [u8; 2],
    /// What control nodes say to each other. Any may arrive next: they keep no order.
    pub(crate) words: BTreeSet<Word>,
    pub(crate) budget: Budget,
    pub(crate) history: History,
}

impl World {
    /// Nobody has a link to the worker.
    pub(crate) fn new(rules: &Rules) -> Self {
        Self {
            controls: Node::ALL.map(|_| Control::started(1, false)),
            worker: Worker::started(1),
            links: Vec::new(),
            links_opened: [0, 0],
            words: BTreeSet::new(),
            budget: rules.budget,
            history: History::new(),
        }
    }

    pub(crate) fn control(&self, node: Node) -> &Control {
        &self.controls[node as usize]
    }

    pub(crate) fn link(&self, number: u8) -> Option<&Link> {
        self.links.iter().find(|link| link.number == number)
    }

    /// Who should act, as a control node sees it.
    pub(crate) fn acting(&self, rules: &Rules, node: Node) -> Node {
        let control = self.control(node);
        let owner = if control.knows_change { rules.owner.other() } else { rules.owner };
        if owner != node && control.sees_other_down { node } else { owner }
    }

    /// Who should act, as somebody sees it who knows everything; `None` while no control node is up.
    pub(crate) fn acting_in_truth(&self, rules: &Rules) -> Option<Node> {
        let has_changed = self.controls.iter().any(|control| control.knows_change);
        let owner = if has_changed { rules.owner.other() } else { rules.owner };
        [owner, owner.other()].into_iter().find(|node| self.control(*node).up)
    }
}

/// A number of the cores as the model keeps it: budgets keep all of them small.
pub(crate) fn small(number: u64) -> u8 {
    u8::try_from(number).expect("the budgets allow for few boots, links and fences")
}

pub(crate) fn number(fence: Fence) -> u8 {
    small(fence.0)
}
