//! Short tasks: each is started, tells one event, which its control node hears, and is stopped.

use crate::Failure;
use crate::arguments::Arguments;
use crate::order::{Figures, Order};
use crate::peers::{Pair, Peer};
use crate::report::{Bar, Row, Unit, median};

/// How long one round takes, and how long both ends run before the first.
const ROUND_MS: u64 = 2_000;
const WARM_UP_MS: u64 = 700;

/// How many at one time.
const CONCURRENCY: usize = 64;

/// Cycles of one control node with one worker.
pub(super) fn tasks(arguments: &Arguments) -> Vec<Row> {
    let (unit, bar) = (Unit::CyclesPerSecond, Bar::ValueMin(5_000.0));
    vec![match measure(arguments.rounds) {
        Ok(found) => {
            let rates: Vec<f64> = found.iter().map(Figures::rate).collect();
            let cpu_us = median(found.iter().map(Figures::cpu_us_per_call)).unwrap_or_default();
            Row::alone("tasks", unit, bar, &rates).noting(format!("{cpu_us:.0} µs of CPU a cycle, both ends"))
        }
        Err(error) => Row::missing("tasks", "", unit, bar, &error.to_string()),
    }]
}

fn measure(rounds: usize) -> Result<Vec<Figures>, Failure> {
    let mut pair = Pair::start(Peer::Ours)?;
    let order = |duration_ms| Order::Cycles { concurrency: CONCURRENCY, duration_ms };
    pair.measure(&order(WARM_UP_MS))?;
    (0..rounds).map(|_| pair.measure(&order(ROUND_MS))).collect()
}
