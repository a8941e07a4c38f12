//! What a look-up finds: sockets to dial, and the addresses that they stand for.

use std::net::SocketAddr;

use phalanx_base::Address;

/// A socket that may belong to a control node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Candidate {
    /// The address as it was given, for messages to people and for its parameters.
    pub address: Address,
    /// The socket to dial.
    pub socket: SocketAddr,
}

/// Candidates in the order in which to dial them, without repeats: no two have the same socket and transport.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidates(Vec<Candidate>);

impl Candidates {
    /// The greatest number of candidates: four sockets for each of 128 control nodes. What answers a look-up
    /// may be wrong or hostile, and each candidate costs an attempt to dial.
    pub const LENGTH_MAX: usize = 512;

    /// Adds a candidate at the end and says whether it did: not where it repeats another one or where there are
    /// [`Candidates::LENGTH_MAX`] already.
    pub fn add(&mut self, candidate: Candidate) -> bool {
        let way = |candidate: &Candidate| (candidate.socket, candidate.address.transport());
        let repeats = self.0.iter().any(|known| way(known) == way(&candidate));
        let takes = !repeats && self.0.len() < Self::LENGTH_MAX;
        if takes {
            self.0.push(candidate);
        }
        takes
    }

    /// The candidates, in the order in which to dial them.
    pub fn iter(&self) -> std::slice::Iter<'_, Candidate> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Extend<Candidate> for Candidates {
    fn extend<I: IntoIterator<Item = Candidate>>(&mut self, candidates: I) {
        for candidate in candidates {
            self.add(candidate);
        }
    }
}

impl FromIterator<Candidate> for Candidates {
    /// Keeps the first [`Candidates::LENGTH_MAX`] that do not repeat.
    fn from_iter<I: IntoIterator<Item = Candidate>>(candidates: I) -> Self {
        let mut found = Self::default();
        found.extend(candidates);
        found
    }
}

impl IntoIterator for Candidates {
    type Item = Candidate;
    type IntoIter = std::vec::IntoIter<Candidate>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Candidates {
    type Item = &'a Candidate;
    type IntoIter = std::slice::Iter<'a, Candidate>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_base::TransportKind;

    #[test]
    fn candidates_keep_their_order_their_cap_and_no_repeat() {
        let candidate = |port| {
            let socket = SocketAddr::from(([10, 0, 0, 1], port));
            Candidate { address: socket.into(), socket }
        };
        let found: Candidates = [3, 1, 3, 2, 1].map(candidate).into_iter().collect();
        assert_eq!(found.iter().map(|found| found.socket.port()).collect::<Vec<_>>(), [3, 1, 2]);
        let mut quic = candidate(3);
        quic.address = quic.address.with_transport(TransportKind::Quic);
        assert!(found.clone().into_iter().chain([quic]).collect::<Candidates>().len() == 4);
        let mut full: Candidates = (0..1_000).map(candidate).collect();
        assert_eq!(full.len(), Candidates::LENGTH_MAX);
        assert!(!full.add(candidate(u16::MAX)));
    }
}
