//! One call, several attempts: when to ask again, and what to say in the end.
//!
//! Asking again with the *same* id is always safe: the worker looks in its table of begun calls first. What must not
//! happen is that "not executed" is said of a call whose earlier attempt nobody knows the end of; so doubt sticks.

use std::time::{Duration, Instant};

use phalanx_base::planted;

use crate::outcome::{Outcome, Reason};

/// How a call may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOptions {
    /// How long it may take in all.
    pub deadline: Duration,
    /// How long to go on while the control side is in motion: owners change, links come back. Counted from when that is
    /// seen.
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

/// An attempt that lasted so long was with the worker, as looking for the owner takes less. What ends it is the begin of
/// a motion, and not the rest of one before.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

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
    patience: Duration,
    idempotent: bool,
    /// The call is bound to a boot of the worker, as a command to a task is.
    bound: bool,
    in_doubt: bool,
    /// Since when the control side has been seen in motion, so that an absent worker may be on its way.
    moving_since: Option<Instant>,
    /// When the last attempt ended.
    ended_at: Instant,
    pause: Duration,
    afresh: bool,
}

impl Attempts {
    /// A call that starts now.
    pub(crate) fn new(now: Instant, options: &CallOptions, bound: bool) -> Self {
        Self {
            deadline: now + options.deadline,
            patience: options.patience,
            idempotent: options.idempotent,
            bound,
            in_doubt: false,
            moving_since: None,
            ended_at: now,
            pause: PAUSE_MIN,
            afresh: false,
        }
    }

    /// When the call must have ended.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left of the call's options, for another node to go on with.
    pub(crate) fn options(&self, now: Instant) -> CallOptions {
        let deadline = self.deadline.saturating_duration_since(now);
        CallOptions { deadline, patience: self.patience, idempotent: self.idempotent }
    }

    /// The attempts of the same call to whichever boot the worker has now: nothing is in doubt, and the deadline stays.
    pub(crate) fn anew(&self, now: Instant) -> Self {
        Self { moving_since: self.moving_since, ..Self::new(now, &self.options(now), false) }
    }

    /// The call gets another deadline; what was learnt of the control side stays.
    pub(crate) fn begin_round(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Whether what has this reason may still pass at `then`, were it not for the deadline.
    pub(crate) fn waits_for(&self, then: Instant, reason: &Reason) -> bool {
        let may_pass = is_motion(reason) || matches!(reason, Reason::NotConnected | Reason::NotFound);
        may_pass && self.moving_since.is_some_and(|since| then < since + self.patience)
    }

    /// An attempt has ended.
    pub(crate) fn handle(&mut self, now: Instant, outcome: Outcome) -> Next {
        let (reason, doubtful) = match outcome {
            Outcome::Done(_) | Outcome::Failed(_) | Outcome::Aborted(_) => return Next::Finish(outcome),
            Outcome::NotExecuted(reason) => (reason, false),
            Outcome::Unknown(reason) => (reason, true),
        };
        self.in_doubt |= doubtful && !planted!("forgotten-doubt");
        if now.saturating_duration_since(self.ended_at) >= SETTLED_AFTER {
            (self.moving_since, self.pause) = (None, PAUSE_MIN);
        }
        self.ended_at = now;
        if is_motion(&reason) {
            self.moving_since.get_or_insert(now);
        }
        if reason == Reason::OtherGeneration
            && !self.bound
            && !self.afresh
            && (!self.in_doubt || self.idempotent)
        {
            self.afresh = true;
            self.in_doubt = false;
            return Next::Afresh;
        }
        let pause = self.pause;
        if self.waits_for(now + pause, &reason) && now + pause < self.deadline {
            self.pause = (pause * 2).min(PAUSE_MAX);
            return Next::Again { pause };
        }
        let in_doubt = self.in_doubt;
        Next::Finish(if in_doubt { Outcome::Unknown(reason) } else { Outcome::NotExecuted(reason) })
    }
}

/// Whether a reason says that the control side is in motion.
fn is_motion(reason: &Reason) -> bool {
    matches!(reason, Reason::NotHosted | Reason::OwnerUnreachable(_) | Reason::Fenced | Reason::LinkLost)
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
    fn patience_begins_with_the_motion_and_anew_with_the_next_one() {
        let (now, seconds) = (Instant::now(), Duration::from_secs);
        let options = CallOptions { deadline: seconds(60), ..CallOptions::default() };
        let mut attempts = Attempts::new(now, &options, true);
        let lost = || Outcome::Unknown(Reason::LinkLost);
        for begin in [now + seconds(20), now + seconds(40)] {
            assert!(matches!(attempts.handle(begin, lost()), Next::Again { .. }));
            assert!(matches!(
                attempts.handle(begin + seconds(4), refused(Reason::NotFound)),
                Next::Again { .. }
            ));
        }
        // It goes on in one motion, but not beyond the patience.
        let late = now + seconds(44) + Duration::from_millis(900);
        assert!(matches!(attempts.handle(late, lost()), Next::Again { .. }));
        assert!(matches!(attempts.handle(late + seconds(1), lost()), Next::Finish(_)));
    }

    #[test]
    fn a_deadline_ends_a_round_and_not_the_motion() {
        let (now, seconds) = (Instant::now(), Duration::from_secs);
        let options = CallOptions { deadline: seconds(10), patience: seconds(30), idempotent: true };
        let mut attempts = Attempts::new(now, &options, true);
        let refused = |reason| Outcome::NotExecuted(reason);
        assert!(matches!(attempts.handle(now + seconds(8), refused(Reason::NotHosted)), Next::Again { .. }));
        let end = now + seconds(10);
        assert!(matches!(attempts.handle(end, refused(Reason::NotFound)), Next::Finish(_)));
        assert!(attempts.waits_for(end, &Reason::NotFound) && !attempts.waits_for(end, &Reason::NoSuchTask));
        attempts.begin_round(end + seconds(10));
        assert!(matches!(attempts.handle(end, refused(Reason::NotFound)), Next::Again { .. }));
        assert!(!attempts.waits_for(now + seconds(38), &Reason::NotFound));
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
