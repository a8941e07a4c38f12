//! A gibibyte from memory to memory, hashed at both ends, and found to be the same.

use super::rounds::{beside, each};
use crate::arguments::Arguments;
use crate::order::{Figures, Order};
use crate::peers::Peer;
use crate::report::{Bar, Row, Unit};

/// How much is sent, and how much before the first round.
const BYTES: u64 = 1 << 30;
const WARM_UP_BYTES: u64 = 128 << 20;

/// Beside TLS and QUIC.
pub(super) fn bulk_1gib(arguments: &Arguments) -> Vec<Row> {
    let bars = [(Peer::Tls, Bar::RatioMin(0.7)), (Peer::Quinn, Bar::RatioMin(0.9))];
    let named = bars.map(|(peer, bar)| (peer, bar, format!("bulk_1gib/{peer}")));
    named
        .into_iter()
        .filter(|(_, _, name)| arguments.wants(name))
        .map(|(peer, bar, name)| {
            let (told, unit) = (peer.to_string(), Unit::MebibytesPerSecond);
            let (warm_up, order) = (Order::Bulk { bytes: WARM_UP_BYTES }, Order::Bulk { bytes: BYTES });
            match beside(peer, arguments.rounds, &warm_up, &order) {
                Ok(rounds) => {
                    Row::compared(&name, &told, unit, bar, &each(&rounds, Figures::mebibytes_per_second))
                }
                Err(error) => Row::missing(&name, &told, unit, bar, &error.to_string()),
            }
        })
        .collect()
}
