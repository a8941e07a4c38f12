//! What the program says: data on the standard output, in tables or JSON; everything else on the standard error.

pub(crate) mod json;
#[cfg(test)]
pub(crate) mod samples;
mod table;

use std::io::{self, ErrorKind, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::Value;

pub(crate) use table::{Table, printable};

use crate::exit::Failure;

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs; keys are added over time, and never change
    Json,
}

/// How a command shows what it has found
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct FormatArguments {
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
}

/// Whether the output may be coloured: on a terminal, and unless <https://no-color.org> says no.
pub(crate) fn may_colour(terminal: &impl IsTerminal) -> bool {
    terminal.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes lines to the standard output. A reader that has gone, as `head` does, has had enough: that is no failure, and
/// nobody is told more.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

/// One JSON value over several lines.
pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// Writes a table, in bold where that is wanted.
pub(crate) fn print_table(table: &Table) -> Result<(), Failure> {
    print(&table.render(may_colour(&io::stdout())))
}
