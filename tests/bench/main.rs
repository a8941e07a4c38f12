//! `cargo xtask bench`: what we cost beside what people would take otherwise, on this machine, in one run.
//!
//! Each end of each peer is a process of its own, of this same program where it is in Rust, on a runtime of the same kind
//! with as many threads. The run gives orders to the end that asks, in turn to ours and to the peer's, so that whatever else
//! the machine does meets both. Values of two machines, or of two hours of one, say nothing; their ratios do.

mod arguments;
mod client;
mod content;
mod helper;
mod install;
mod order;
mod peers;
mod report;
mod rows;

use std::process::ExitCode;

use arguments::{Arguments, Task, USAGE};
use report::Report;

/// Whatever goes wrong: told to people, as a note of its row.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let outcome = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Task::Help) => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        Ok(Task::Role(arguments)) => become_role(&arguments),
        Ok(Task::Measure(arguments)) => measure(&arguments),
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("bench: {error}");
        ExitCode::FAILURE
    })
}

/// Becomes one end of a peer, on a runtime as anybody would have it.
fn become_role(arguments: &[String]) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(peers::become_role(arguments))?;
    Ok(ExitCode::SUCCESS)
}

fn measure(arguments: &Arguments) -> Result<ExitCode, Failure> {
    install::install();
    let mut report = Report::default();
    for group in rows::GROUPS {
        if !arguments.rows.is_empty() && !group.is_wanted(&arguments.rows) {
            continue;
        }
        eprintln!("bench: {} …", group.name);
        let found = (group.measure)(arguments);
        for row in found.into_iter().filter(|row| arguments.wants(&row.name)) {
            eprintln!("bench: {row}");
            report.rows.push(row);
        }
        // After each group, so that a run that is ended has left what it found.
        arguments.write(&report)?;
    }
    print!("{}", report::markdown(&report.rows));
    Ok(if arguments.check && !report.holds() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
