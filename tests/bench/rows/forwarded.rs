//! What it costs to ask at a control node that does not host the worker: it asks the one that does.

use super::rounds::{Rounds, each, in_turn};
use crate::Failure;
use crate::arguments::Arguments;
use crate::order::{Figures, Order};
use crate::peers::Cluster;
use crate::report::{Bar, Row, Unit};

/// How long one round takes, and how long all nodes run before the first.
const ROUND_MS: u64 = 1_500;
const WARM_UP_MS: u64 = 700;

/// One caller for how long a call takes, many for how many there are.
const CONCURRENCY: [usize; 2] = [1, 64];

const BYTES: usize = 64;

/// The same worker, asked at another control node and at its own.
pub(super) fn calls_forwarded(arguments: &Arguments) -> Vec<Row> {
    let (latency, rate) = ("calls_forwarded/direct_p50", "calls_forwarded/direct_rate");
    let bars = (Bar::RatioMax(2.2), Bar::RatioMin(0.4));
    let units = (Unit::Microseconds, Unit::CallsPerSecond);
    match measure(arguments.rounds) {
        Ok([one, many]) => vec![
            Row::compared(latency, "direct", units.0, bars.0, &each(&one, |figures| figures.p50_us)),
            Row::compared(rate, "direct", units.1, bars.1, &each(&many, Figures::rate)),
        ],
        Err(error) => vec![
            Row::missing(latency, "direct", units.0, bars.0, &error.to_string()),
            Row::missing(rate, "direct", units.1, bars.1, &error.to_string()),
        ],
    }
}

fn measure(rounds: usize) -> Result<[Rounds; 2], Failure> {
    let mut cluster = Cluster::start(2, None)?;
    let (owner, other) = cluster.both_ways()?;
    let mut measured = [Rounds::new(), Rounds::new()];
    for (concurrency, found) in CONCURRENCY.into_iter().zip(&mut measured) {
        let order = |duration_ms| Order::Calls { concurrency, bytes: BYTES, duration_ms };
        other.ask(&order(WARM_UP_MS))?;
        owner.ask(&order(WARM_UP_MS))?;
        *found = in_turn(rounds, || other.ask(&order(ROUND_MS)), || owner.ask(&order(ROUND_MS)))?;
    }
    Ok(measured)
}
