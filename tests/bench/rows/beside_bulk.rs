//! How long a small call takes while bulk goes to the same worker: no lane may wait for another.

use super::rounds::{Rounds, each, in_turn};
use crate::Failure;
use crate::arguments::Arguments;
use crate::order::Order;
use crate::peers::{Pair, Peer};
use crate::report::{Bar, Row, Unit, median};

/// How long one round takes: longer than the time between two heartbeats, so that one is sent beside bulk.
const ROUND_MS: u64 = 6_000;

/// What is sent to learn how fast bulk is alone, and how often.
const SOLO_BYTES: u64 = 256 << 20;
const SOLO_ROUNDS: usize = 3;

/// How fast bulk goes beside calls, of what it does alone; and how fast it must have been.
const PACE: f64 = 0.75;
const PACE_MIN: f64 = 0.7;

/// Beside a pair of QUIC that has a connection for each, and beside Erlang, which has one for both.
pub(super) fn calls_beside_bulk(arguments: &Arguments) -> Vec<Row> {
    let bars = [(Peer::Quinn, Bar::RatioMax(1.5)), (Peer::Erpc, Bar::RatioMax(0.05))];
    let named = bars.map(|(peer, bar)| (peer, bar, format!("calls_beside_bulk/{peer}")));
    let wanted = named.into_iter().filter(|(_, _, name)| arguments.wants(name));
    wanted.map(|(peer, bar, name)| row(&name, peer, bar, arguments.rounds)).collect()
}

fn row(name: &str, peer: Peer, bar: Bar, rounds: usize) -> Row {
    let (told, unit) = (peer.to_string(), Unit::Microseconds);
    match measure(peer, rounds) {
        Ok(Beside { rounds, solo }) => {
            let row = Row::compared(name, &told, unit, bar, &each(&rounds, |figures| figures.p99_us));
            let rates = each(&rounds, |figures| figures.bytes / figures.seconds);
            let ours = told_rate("ours", solo.0, median(rates.iter().map(|rates| rates.0)));
            let theirs = told_rate(&told, solo.1, median(rates.iter().map(|rates| rates.1)));
            row.spoilt(ours.1).spoilt(theirs.1).noting(ours.0).noting(theirs.0)
        }
        Err(error) => Row::missing(name, &told, unit, bar, &error.to_string()),
    }
}

/// What is to be known of a rate, and why it does not count, if so.
fn told_rate(whose: &str, solo: f64, rate: Option<f64>) -> (String, Option<String>) {
    let (rate, mebibyte) = (rate.unwrap_or(0.0), f64::from(1 << 20));
    let note = format!("bulk of {whose} at {:.0} of {:.0} MiB/s", rate / mebibyte, solo / mebibyte);
    let spoilt = (rate < PACE_MIN * solo).then(|| format!("bulk of {whose} was too slow to count"));
    (note, spoilt)
}

/// What was measured of ours and of the peer.
struct Beside {
    rounds: Rounds,
    /// How many bytes a second each has sent without calls beside them.
    solo: (f64, f64),
}

fn measure(peer: Peer, rounds: usize) -> Result<Beside, Failure> {
    let (mut ours, mut theirs) = (Pair::start(Peer::Ours)?, Pair::start(peer)?);
    let solo = (solo(&mut ours)?, solo(&mut theirs)?);
    // The rates are positive and far below what a u64 holds.
    let order = |solo: f64| Order::Beside { bytes_per_second: (PACE * solo) as u64, duration_ms: ROUND_MS };
    let orders = (order(solo.0), order(solo.1));
    let rounds = in_turn(rounds, || ours.measure(&orders.0), || theirs.measure(&orders.1))?;
    Ok(Beside { rounds, solo })
}

fn solo(pair: &mut Pair) -> Result<f64, Failure> {
    let order = Order::Bulk { bytes: SOLO_BYTES };
    // The first one warms up.
    pair.measure(&order)?;
    let rates: Result<Vec<f64>, Failure> = (0..SOLO_ROUNDS)
        .map(|_| pair.measure(&order).map(|figures| figures.bytes / figures.seconds))
        .collect();
    median(rates?).ok_or_else(|| "nothing was sent".into())
}
