//! Rows that are promised and that this program does not measure: they are in the report, and do not hold.

use crate::arguments::Arguments;
use crate::report::{Bar, Row, Unit};

const WHY: &str = "not measured";

/// Ten thousand workers at one cluster: how long until all are ready.
pub(super) fn workers_10k(_: &Arguments) -> Vec<Row> {
    vec![Row::missing("workers_10k", "", Unit::Milliseconds, Bar::ValueMax(40_000.0), WHY)]
}

/// A control node is killed: how long until calls to its workers are answered again.
pub(super) fn kill_control(_: &Arguments) -> Vec<Row> {
    vec![Row::missing("kill_control", "", Unit::Milliseconds, Bar::Reported, WHY)]
}

/// Sixty-four members, of which one is killed, beside Serf.
pub(super) fn membership_64(_: &Arguments) -> Vec<Row> {
    vec![Row::missing("membership_64/serf", "serf", Unit::Milliseconds, Bar::Reported, WHY)]
}
