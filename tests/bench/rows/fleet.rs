//! Ten thousand workers: how soon they are there, what they cost while they have nothing to do, and what becomes of them when a
//! control node is killed.

use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

use crate::Failure;
use crate::arguments::Arguments;
use crate::order::Order;
use crate::peers::Fleet;
use crate::report::{Bar, Row, Unit};

const CONTROLS: usize = 4;
const WORKERS: usize = 10_000;
const REATTACHING: usize = 1_000;

/// What comes with the begin is over by then: handovers, once the cluster has been at rest for ten seconds.
const SETTLE: Duration = Duration::from_secs(30);

/// How long they are watched at rest: four reports of each.
const REST: Duration = Duration::from_secs(20);

/// How long somebody calls them all in turn, and how long when a control node is killed meanwhile.
const QUIET_MS: u64 = 10_000;
const KILLED_MS: u64 = 30_000;

/// From nothing to ready, at rest, and again.
pub(super) fn workers_10k(_: &Arguments) -> Vec<Row> {
    let kinds = [
        ("workers_10k/ready", Unit::Milliseconds, Bar::ValueMax(40_000.0)),
        ("workers_10k/memory", Unit::KilobytesPerWorker, Bar::ValueMax(64.0)),
        ("workers_10k/rest", Unit::PercentOfACore, Bar::ValueMax(15.0)),
        ("workers_10k/reattach_1000", Unit::Milliseconds, Bar::ValueMax(3_000.0)),
    ];
    match measure() {
        Ok(values) => std::iter::zip(kinds, values)
            .map(|((name, unit, bar), value)| Row::alone(name, unit, bar, &[value]))
            .collect(),
        Err(error) => kinds
            .iter()
            .map(|(name, unit, bar)| Row::missing(name, "", *unit, *bar, &error.to_string()))
            .collect(),
    }
}

fn measure() -> Result<[f64; 4], Failure> {
    let mut fleet = Fleet::start(CONTROLS)?;
    let memory_before = fleet.memory_bytes();
    let ready_ms = fleet.attach(WORKERS)? * 1e3;
    sleep(SETTLE);
    let memory_kb = (fleet.memory_bytes() - memory_before) / WORKERS as f64 / 1e3;
    let (begin, cpu_before) = (Instant::now(), fleet.cpu_us());
    sleep(REST);
    let rest_percent = (fleet.cpu_us() - cpu_before) / begin.elapsed().as_secs_f64() / 1e4;
    let reattach_ms = fleet.reattach(REATTACHING)? * 1e3;
    Ok([ready_ms, memory_kb, rest_percent, reattach_ms])
}

/// One of four is killed.
pub(super) fn kill_control(_: &Arguments) -> Vec<Row> {
    let served = ("kill_control/served", Unit::Milliseconds, Bar::ValueMax(30_000.0));
    let p99 = ("kill_control/quiet_p99", Unit::Microseconds, Bar::RatioMax(5.0));
    match kill() {
        Ok(killed) => vec![
            Row::alone(served.0, served.1, served.2, &[killed.served_ms]),
            Row::compared(p99.0, "quiet", p99.1, p99.2, &[(killed.p99_us, killed.quiet_p99_us)]).noting(
                format!(
                    "{} of {} calls failed; the slowest took {:.0} ms",
                    killed.failed,
                    killed.calls,
                    killed.slowest_us / 1e3
                ),
            ),
        ],
        Err(error) => vec![
            Row::missing(served.0, "", served.1, served.2, &error.to_string()),
            Row::missing(p99.0, "quiet", p99.1, p99.2, &error.to_string()),
        ],
    }
}

struct Killed {
    served_ms: f64,
    quiet_p99_us: f64,
    p99_us: f64,
    slowest_us: f64,
    calls: f64,
    failed: f64,
}

fn kill() -> Result<Killed, Failure> {
    let mut fleet = Fleet::start(CONTROLS)?;
    fleet.attach(WORKERS)?;
    sleep(SETTLE);
    let sweep = |duration_ms| Order::Sweep { workers: WORKERS, duration_ms };
    fleet.controls[0].ask(&sweep(QUIET_MS))?;
    let quiet = fleet.controls[0].ask(&sweep(QUIET_MS))?;
    fleet.controls[0].tell(&sweep(KILLED_MS))?;
    sleep(Duration::from_secs(1));
    let served_ms = fleet.kill(CONTROLS - 1)? * 1e3;
    let found = fleet.controls[0].answer()?;
    Ok(Killed {
        served_ms,
        quiet_p99_us: quiet.p99_us,
        p99_us: found.p99_us,
        slowest_us: found.max_us,
        calls: found.calls + found.failed,
        failed: found.failed,
    })
}
