//! What a change of the roster costs a control node before the first worker moves: who owns what, what moves, and whom each
//! of all workers belongs to.

use phalanx::{Address, NodeId};
use phalanx_base::{AddressList, Generation, RosterEntry, RosterState, RosterView};
use phalanx_placement::{Placement, Plan};
use tokio::time::Instant;

use crate::Failure;
use crate::arguments::Arguments;
use crate::report::{Bar, Row, Unit};

const CONTROLS: usize = 128;
const WORKERS: usize = 100_000;

/// One control node leaves.
pub(super) fn plan_100k(arguments: &Arguments) -> Vec<Row> {
    let (unit, bar) = (Unit::Milliseconds, Bar::ValueMax(200.0));
    vec![match measure(arguments.rounds) {
        Ok(times) => Row::alone("plan_100k", unit, bar, &times),
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
    let begin = Instant::now();
    let after = Placement::compute(after);
    let plan = Plan::between(before, &after);
    let moved = workers.iter().filter(|worker| before.owner_of(worker) != after.owner_of(worker)).count();
    let elapsed_ms = begin.elapsed().as_secs_f64() * 1e3;
    // Of 128 nodes one has left: what it had must move, and nobody is there whose workers all do.
    if plan.is_empty() || moved == 0 || moved == workers.len() {
        return Err(format!("{moved} workers have moved").into());
    }
    Ok(elapsed_ms)
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
