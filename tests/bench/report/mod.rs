//! What a run has found: rows of ours beside a peer's, each with the bar that it must hold.

mod bar;
mod markdown;
mod middle;
mod plot;
mod row;

pub(crate) use bar::Bar;
pub(crate) use markdown::markdown;
pub(crate) use middle::median;
pub(crate) use plot::plot;
pub(crate) use row::{Row, Unit};
use serde::Serialize;

/// All rows of a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// In the order in which they were measured.
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// Whether each row holds its bar; a row that was not measured does not.
    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.holds)
    }
}
