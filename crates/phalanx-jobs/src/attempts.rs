//! One call, several attempts: when to ask again, and what to say in the end.
//!
//! Asking again with the *same* id is always safe: the worker looks in its table of begun calls first. What must not
//! happen is that "not executed" is said of a call whose earlier attempt nobody knows the end of; so doubt sticks.

use std::time::{Duration, Instant};

use crate::outcome::{Outcome, Reason};

/// How a call may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOptions {
    /// How long it may take in all.
    pub deadline: Duration,
    /// How long to go on while the control side is in motion: owners change, links come back.
    pub patience: Duration,
    /// Whether running it twice is right: then it is repeated on a new boot of the worker too.
    pub idempotent: bool,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), patience: Duration::from_secs(5), idempotent: false }
    }
}

/// The first pause between attempts; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The greatest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What to do after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Say this.
    Finish(Outcome),
    /// Look for the owner again, and ask with the same id.
    Again {
        /// After this pause.
        pause: Duration,
    },
    /// It surely did not run, or may run twice: ask anew, with a new id, whoever the worker is now.
    Afresh,
}

/// The attempts of one call.
#[derive(Debug)]
pub(crate) struct Attempts {
    deadline: Instant,
    patient_until: Instant,
    idempotent: bool,
    /// The call is bound to a boot of the worker, as a command to a task is.
    bound: bool,
    in_doubt: bool,
    /// The control side was seen in motion, so that an absent worker may be on its way.
    in_motion: bool,
    pause: Duration,
    afresh: bool,
}

impl Attempts {
    /// A call that starts now.
    pub(crate) fn new(now: Instant, options: &CallOptions, bound: bool) -> Self {
        let deadline = now + options.deadline;
        Self {
            deadline,
            patient_until: deadline.min(now + options.patience),
            idempotent: options.idempotent,
            bound,
            in_doubt: false,
            in_motion: false,
            pause: PAUSE_MIN,
            afresh: false,
        }
    }

    /// When the call must have ended.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// An attempt has ended.
    pub(crate) fn handle(&mut self, now: Instant, outcome: Outcome) -> Next {
        let (reason, doubtful) = match outcome {
            Outcome::Done(_) | Outcome::Failed(_) | Outcome::Aborted(_) => return Next::Finish(outcome),
            Outcome::NotExecuted(reason) => (reason, false),
            Outcome::Unknown(reason) => (reason, true),
        };
        self.in_doubt |= doubtful;
        let again = match reason {
            Reason::NotHosted | Reason::OwnerUnreachable(_) | Reason::Fenced | Reason::LinkLost => {
                self.in_motion = true;
                true
            }
            Reason::NotConnected | Reason::NotFound => self.in_motion,
            Reason::OtherGeneration if !self.bound && !self.afresh && (!self.in_doubt || self.idempotent) => {
                self.afresh = true;
                self.in_doubt = false;
                return Next::Afresh;
            }
            _ => false,
        };
        if again && now + self.pause < self.patient_until {
            let pause = self.pause;
            self.pause = (pause * 2).min(PAUSE_MAX);
            return Next::Again { pause };
        }
        let in_doubt = self.in_doubt;
        Next::Finish(if in_doubt { Outcome::Unknown(reason) } else { Outcome::NotExecuted(reason) })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn refused(reason: Reason) -> Outcome {
        Outcome::NotExecuted(reason)
    }

    #[test]
    fn an_absent_worker_is_said_at_once_and_one_in_motion_is_waited_for() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now, &CallOptions::default(), false);
        let absent = refused(Reason::NotConnected);
        assert_eq!(attempts.handle(now, absent.clone()), Next::Finish(absent.clone()));
        let mut attempts = Attempts::new(now, &CallOptions::default(), false);
        assert!(matches!(attempts.handle(now, refused(Reason::NotHosted)), Next::Again { .. }));
        assert!(matches!(attempts.handle(now, absent.clone()), Next::Again { .. }));
        assert_eq!(attempts.handle(now + Duration::from_secs(5), absent.clone()), Next::Finish(absent));
    }

    #[test]
    fn doubt_sticks() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now, &CallOptions::default(), false);
        assert!(matches!(attempts.handle(now, Outcome::Unknown(Reason::LinkLost)), Next::Again { .. }));
        let end = attempts.handle(now, refused(Reason::OtherGeneration));
        assert_eq!(end, Next::Finish(Outcome::Unknown(Reason::OtherGeneration)));
    }

    #[test]
    fn a_new_boot_is_asked_afresh_once_and_only_without_doubt() {
        let now = Instant::now();
        let other = || refused(Reason::OtherGeneration);
        let mut attempts = Attempts::new(now, &CallOptions::default(), false);
        assert_eq!(attempts.handle(now, other()), Next::Afresh);
        assert_eq!(attempts.handle(now, other()), Next::Finish(other()));
        let mut bound = Attempts::new(now, &CallOptions::default(), true);
        assert_eq!(bound.handle(now, other()), Next::Finish(other()));
        let mut idempotent =
            Attempts::new(now, &CallOptions { idempotent: true, ..CallOptions::default() }, false);
        idempotent.handle(now, Outcome::Unknown(Reason::LinkLost));
        assert_eq!(idempotent.handle(now, other()), Next::Afresh);
    }
}
