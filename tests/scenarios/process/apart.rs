//! A worker as a process of its own.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::stage::Stage;

/// A worker as a process of its own. Killed when it is dropped.
pub(crate) struct Apart(Child);

impl Apart {
    /// Starts one that runs programs in this folder, and may `keep` them, or `kill`s them.
    pub(crate) fn start(stage: &Stage, name: &str, folder: &Path, keeping: &str) -> Self {
        Self::start_in(stage, name, folder, keeping, None)
    }

    /// The same with control groups below this one.
    pub(crate) fn start_in(
        stage: &Stage,
        name: &str,
        folder: &Path,
        keeping: &str,
        group: Option<&str>,
    ) -> Self {
        let address = stage.cluster.addresses()[0].to_string();
        let arguments = [
            stage.cluster.secret.expose().to_string(),
            address,
            name.into(),
            folder.display().to_string(),
            keeping.into(),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_program-worker"));
        Self(command.args(arguments).args(group).stdin(Stdio::piped()).spawn().unwrap())
    }

    /// Kills it, as nothing else does: without a word.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Lets it stop in order.
    pub(crate) fn stop(&mut self) {
        self.0.stdin.take().unwrap().write_all(b"stop\n").unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
