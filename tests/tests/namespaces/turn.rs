//! One scenario at a time, in however many processes a runner starts the tests.

use std::fs::File;

use crate::ip::NEEDS_ROOT;

/// Held by the scenario that runs.
pub(crate) struct Turn(#[allow(dead_code, reason = "closing the file gives the turn to the next")] File);

impl Turn {
    /// Waits for it.
    pub(crate) fn take() -> Self {
        // In the folder that cargo keeps for integration tests: not in one where strangers may lay something.
        let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/namespaces.lock");
        let opened = File::options().create(true).append(true).open(path);
        let file = opened.unwrap_or_else(|error| panic!("{path}: {error}; {NEEDS_ROOT}"));
        file.lock().unwrap();
        Self(file)
    }
}
