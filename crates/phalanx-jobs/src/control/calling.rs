//! The calls of one worker, as its proxy carries them: with the fence on the way there, with exactly one reply on the way
//! back.

use std::time::Instant;

use phalanx_base::planted;

use super::proxy::Proxy;
use super::{ControlEvent, Effects, ProxyCall};
use crate::outcome::{Cap, Outcome, Reason};
use crate::wire::{Call, CallId, Cancel, Hosting, TaskId, Verb};

impl Proxy {
    pub(super) fn handle_outcome(&mut self, id: &CallId, outcome: Outcome, fx: &mut Effects) {
        if let Some(followed) = &mut self.followed {
            match &outcome {
                Outcome::NotExecuted(_) => followed.forget(&TaskId(id.clone())),
                Outcome::Done(_) => followed.note_started(&TaskId(id.clone()), fx),
                Outcome::Failed(_) | Outcome::Aborted(_) | Outcome::Unknown(_) => {}
            }
        }
        self.in_flight.reply(id, outcome, fx);
    }

    /// A call has come for the worker. It is answered with exactly one [`ControlEvent::Reply`].
    pub(crate) fn handle_call(&mut self, now: Instant, call: ProxyCall, fx: &mut Effects) {
        let refused = match (&self.link, self.fence()) {
            (Some(link), Some(_))
                if link.boot.generation != call.generation && !planted!("no-generation-check") =>
            {
                Reason::OtherGeneration
            }
            (Some(_), Some(_)) if self.in_flight.is_full() => Reason::Busy(Cap::CallsInFlight),
            (Some(link), Some(fence)) => {
                if let (Verb::Start { class, instance, .. }, Some(followed)) =
                    (&call.verb, &mut self.followed)
                {
                    followed.open(TaskId(call.id.clone()), class.clone(), instance.clone());
                }
                self.in_flight.insert(call.id.clone(), call.deadline);
                let remaining = call.deadline.saturating_duration_since(now);
                let remaining_ms = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
                let ProxyCall { id, generation, verb, .. } = call;
                return fx.send(link.link, Call { id, fence, generation, remaining_ms, verb });
            }
            _ if self.hosting() == Hosting::NotConnected => Reason::NotConnected,
            _ => Reason::NotHosted,
        };
        fx.event(ControlEvent::Reply(call.id, Outcome::NotExecuted(refused)));
    }

    /// The caller of a call went away.
    pub(crate) fn handle_cancel(&mut self, id: &CallId, fx: &mut Effects) {
        if let Some(link) = &self.link
            && self.in_flight.contains(id)
        {
            fx.send(link.link, Cancel { id: id.clone() });
        }
    }
}
