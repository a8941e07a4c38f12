//! Rows that are promised and that this program does not measure: they are in the report, and do not hold.

use crate::arguments::Arguments;
use crate::report::{Bar, Row, Unit};

const WHY: &str = "not measured";

/// Sixty-four members, of which one is killed, beside Serf.
pub(super) fn membership_64(_: &Arguments) -> Vec<Row> {
    vec![Row::missing("membership_64/serf", "serf", Unit::Milliseconds, Bar::Reported, WHY)]
}
