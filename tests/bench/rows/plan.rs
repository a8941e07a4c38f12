//! What a change of the roster costs a control node before the first worker moves: who owns what, what moves, and whom each
//! of all workers belongs to.

use phalanx::{Address, NodeId};
use phalanx_base::{AddressList, Generation, RosterEntry, RosterState, RosterView};
use phalanx_placement::{Placement, Plan};

use crate::Failure;
use crate::arguments::Arguments;
use crate::report::{Bar, Row, Unit};

const CONTROLS: usize = 128;
const WORKERS: usize = 100_000;

/// One control node leaves.
pub(super) fn plan_100k(arguments: &Arguments) -> Vec<Row> {
    let (unit, bar) = (Unit::Milliseconds, Bar::ValueMax(200.0));
    vec![match measure(arguments.rounds) {
        Ok(times) => {
            Row::alone("plan_100k", unit, bar, &times).noting("time on a core, which it need not share")
        }
        Err(error) => Row::missing("plan_100k", "", unit, bar, &error.to_string()),
    }]
}

fn measure(rounds: usize) -> Result<Vec<f64>, Failure> {
    let workers: Result<Vec<NodeId>, _> =
        (0..WORKERS).map(|number| format!("worker-{number}").parse()).collect();
    let workers = workers?;
    let entries: Result<Vec<RosterEntry>, Failure> = (0..CONTROLS).map(entry).collect();
    let mut entries = entries?;
    let before = Placement::compute(&RosterView::new(entries.clone()));
    entries.remove(CONTROLS / 2);
    let after = RosterView::new(entries);
    (0..rounds).map(|_| change(&before, &after, &workers)).collect()
}

fn change(before: &Placement, after: &RosterView, workers: &[NodeId]) -> Result<f64, Failure> {
    let begin_ms = cpu_ms();
    let after = Placement::compute(after);
    let plan = Plan::between(before, &after);
    let moved = workers.iter().filter(|worker| before.owner_of(worker) != after.owner_of(worker)).count();
    let elapsed_ms = cpu_ms() - begin_ms;
    // Of 128 nodes one has left: what it had must move, and nobody is there whose workers all do.
    if plan.is_empty() || moved == 0 || moved == workers.len() {
        return Err(format!("{moved} workers have moved").into());
    }
    Ok(elapsed_ms)
}

/// The time that this thread has had on a core: what it computes waits for nothing, so that only others of the machine make
/// it longer than that.
#[cfg(unix)]
fn cpu_ms() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// The time, where a thread has no clock of its own.
#[cfg(not(unix))]
fn cpu_ms() -> f64 {
    static BEGIN: std::sync::LazyLock<tokio::time::Instant> =
        std::sync::LazyLock::new(tokio::time::Instant::now);
    BEGIN.elapsed().as_secs_f64() * 1e3
}

fn entry(number: usize) -> Result<RosterEntry, Failure> {
    let address: Address = format!("10.0.0.{number}:7000").parse()?;
    Ok(RosterEntry {
        node: format!("control-{number}").parse()?,
        generation: Generation::from_u64(1),
        state: RosterState::Active,
        weight: 1,
        zone: format!("zone-{}", number % 3),
        addresses: AddressList::new([address])?,
        version: 1,
    })
}
