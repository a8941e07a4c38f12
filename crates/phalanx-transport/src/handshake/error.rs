//! Why a handshake fails, and how a peer is told: a close code and a few bytes that let it make the same typed error.
//!
//! What is told before the proofs is told to a stranger by a stranger. So it holds nothing but what a hello holds, and
//! nothing that a node may act upon beyond giving up this dial: a refusal that makes a node take another generation
//! travels as a verdict, after both proofs.

use std::fmt;

use phalanx_base::{Generation, Role};
use serde::{Deserialize, Serialize};

use super::message::Hello;
use crate::trust::check_name;

/// The wire versions that a node speaks, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireRange {
    /// The lowest.
    pub min: u16,
    /// The highest.
    pub max: u16,
}

impl WireRange {
    /// What this version of the crate speaks.
    pub const SUPPORTED: Self = Self { min: 1, max: 1 };

    /// The highest version that both speak.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u16> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }
}

impl fmt::Display for WireRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)
    }
}

/// A message of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Who I am.
    Hello,
    /// That I am let in.
    Proof,
    /// Whether I take you.
    Verdict,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hello => "hello",
            Self::Proof => "proof",
            Self::Verdict => "verdict",
        })
    }
}

/// Why a node does not take a peer that has proved itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// A later boot of the same node is known.
    #[error("a later boot of this node is known (generation {known}): take a generation above it")]
    Stale {
        /// The generation that is known.
        known: Generation,
    },
    /// It has too much to do.
    #[error("the peer has too much to do: try another, or again later")]
    Busy,
    /// The peer is the node itself.
    #[error("the peer is this node itself")]
    Myself,
}

/// Why a handshake failed; no link came of it, and nothing that the peer sent beside it was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// A message could not be read.
    #[error("the peer's {expected} cannot be read")]
    Malformed {
        /// What should have come.
        expected: Step,
    },
    /// A message came out of order, or twice.
    #[error("the peer sent a {found} where a {expected} was due")]
    OutOfOrder {
        /// What should have come.
        expected: Step,
        /// What came.
        found: Step,
    },
    /// The peer could not read our messages, or found them out of order.
    #[error("the peer says that our handshake messages are invalid")]
    CalledInvalid,
    /// No wire version is common.
    #[error("no wire version in common: ours {ours}, the peer's {theirs}; upgrade the older node")]
    Version {
        /// What we speak.
        ours: WireRange,
        /// What the peer speaks.
        theirs: WireRange,
    },
    /// The peer belongs to a cluster with another name.
    #[error("the peer belongs to the cluster {theirs:?}, not to {ours:?}")]
    WrongCluster {
        /// The name of our cluster.
        ours: String,
        /// The name that the peer says.
        theirs: String,
    },
    /// The two nodes do not have the same secret.
    #[error("the two nodes do not have the same cluster secret")]
    WrongSecret,
    /// The node belongs to the cluster, but its credential does not allow the role that it claims.
    #[error("the credential does not allow the role {claimed} that was claimed with it")]
    RoleNotProven {
        /// The role that was claimed.
        claimed: Role,
    },
    /// Neither end is a control node.
    #[error("neither end is a control node: workers and operators dial control nodes only")]
    NoControl,
    /// The peer is this very boot of this very node.
    #[error("the peer is this node itself")]
    Myself,
    /// The handshake took too long.
    #[error("the handshake was not done in time")]
    TimedOut,
    /// Both have proved themselves, and the acceptor does not take the dialler.
    #[error(transparent)]
    Refused(Refusal),
}

impl HandshakeError {
    /// The close code that tells the peer, and the bytes beside it.
    pub(crate) fn encode(&self) -> (u32, Vec<u8>) {
        match self {
            Self::Malformed { .. } | Self::OutOfOrder { .. } | Self::CalledInvalid => (0x10, Vec::new()),
            Self::Version { ours, .. } => (0x11, [ours.min.to_le_bytes(), ours.max.to_le_bytes()].concat()),
            Self::WrongCluster { ours, .. } => (0x12, ours.clone().into_bytes()),
            Self::WrongSecret => (0x13, Vec::new()),
            Self::RoleNotProven { .. } => (0x14, Vec::new()),
            Self::NoControl => (0x15, Vec::new()),
            Self::Myself => (0x16, Vec::new()),
            Self::TimedOut => (0x17, Vec::new()),
            Self::Refused(_) => (0x18, Vec::new()),
        }
    }

    /// What a peer says by closing during the handshake, from our point of view. `None` for a code that is none of
    /// the handshake's; also for a refusal by verdict, which is never told by a close.
    pub(crate) fn decode(code: u64, detail: &[u8], local: &Hello) -> Option<Self> {
        Some(match (code, detail) {
            (0x10, _) => Self::CalledInvalid,
            (0x11, &[a, b, c, d]) => Self::Version {
                ours: local.wire,
                theirs: WireRange { min: u16::from_le_bytes([a, b]), max: u16::from_le_bytes([c, d]) },
            },
            (0x12, name) => Self::WrongCluster {
                ours: local.cluster.clone(),
                theirs: std::str::from_utf8(name).ok().filter(|name| check_name(name).is_ok())?.to_owned(),
            },
            (0x13, _) => Self::WrongSecret,
            (0x14, _) => Self::RoleNotProven { claimed: local.role },
            (0x15, _) => Self::NoControl,
            (0x16, _) => Self::Myself,
            (0x17, _) => Self::TimedOut,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{HANDSHAKE_CODE_FIRST, HANDSHAKE_CODE_LAST};
    use crate::handshake::message::tests::hello;
    use proptest::prelude::*;

    #[test]
    fn the_peer_learns_the_same_error() {
        let (ours, theirs) = (hello("media", "a", Role::Worker), hello("video", "b", Role::Control));
        let range = WireRange { min: 3, max: 4 };
        for (seen, told) in [
            (HandshakeError::Malformed { expected: Step::Hello }, HandshakeError::CalledInvalid),
            (
                HandshakeError::Version { ours: range, theirs: ours.wire },
                HandshakeError::Version { ours: ours.wire, theirs: range },
            ),
            (
                HandshakeError::WrongCluster { ours: theirs.cluster.clone(), theirs: ours.cluster.clone() },
                HandshakeError::WrongCluster { ours: "media".into(), theirs: "video".into() },
            ),
            (HandshakeError::WrongSecret, HandshakeError::WrongSecret),
            (
                HandshakeError::RoleNotProven { claimed: Role::Worker },
                HandshakeError::RoleNotProven { claimed: Role::Worker },
            ),
            (HandshakeError::NoControl, HandshakeError::NoControl),
            (HandshakeError::Myself, HandshakeError::Myself),
            (HandshakeError::TimedOut, HandshakeError::TimedOut),
        ] {
            let (code, detail) = seen.encode();
            assert!((HANDSHAKE_CODE_FIRST..HANDSHAKE_CODE_LAST).contains(&code.into()));
            assert_eq!(HandshakeError::decode(code.into(), &detail, &ours), Some(told));
        }
        let (code, detail) = HandshakeError::Refused(Refusal::Busy).encode();
        assert_eq!(HandshakeError::decode(code.into(), &detail, &ours), None, "only a verdict refuses");
    }

    proptest! {
        #[test]
        fn any_close_is_read_without_panic(code: u64, detail: Vec<u8>) {
            let _ = HandshakeError::decode(code, &detail, &hello("media", "a", Role::Worker));
        }

        #[test]
        fn the_highest_common_version_is_taken(a in 0_u16..6, b in 0_u16..6, c in 0_u16..6, d in 0_u16..6) {
            let (ours, theirs) = (WireRange { min: a, max: b }, WireRange { min: c, max: d });
            let spoken = |range: WireRange, v| (range.min..=range.max).contains(&v);
            let expected = (0..6).rev().find(|v| spoken(ours, *v) && spoken(theirs, *v));
            prop_assert_eq!(ours.common(theirs), expected);
            prop_assert_eq!(theirs.common(ours), expected);
        }
    }
}
