//! Why a link ends: the reason that one end gives, what both ends learn of it, and its form on the wire.
//!
//! A QUIC close carries a number and a few bytes. The numbers below are part of the wire format; those from
//! `0x10` to `0x1f` belong to the handshake (see `handshake/error.rs`).

use std::fmt;

/// The first close code of the handshake's own range.
pub(crate) const HANDSHAKE_CODE_FIRST: u64 = 0x10;
/// The last close code of the handshake's own range.
pub(crate) const HANDSHAKE_CODE_LAST: u64 = 0x1f;
/// Application codes are added to this, so that they never collide with ours.
const APPLICATION_CODE_BASE: u64 = 0x1_0000;

/// Why a node closes a link or its endpoint; the peer learns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// Nobody holds the link any more: its last handle and its last stream were dropped.
    Dropped,
    /// The node stops.
    Shutdown,
    /// Another link to the same peer is kept instead of this one.
    Duplicate,
    /// The peer broke the protocol, for example by a frame above its cap.
    Violation,
    /// The handshake was refused after one end believed it to be done.
    NotProven,
    /// The peer's host has said that nobody listens there any more, and no ping was answered. Who reads this lives.
    PresumedGone,
    /// A reason of the layer above.
    Application {
        /// The number that the layer above chose.
        code: u16,
        /// What went wrong, for people; cut to [`CloseReason::DETAIL_BYTES_MAX`] on the wire.
        detail: String,
    },
    /// A reason that this version does not know.
    Unknown {
        /// The number on the wire.
        code: u64,
    },
}

impl CloseReason {
    /// How many bytes of detail travel: a close must fit into one packet of the smallest size beside its headers.
    pub const DETAIL_BYTES_MAX: usize = 256;

    /// The number and the bytes that travel.
    pub(crate) fn encode(&self) -> (u32, &[u8]) {
        match self {
            Self::Dropped => (0, b""),
            Self::Shutdown => (1, b""),
            Self::Duplicate => (2, b""),
            Self::Violation => (3, b""),
            Self::PresumedGone => (4, b""),
            Self::NotProven => (0x1f, b""),
            Self::Application { code, detail } => {
                let cut = detail.floor_char_boundary(Self::DETAIL_BYTES_MAX);
                (APPLICATION_CODE_BASE as u32 + u32::from(*code), &detail.as_bytes()[..cut])
            }
            Self::Unknown { code } => (u32::try_from(*code).unwrap_or(u32::MAX), b""),
        }
    }

    /// The reason that a number and bytes from the peer name.
    pub(crate) fn decode(code: u64, detail: &[u8]) -> Self {
        match code {
            0 => Self::Dropped,
            1 => Self::Shutdown,
            2 => Self::Duplicate,
            3 => Self::Violation,
            4 => Self::PresumedGone,
            HANDSHAKE_CODE_FIRST..=HANDSHAKE_CODE_LAST => Self::NotProven,
            _ => match code.checked_sub(APPLICATION_CODE_BASE).map(u16::try_from) {
                Some(Ok(code)) => Self::Application { code, detail: readable(detail) },
                _ => Self::Unknown { code },
            },
        }
    }
}

/// Text from a peer, fit for a log: cut, and without control characters.
fn readable(detail: &[u8]) -> String {
    let cut = detail.get(..CloseReason::DETAIL_BYTES_MAX).unwrap_or(detail);
    String::from_utf8_lossy(cut).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped => f.write_str("nobody holds the link any more"),
            Self::Shutdown => f.write_str("the node stops"),
            Self::Duplicate => f.write_str("another link to the same peer is kept"),
            Self::Violation => f.write_str("the protocol was broken"),
            Self::NotProven => f.write_str("the handshake was refused"),
            Self::PresumedGone => f.write_str("the peer takes this process for dead: it answered no ping"),
            Self::Application { code, detail } => write!(f, "{detail} (code {code})"),
            Self::Unknown { code } => write!(f, "a reason of a later version (code {code:#x})"),
        }
    }
}

/// A link is gone; nothing that was sent and not answered is known to have arrived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkLost {
    /// This node closed it.
    #[error("the link was closed here: {0}")]
    ClosedHere(CloseReason),
    /// The peer closed it.
    #[error("the peer closed the link: {0}")]
    ClosedByPeer(CloseReason),
    /// Nothing was heard from the peer for the idle time.
    #[error("nothing was heard from the peer for the idle time; dial again")]
    TimedOut,
    /// The peer's host says that nobody listens there any more, and the peer has answered no ping since: its process
    /// is dead.
    #[error("the peer's host says that nobody listens there any more; dial again")]
    ProcessGone,
    /// The peer no longer knows the link: it has started anew.
    #[error("the peer has started anew and does not know this link; dial again")]
    Reset,
    /// The carrier failed below the link's own protocol.
    #[error("the carrier failed: {0}")]
    Carrier(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reasons_survive_the_wire() {
        let application = CloseReason::Application { code: 65_535, detail: "moved".into() };
        for reason in [
            CloseReason::Dropped,
            CloseReason::Shutdown,
            CloseReason::Duplicate,
            CloseReason::Violation,
            CloseReason::PresumedGone,
            CloseReason::NotProven,
            CloseReason::Unknown { code: 9 },
            application,
        ] {
            let (code, detail) = reason.encode();
            assert_eq!(CloseReason::decode(code.into(), detail), reason);
        }
    }

    proptest! {
        #[test]
        fn any_close_of_a_peer_is_readable(code: u64, detail: Vec<u8>) {
            let shown = CloseReason::decode(code, &detail).to_string();
            prop_assert!(!shown.contains(char::is_control));
        }

        #[test]
        fn long_details_are_cut_between_characters(detail in ".{0,400}") {
            let reason = CloseReason::Application { code: 1, detail: detail.clone() };
            let (_, bytes) = reason.encode();
            prop_assert!(bytes.len() <= CloseReason::DETAIL_BYTES_MAX);
            prop_assert!(detail.as_bytes().starts_with(bytes));
            prop_assert!(std::str::from_utf8(bytes).is_ok());
        }
    }
}
