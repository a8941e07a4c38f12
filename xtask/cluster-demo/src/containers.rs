//! Containers as tasks: each worker is sent an image, and runs containers of it that end well, that fail, and that are stopped;
//! every exit code and the last line of output are compared.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::errand::Failure;

/// The name of the image that the demo makes, and is allowed to run.
#[cfg(all(feature = "docker", unix))]
pub(crate) const IMAGE: &str = "phalanx-demo:1";

/// The exit code of a container that fails, and of one that was stopped.
const FAILS_WITH: i64 = 7;
const STOPPED_WITH: i64 = 5;

/// What a container is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Script {
    /// Say this number.
    Say(u64),
    /// Say this number, and end with an error.
    Fail(u64),
    /// Wait to be stopped, then say so; the control node stops it once it is ready.
    Wait,
}

impl Script {
    /// What a shell does.
    #[cfg(all(feature = "docker", unix))]
    pub(crate) fn shell(self) -> String {
        match self {
            Self::Say(number) => format!("echo said {number}"),
            Self::Fail(number) => format!("echo failed {number}; exit {FAILS_WITH}"),
            Self::Wait => format!(
                "trap 'echo stopped; exit {STOPPED_WITH}' TERM; touch /tmp/ready; while :; do sleep 0.05; done"
            ),
        }
    }

    fn expected(self) -> (i64, String) {
        match self {
            Self::Say(number) => (0, format!("said {number}")),
            Self::Fail(number) => (FAILS_WITH, format!("failed {number}")),
            Self::Wait => (STOPPED_WITH, "stopped".to_owned()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ContainerErrand {
    /// Send the image archive in this file.
    Load(PathBuf),
    Run(Script),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ContainerOutcome {
    Loaded,
    Ended { exit_code: i64, last_line: String },
}

/// What was found, for the report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ContainersFound {
    pub(crate) images_loaded: u64,
    /// Containers that were begun.
    pub(crate) started: u64,
    /// Containers that ended as they should: well, with an error, and because they were stopped.
    pub(crate) succeeded: u64,
    pub(crate) failed_as_told: u64,
    pub(crate) stopped: u64,
    /// Containers that ended otherwise than they should.
    pub(crate) wrong: u64,
    /// Errands that failed.
    pub(crate) failed: u64,
    /// Of these, such as were under way when a node was killed or stopped, or shortly after.
    pub(crate) failed_by_kill: u64,
    /// Containers of workers that ended in order which the daemon still had then.
    pub(crate) left: u64,
    /// Containers of workers that were killed; the demo has removed them.
    pub(crate) left_by_kill: u64,
}

impl ContainersFound {
    /// Containers that ended as they should.
    pub(crate) fn ended(&self) -> u64 {
        self.succeeded + self.failed_as_told + self.stopped
    }

    /// Whether there was something of everything.
    pub(crate) fn is_shown(&self) -> bool {
        self.succeeded > 0 && self.failed_as_told > 0 && self.stopped > 0
    }

    pub(crate) fn is_right(&self) -> bool {
        self.wrong == 0 && self.failed == self.failed_by_kill
    }
}

#[derive(Debug, Default)]
struct Dock {
    has_image: bool,
    ended: u64,
}

/// See the module's page.
pub(crate) struct Containers {
    pub(crate) is_closing: bool,
    pub(crate) found: ContainersFound,
    archive: PathBuf,
    docks: BTreeMap<String, Dock>,
    numbers: u64,
}

/// How many kinds of scripts there are: a worker is done when it has run each.
const SCRIPTS: u64 = 3;

impl Containers {
    /// With the file of the image archive.
    pub(crate) fn new(archive: PathBuf) -> Self {
        Self {
            is_closing: false,
            found: ContainersFound::default(),
            archive,
            docks: BTreeMap::new(),
            numbers: 0,
        }
    }

    /// Whether a worker has run a container of each kind.
    pub(crate) fn is_done(&self, worker: &str) -> bool {
        self.docks.get(worker).is_some_and(|dock| dock.ended >= SCRIPTS)
    }

    pub(crate) fn next(&mut self, worker: &str) -> Option<ContainerErrand> {
        let dock = self.docks.entry(worker.to_owned()).or_default();
        if self.is_closing && dock.ended >= SCRIPTS {
            return None;
        }
        if !dock.has_image {
            return Some(ContainerErrand::Load(self.archive.clone()));
        }
        self.numbers += 1;
        self.found.started += 1;
        Some(ContainerErrand::Run(match dock.ended % SCRIPTS {
            0 => Script::Say(self.numbers),
            1 => Script::Fail(self.numbers),
            _ => Script::Wait,
        }))
    }

    pub(crate) fn handle(
        &mut self,
        worker: &str,
        errand: &ContainerErrand,
        result: Result<ContainerOutcome, Failure>,
    ) {
        let dock = self.docks.entry(worker.to_owned()).or_default();
        match (errand, result) {
            (_, Err(failure)) => {
                self.found.failed += 1;
                self.found.failed_by_kill += u64::from(failure == Failure::ByKill);
            }
            (ContainerErrand::Load(_), Ok(ContainerOutcome::Loaded)) => {
                dock.has_image = true;
                self.found.images_loaded += 1;
            }
            (ContainerErrand::Run(script), Ok(ContainerOutcome::Ended { exit_code, last_line })) => {
                dock.ended += 1;
                match script {
                    _ if script.expected() != (exit_code, last_line) => self.found.wrong += 1,
                    Script::Say(_) => self.found.succeeded += 1,
                    Script::Fail(_) => self.found.failed_as_told += 1,
                    Script::Wait => self.found.stopped += 1,
                }
            }
            (_, Ok(_)) => self.found.wrong += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_run_and_compared() {
        let mut containers = Containers::new("image".into());
        let load = containers.next("w").unwrap();
        assert_eq!(load, ContainerErrand::Load("image".into()));
        containers.handle("w", &load, Err(Failure::ByKill));
        assert_eq!(containers.next("w").as_ref(), Some(&load), "it is sent again");
        containers.handle("w", &load, Ok(ContainerOutcome::Loaded));
        while !containers.is_done("w") {
            let errand = containers.next("w").unwrap();
            let ContainerErrand::Run(script) = &errand else { panic!("{errand:?}") };
            let (exit_code, last_line) = script.expected();
            containers.handle("w", &errand, Ok(ContainerOutcome::Ended { exit_code, last_line }));
        }
        let errand = containers.next("w").unwrap();
        let silent = ContainerOutcome::Ended { exit_code: 0, last_line: String::new() };
        containers.handle("w", &errand, Ok(silent));
        let found = &containers.found;
        assert_eq!((found.started, found.succeeded, found.failed_as_told, found.stopped), (4, 1, 1, 1));
        assert_eq!((found.wrong, found.failed, found.failed_by_kill), (1, 1, 1));
        containers.is_closing = true;
        assert_eq!(containers.next("w"), None);
    }
}
