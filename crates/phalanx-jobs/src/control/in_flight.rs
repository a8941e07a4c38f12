//! The calls that a proxy has sent and that have not been answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use phalanx_base::planted;

use super::{ControlEvent, Effects};
use crate::outcome::{Outcome, Reason};
use crate::wire::CallId;

/// How many calls may be under way to one worker: far more than it runs at one time, and a bound on what a silent
/// worker can pin.
pub(crate) const CALLS_IN_FLIGHT_MAX: usize = 8_192;

/// How long after its deadline a call is given up: the worker's own word about the deadline is the better one.
const DEADLINE_GRACE: Duration = Duration::from_millis(500);

/// The table. Whatever enters leaves it with exactly one reply.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    calls: BTreeMap<CallId, Instant>,
    deadlines: BTreeSet<(Instant, CallId)>,
}

impl InFlight {
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.calls.len() >= CALLS_IN_FLIGHT_MAX
    }

    /// A call has been sent. A repeat of one that is under way takes its place, since both are the same call.
    pub(crate) fn insert(&mut self, id: CallId, deadline: Instant) {
        let until = deadline + DEADLINE_GRACE;
        if let Some(before) = self.calls.insert(id.clone(), until) {
            self.deadlines.remove(&(before, id.clone()));
        }
        self.deadlines.insert((until, id));
    }

    pub(crate) fn contains(&self, id: &CallId) -> bool {
        self.calls.contains_key(id)
    }

    pub(crate) fn reply(&mut self, id: &CallId, outcome: Outcome, fx: &mut Effects) {
        if let Some(until) = self.calls.remove(id) {
            self.deadlines.remove(&(until, id.clone()));
            fx.event(ControlEvent::Reply(id.clone(), outcome));
        }
    }

    /// The link is lost: nobody can say what became of any of them.
    pub(crate) fn lose_all(&mut self, fx: &mut Effects) {
        self.deadlines.clear();
        for (id, _) in std::mem::take(&mut self.calls) {
            let outcome = match planted!("lost-is-not-executed") {
                true => Outcome::NotExecuted(Reason::LinkLost),
                false => Outcome::Unknown(Reason::LinkLost),
            };
            fx.event(ControlEvent::Reply(id, outcome));
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, fx: &mut Effects) {
        while let Some((until, id)) = self.deadlines.first().cloned()
            && until <= now
        {
            self.reply(&id, Outcome::Unknown(Reason::DeadlineExceeded), fx);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(until, _)| *until)
    }
}
