//! What is measured: one file for each group of rows that share their processes.

mod absent;
mod beside_bulk;
mod bulk;
mod calls;
mod files;
mod fleet;
mod forwarded;
mod plan;
mod rounds;
mod tasks;

use crate::arguments::Arguments;
use crate::report::Row;

/// Rows that are measured together.
pub(crate) struct Group {
    /// What the names of its rows begin with.
    pub(crate) name: &'static str,
    /// Measures those that are asked for; what fails is a row that says so.
    pub(crate) measure: fn(&Arguments) -> Vec<Row>,
}

impl Group {
    /// Whether one of these may begin the name of one of its rows.
    pub(crate) fn is_wanted(&self, rows: &[String]) -> bool {
        rows.iter().any(|row| row.starts_with(self.name) || self.name.starts_with(row.as_str()))
    }
}

/// In their order.
pub(crate) const GROUPS: &[Group] = &[
    Group { name: "calls_64", measure: calls::calls_64 },
    Group { name: "calls_1", measure: calls::calls_1 },
    Group { name: "calls_4k", measure: calls::calls_4k },
    Group { name: "calls_cpu", measure: calls::calls_cpu },
    Group { name: "calls_forwarded", measure: forwarded::calls_forwarded },
    Group { name: "calls_beside_bulk", measure: beside_bulk::calls_beside_bulk },
    Group { name: "bulk_1gib", measure: bulk::bulk_1gib },
    Group { name: "files_10k", measure: files::files_10k },
    Group { name: "tasks", measure: tasks::tasks },
    Group { name: "plan_100k", measure: plan::plan_100k },
    Group { name: "workers_10k", measure: fleet::workers_10k },
    Group { name: "kill_control", measure: fleet::kill_control },
    Group { name: "membership_64", measure: absent::membership_64 },
];
