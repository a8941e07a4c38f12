//! What runs elsewhere, as if it ran here: what it writes, the signals that it gets, and how this program ends with it.

mod signals;
mod writer;

use std::time::Duration;

use phalanx::{CallOptions, WorkerHandle};
#[cfg(not(feature = "process"))]
use phalanx_drivers::docker::{Chunk, Gap, Stream};
#[cfg(feature = "process")]
use phalanx_drivers::process::{Chunk, Gap, Stream};

#[cfg(feature = "process")]
pub(crate) use signals::signal_number;
pub(crate) use signals::{Interruptible, Interrupts, ended_by_user, pass_on};
pub(crate) use writer::Writer;

use crate::exit::{Exit, Failure};

/// Whatever goes wrong that is not the other program's own doing: as `ssh` has it.
const FAILED: u8 = 255;

/// How long one question for output waits: less than any deadline on the way.
pub(crate) const PAGE_WAIT: Duration = Duration::from_secs(10);

/// The pause before what is about to start is looked at again.
pub(crate) const START_PAUSE: Duration = Duration::from_millis(10);

/// How long what may be asked twice is tried while links and owners change.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same worker, for what may be asked twice.
pub(crate) fn reader(worker: &WorkerHandle) -> WorkerHandle {
    let options = CallOptions { idempotent: true, patience: PATIENCE, ..CallOptions::default() };
    worker.clone().with(options)
}

/// Ends this program with the code of another one.
pub(crate) fn end_with(code: u8) -> Result<(), Failure> {
    match code {
        0 => Ok(()),
        code => Err(Failure::new(Exit::Program(code), "")),
    }
}

/// The same failure with the code that says that it is none of the other program's own.
pub(crate) fn of_this_program(failure: Failure) -> Failure {
    if failure.is_of_program() { failure } else { failure.with(Exit::Program(FAILED)) }
}

/// A variable of an environment, as people write it.
pub(crate) fn variable(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("no variable: write NAME=VALUE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_need_a_name() {
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(variable("A="), Ok(("A".to_owned(), String::new())));
        assert!(variable("A").is_err() && variable("=b").is_err());
    }
}
