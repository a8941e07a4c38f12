//! Which transports a dial tries, and in which order. No I/O and no clock.
//!
//! QUIC comes first, always. Where it did not get through and another transport did, that one comes first for a while: else
//! each dial in a network without UDP would wait for QUIC.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use phalanx_base::TransportKind;
use tokio::time::Instant;

/// For how long a transport other than QUIC comes first where it was the one that got through: then QUIC is tried again.
const KEPT: Duration = Duration::from_secs(600);
/// How many peers are remembered: several times as many as a node dials. Beyond that the one forgotten next is forgotten now.
const PATHS_MAX: usize = 4096;

/// What got through to whom.
#[derive(Debug, Default)]
pub(super) struct Paths(BTreeMap<SocketAddr, Path>);

#[derive(Debug, Clone, Copy)]
struct Path {
    kind: TransportKind,
    until: Instant,
}

impl Paths {
    /// Every transport, in the order in which they are to be tried.
    pub(super) fn order(&self, now: Instant, address: SocketAddr) -> Vec<TransportKind> {
        let mut order = TransportKind::ALL.to_vec();
        if let Some(path) = self.0.get(&address).filter(|path| now < path.until) {
            // Stable: the others stay as they were.
            order.sort_by_key(|kind| *kind != path.kind);
        }
        order
    }

    /// A transport has led to a link.
    pub(super) fn proven(&mut self, now: Instant, address: SocketAddr, kind: TransportKind) {
        if kind == TransportKind::Quic {
            self.0.remove(&address);
            return;
        }
        if self.0.len() >= PATHS_MAX && !self.0.contains_key(&address) {
            let next = self.0.iter().min_by_key(|(_, path)| path.until).map(|(address, _)| *address);
            next.and_then(|next| self.0.remove(&next));
        }
        let path = Path { kind, until: now + KEPT };
        match self.0.get_mut(&address) {
            // Not prolonged, so that QUIC has its turn though the peer is dialled often.
            Some(present) if present.kind == kind && now < present.until => {}
            Some(present) => *present = path,
            None => drop(self.0.insert(address, path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TransportKind::{Quic, Tls, WebSocket};

    fn address(n: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 7000))
    }

    #[test]
    fn what_got_through_comes_first_for_a_while() {
        let (start, mut paths) = (Instant::now(), Paths::default());
        assert_eq!(paths.order(start, address(1)), [Quic, Tls, WebSocket]);
        paths.proven(start, address(1), WebSocket);
        assert_eq!(paths.order(start, address(1)), [WebSocket, Quic, Tls]);
        assert_eq!(paths.order(start, address(2)), [Quic, Tls, WebSocket], "of this peer only");
        let later = start + KEPT - Duration::from_secs(1);
        paths.proven(later, address(1), WebSocket);
        assert_eq!(paths.order(later, address(1)), [WebSocket, Quic, Tls]);
        assert_eq!(paths.order(start + KEPT, address(1)), [Quic, Tls, WebSocket]);
        paths.proven(start + KEPT, address(1), Tls);
        paths.proven(start + KEPT, address(1), Quic);
        assert_eq!(paths.order(start + KEPT, address(1)), [Quic, Tls, WebSocket]);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes() {
        let (start, mut paths) = (Instant::now(), Paths::default());
        for n in 0..PATHS_MAX + 10 {
            paths.proven(start + Duration::from_millis(n as u64), address(n), Tls);
        }
        assert_eq!(paths.0.len(), PATHS_MAX);
        let now = start + Duration::from_secs(10);
        assert_eq!(paths.order(now, address(9))[0], Quic);
        assert_eq!(paths.order(now, address(10))[0], Tls);
    }
}
