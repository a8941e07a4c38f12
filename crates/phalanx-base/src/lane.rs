//! Classes of streams on a link.

use serde::{Deserialize, Serialize};

/// A class of streams on a link, each with a priority of its own, so that the large never delays the small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// Heartbeats, status, fences and acks: one bidirectional stream.
    Control,
    /// Small requests, commands and their outcomes: a few framed streams.
    Request,
    /// Events from worker to control, in order.
    Event,
    /// Large transfers: a stream each.
    Bulk,
}

impl Lane {
    /// All lanes, most urgent first.
    pub const ALL: [Lane; 4] = [Lane::Control, Lane::Request, Lane::Event, Lane::Bulk];

    /// The byte that names this lane on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Lane::Control => 1,
            Lane::Request => 2,
            Lane::Event => 3,
            Lane::Bulk => 4,
        }
    }

    /// The lane that a byte names, or `None` for a byte that names none.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_name_lanes_and_nothing_else() {
        for code in 0..=u8::MAX {
            assert_eq!(Lane::from_code(code).map(Lane::code), (1..=4).contains(&code).then_some(code));
        }
    }
}
