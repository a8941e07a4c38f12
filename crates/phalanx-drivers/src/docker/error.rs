//! What can go wrong with containers, in words that say what to do.

use serde::{Deserialize, Serialize};

use super::class::Finished;

/// The longest text of the daemon that an error bears, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// Why a container or an image did not do as it was told. Unless a variant says otherwise, nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum DockerError {
    /// The daemon does not answer. What had been started is removed when it is back.
    #[error("the worker's Docker daemon does not answer ({0}): start it, or name its socket in the policy")]
    DaemonAbsent(String),
    /// The policy does not name this image. An archive that was sent may have been loaded in part, without this name.
    #[error("the worker's policy does not allow the image {0:?}: name another one, or allow it there")]
    ImageNotAllowed(String),
    /// There is no such image, here or at its registry.
    #[error("there is no image {0:?}: pull it, send it, or look at its name")]
    ImageNotFound(String),
    /// The pull of an image failed.
    #[error("the pull of {image:?} failed: {text}")]
    PullFailed {
        /// Which.
        image: String,
        /// The daemon's words.
        text: String,
    },
    /// The archive that was sent was not taken.
    #[error("the image archive was not loaded: {0}")]
    LoadFailed(String),
    /// The archive that was sent is larger than the policy allows.
    #[error("the image archive has more than the {0} bytes that the worker's policy allows")]
    ArchiveTooLarge(u64),
    /// The daemon's disk is full.
    #[error("the disk of the worker's Docker daemon is full: make room there ({0})")]
    NoSpace(String),
    /// The policy refuses something.
    #[error("the worker's policy does not allow {0}: leave it out, or allow it there")]
    Refused(String),
    /// A part of the question is larger than its cap, or has no meaning.
    #[error("this cannot be asked of a container: {0}")]
    Invalid(String),
    /// So many containers run already.
    #[error("{0} containers run at this worker, as many as its policy allows: try again when one has ended")]
    TooMany(u32),
    /// So many containers are kept already.
    #[error("{0} containers are kept at this worker, as many as its policy allows: remove one")]
    TooManyKept(u32),
    /// There is no such signal. Nothing was sent.
    #[error("there is no signal {0}")]
    NoSuchSignal(i32),
    /// The task has no container that runs.
    #[error("the task has no container that runs: ask while it does")]
    NotRunning,
    /// This worker has no such orphan.
    #[error("the worker has no container {0:?} without a task: ask it for its orphans")]
    NoSuchContainer(String),
    /// The daemon went away while the container ran, and did not come back in time. What is left of the container is removed
    /// at the worker's next start.
    #[error("the worker's Docker daemon went away and did not come back ({0}): look at the worker's machine")]
    DaemonLost(String),
    /// The container has been removed by somebody else while it ran.
    #[error("somebody has removed the container while it ran")]
    ContainerGone,
    /// The daemon refuses, in its own words.
    #[error("the worker's Docker daemon answers {status}: {text}")]
    Api {
        /// The status of HTTP.
        status: u16,
        /// The words (shortened).
        text: String,
    },
    /// The task was told to stop before its container ran.
    #[error("the task was told to stop before its container ran")]
    Stopped,
    /// The worker shuts down.
    #[error("the worker shuts down")]
    ShuttingDown,
    /// The container has ended so, and was asked for with [`Run::must_succeed`](super::Run::must_succeed).
    #[error("the container has ended with exit code {}", .0.exit_code)]
    ExitedBadly(Box<Finished>),
    /// The worker has no output of this task (any more).
    #[error("the worker has no output of this task (any more): its last lines are with its end")]
    NoSuchOutput,
}

/// Shortens a text of the daemon to what an error may bear.
pub(super) fn shortened(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = format!("x{}", "é".repeat(TEXT_BYTES_MAX));
        let cut = shortened(&text);
        assert!(cut.len() == TEXT_BYTES_MAX - 1 && text.starts_with(&cut));
        assert_eq!(shortened("short\n"), "short");
    }
}
