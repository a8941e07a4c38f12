//! What to do when things end, are lost or change: the three policies of a job.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest time that a policy may name: what is longer is "never", and instants stay in their range.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Why a policy is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A time is over a year.
    #[error("{0} is longer than a year: give a shorter time")]
    TooLong(&'static str),
    /// The first pause is longer than the longest one.
    #[error("the first pause before a restart is longer than the longest one: exchange them")]
    PausesCrossed,
    /// No instance at all may be replaced at one time.
    #[error("an update of 0 instances at a time never ends: let at least 1 be replaced")]
    NothingInParallel,
}

/// Refuses a time that is too long.
pub(crate) fn checked(what: &'static str, time: Duration) -> Result<(), PolicyError> {
    if time > DURATION_MAX { Err(PolicyError::TooLong(what)) } else { Ok(()) }
}

/// After which ends an instance is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RestartWhen {
    /// After none, however it ended.
    Never,
    /// After each but a success.
    #[default]
    OnFailure,
    /// After each.
    Always,
}

/// Whether, when and how often an instance is started again after its task ended by itself.
///
/// The pause before the n-th restart of a row is `pause_initial × 2^(n - 1)`, at most `pause_max`, and up to a quarter more by
/// a lot, so that what failed together does not come back together. A row ends when `window` has passed since its first
/// failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// After which ends.
    pub when: RestartWhen,
    /// The first pause.
    pub pause_initial: Duration,
    /// The longest pause, before the lot.
    pub pause_max: Duration,
    /// How many restarts there are in one window; after that the instance is `Failed` and stays it until the job changes.
    /// `None`: as many as it takes.
    pub restarts_max: Option<u32>,
    /// How long a row of failures lasts.
    pub window: Duration,
}

impl Default for RestartPolicy {
    /// On failure, after 1 s to 5 min, without an end.
    fn default() -> Self {
        Self {
            when: RestartWhen::OnFailure,
            pause_initial: Duration::from_secs(1),
            pause_max: Duration::from_secs(300),
            restarts_max: None,
            window: Duration::from_secs(600),
        }
    }
}

impl RestartPolicy {
    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        checked("the longest pause before a restart", self.pause_max)?;
        checked("the window of restarts", self.window)?;
        if self.pause_initial > self.pause_max { Err(PolicyError::PausesCrossed) } else { Ok(()) }
    }

    /// The pause after so many failures in a row, before the lot.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.pause_initial.saturating_mul(1 << doublings).min(self.pause_max)
    }
}

/// What becomes of an instance whose worker is lost: the cluster does not hear of it, and it may be running all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LostPolicy {
    /// It stays where it is, and is found again when the worker is back. It is started anew only when it is certain that it
    /// ended. At no time do two attempts run.
    #[default]
    Keep,
    /// The worker ends the task by itself after this time without an owner, and the instance is started elsewhere after the
    /// same time and [`STOP_AFTER_MARGIN`](crate::STOP_AFTER_MARGIN). Two attempts do not run at one time, if the worker's
    /// clock runs and the task lets itself be ended.
    StopAfter(Duration),
    /// It is started elsewhere after this time. If the worker lives where nobody hears it, two attempts run until it is heard
    /// again; then the older one is stopped.
    Replace {
        /// Since the worker is lost.
        lost_after: Duration,
    },
}

impl LostPolicy {
    pub(crate) fn check(self) -> Result<(), PolicyError> {
        match self {
            Self::Keep => Ok(()),
            Self::StopAfter(after) => checked("the time after which a lost worker stops the task", after),
            Self::Replace { lost_after } => {
                checked("the time after which a lost task is replaced", lost_after)
            }
        }
    }
}

/// How a new version of a job takes the place of the old one, and how instances leave nodes that drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdatePolicy {
    /// How many instances may be on their way at one time.
    pub max_parallel: u32,
    /// How long a new one must run until it counts as healthy and the next is replaced.
    pub healthy_after: Duration,
    /// If no instance becomes healthy for so long, the rollout pauses.
    pub progress_deadline: Duration,
}

impl Default for UpdatePolicy {
    /// One at a time, healthy after 10 s, and ten minutes of patience.
    fn default() -> Self {
        Self {
            max_parallel: 1,
            healthy_after: Duration::from_secs(10),
            progress_deadline: Duration::from_secs(600),
        }
    }
}

impl UpdatePolicy {
    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        checked("the time until an instance is healthy", self.healthy_after)?;
        checked("the deadline of progress", self.progress_deadline)?;
        if self.max_parallel == 0 { Err(PolicyError::NothingInParallel) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = RestartPolicy::default();
        let seconds: Vec<u64> = (1..=11).map(|failures| policy.pause(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(policy.pause(u32::MAX), policy.pause_max);
    }

    #[test]
    fn times_without_an_end_are_refused() {
        assert_eq!(
            LostPolicy::StopAfter(Duration::MAX).check(),
            Err(PolicyError::TooLong("the time after which a lost worker stops the task"))
        );
        let nothing = UpdatePolicy { max_parallel: 0, ..UpdatePolicy::default() };
        assert_eq!(nothing.check(), Err(PolicyError::NothingInParallel));
        let crossed = RestartPolicy { pause_initial: Duration::from_secs(301), ..RestartPolicy::default() };
        assert_eq!(crossed.check(), Err(PolicyError::PausesCrossed));
    }
}
