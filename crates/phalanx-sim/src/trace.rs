//! Everything that happened, as one hash: two runs of one seed are the same run if theirs are equal.
//!
//! With `PHALANX_SIM_TRACE=FILE` each line that is hashed is written there as well, so that two runs can be compared where
//! they part.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Where the lines of a trace go, if anywhere.
pub const TRACE_FILE: &str = "PHALANX_SIM_TRACE";

struct State {
    hasher: blake3::Hasher,
    line: String,
    file: Option<BufWriter<File>>,
}

/// The trace of one run.
pub(crate) struct Trace(Mutex<State>);

impl Trace {
    pub(crate) fn new() -> Self {
        // A file that cannot be written is as good as none: the hash is what counts.
        let file = std::env::var_os(TRACE_FILE).and_then(|path| File::create(path).ok()).map(BufWriter::new);
        Self(Mutex::new(State { hasher: blake3::Hasher::new(), line: String::new(), file }))
    }

    /// Adds a line.
    pub(crate) fn add(&self, at: Duration, line: std::fmt::Arguments<'_>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { hasher, line: text, file } = &mut *state;
        text.clear();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {line}", at.as_micros());
        hasher.update(text.as_bytes());
        if let Some(file) = file {
            let _ = file.write_all(text.as_bytes());
        }
    }

    /// The hash of all lines, as hexadecimal digits.
    pub(crate) fn finish(&self) -> String {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut state.file {
            let _ = file.flush();
        }
        state.hasher.finalize().to_hex()[..32].to_owned()
    }
}
