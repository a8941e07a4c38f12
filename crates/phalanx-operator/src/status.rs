//! How a node is, in a form that outlives versions: values of the protocol, not of the library.

use std::net::SocketAddr;

use phalanx::{Address, Boot, NodeId, NodeStatus};
use serde::{Deserialize, Serialize};

/// How a node is, and how it sees its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The name of the cluster.
    pub cluster: String,
    /// The node's name and boot.
    pub node: Boot,
    /// Where its socket is bound.
    pub listen: SocketAddr,
    /// The version of the library that it was built with.
    pub version: String,
    /// Whether it serves.
    pub ready: bool,
    /// Why it does not serve, and what to do; or what it does.
    pub explanation: String,
    /// What only nodes of its role have.
    pub part: Part,
}

/// What only nodes of one role have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// A control node.
    Control(ControlStatus),
    /// A worker.
    Worker(WorkerStatus),
}

/// What a control node knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlStatus {
    /// The id of the cluster: the same for all nodes of the cluster, and nobody else's.
    pub cluster_id: String,
    /// How far the cluster has formed.
    pub formation: Formation,
    /// Whether the node sees more than half of the control nodes.
    pub majority: bool,
    /// Every control node that it knows, this one among them, in the order of their names.
    pub members: Vec<Member>,
    /// How many workers it hosts, its own one among them.
    pub hosted: u32,
    /// What each way to find control nodes has found last, in the order of the configuration.
    pub discovery: Vec<StrategyStatus>,
    /// The sockets that it dials, the first 256 of them.
    pub sockets: Vec<SocketStatus>,
}

/// What a worker knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// How it is.
    pub status: NodeStatus,
    /// The control node that hosts its proxy, if one does.
    pub owner: Option<NodeId>,
}

/// How far a cluster has formed, as one control node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Formation {
    /// It waits for others.
    Forming {
        /// How many control nodes it sees, itself among them.
        seen: u32,
        /// How many it waits for.
        expected: u32,
    },
    /// It serves, or has served.
    Formed,
    /// Too few came in time.
    GaveUp {
        /// How many control nodes it sees, itself among them.
        seen: u32,
        /// How many it waited for.
        expected: u32,
    },
}

/// A control node, as another one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name and the newest boot of it that is known.
    pub node: Boot,
    /// How it is.
    pub liveness: Liveness,
    /// How far it is in its life, if the roster names it.
    pub state: Option<MemberState>,
    /// Where it is reached, best first.
    pub addresses: Vec<Address>,
    /// How many shares of the workers it takes.
    pub weight: u16,
    /// Its failure zone; empty when it has none.
    pub zone: String,
}

/// Whether a control node answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Liveness {
    /// It does.
    Alive,
    /// It did not lately, and still counts as alive.
    Suspect,
    /// It did not for too long.
    Down,
    /// It said that it leaves.
    Left,
}

/// How far a control node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberState {
    /// It owns nothing yet.
    Joining,
    /// It owns its share.
    Active,
    /// It gives away what it owns.
    Draining,
    /// It has left, or was down for too long.
    Gone,
}

/// What one way to find control nodes has found last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyStatus {
    /// What it is called.
    pub name: String,
    /// How many sockets it found.
    pub found: u32,
    /// Why it failed last, if it did.
    pub error: Option<String>,
}

/// One socket that a node dials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketStatus {
    /// The socket.
    pub socket: SocketAddr,
    /// Who answered there last.
    pub node: Option<NodeId>,
    /// Why the last dial failed, if it did.
    pub error: Option<String>,
}

impl Liveness {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Left => "left",
        }
    }
}

impl MemberState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Gone => "gone",
        }
    }
}
