//! The worker's calls: what begins, what is refused, and how each one ends.

use std::time::{Duration, Instant};

use phalanx_base::{Fence, Generation, planted};

use super::starts::Start;
use super::{CALL_TIME_MAX, Running, RunningKind, WorkerCore, WorkerEvent};
use crate::begun::Begun;
use crate::codec;
use crate::outcome::{Cap, Outcome, Reason, TaskEnd};
use crate::session::LinkId;
use crate::tasks::Watch;
use crate::wire::{Call, CallId, ClassName, OutcomeOf, TaskId, Verb};

/// How many calls may wait on one worker in all before a further question for a task's end is refused: twice what one
/// owner can have under way, since those of a lost owner wait until their deadline.
const CALLS_RUNNING_MAX: usize = 16_384;

impl WorkerCore {
    /// The table of begun calls is asked first: a repeat gets the outcome of the first, whatever its fence.
    pub(super) fn handle_call(&mut self, now: Instant, link: LinkId, mut call: Call) {
        self.begun.share_name(&mut call.id);
        let refused = match self.begun.lookup(&call.id) {
            Begun::No => match self.check(link, &call) {
                Ok(()) => return self.begin(now, link, call),
                Err(reason) => Outcome::NotExecuted(reason),
            },
            Begun::Running => return self.begun.redirect(&call.id, link),
            Begun::Ended(_) if planted!("forgotten-calls") => return self.begin(now, link, call),
            Begun::Ended(outcome) => outcome,
            Begun::Forgotten => Outcome::Unknown(Reason::Forgotten),
            Begun::TooManyCallers => Outcome::NotExecuted(Reason::Busy(Cap::Callers)),
        };
        self.send(link, OutcomeOf { id: call.id, outcome: refused });
    }

    /// Everything that can be wrong with a call before it begins.
    fn check(&self, link: LinkId, call: &Call) -> Result<(), Reason> {
        if call.generation != self.generation() && !planted!("no-generation-check") {
            return Err(Reason::OtherGeneration);
        }
        if !self.arbiter.holds(link, call.fence) && !planted!("no-fence-check") {
            return Err(Reason::Fenced);
        }
        if call.remaining_ms == 0 {
            return Err(Reason::DeadlineExceeded);
        }
        match &call.verb {
            Verb::Request { class, .. } => {
                self.check_class(class)?;
                self.check_running_requests()?;
                self.status.runs_requests().then_some(()).ok_or(Reason::NotReady(self.status))
            }
            Verb::Start { class, instance, .. } => {
                self.check_class(class)?;
                // Said before what may pass: a later try cannot change it.
                instance.as_ref().map_or(Ok(()), |instance| self.instances.check(instance))?;
                if !self.status.takes_tasks() {
                    return Err(Reason::NotReady(self.status));
                }
                if self.tasks.running() >= self.config.tasks_max {
                    return Err(Reason::Busy(Cap::Tasks));
                }
                self.outbox.has_room().then_some(()).ok_or(Reason::Busy(Cap::EventLogs))
            }
            Verb::Command { task, .. } => self.tasks.check_running(task),
            Verb::Output { .. } if self.begun.running() >= CALLS_RUNNING_MAX => {
                Err(Reason::Busy(Cap::CallsInFlight))
            }
            Verb::Output { .. } | Verb::Stop { .. } | Verb::Kill { .. } => Ok(()),
        }
    }

    fn check_class(&self, class: &ClassName) -> Result<(), Reason> {
        match self.identity.classes.iter().find(|known| known.name == class.name) {
            Some(known) if known.version == class.version => Ok(()),
            Some(known) => Err(Reason::OtherVersion { ours: class.version, theirs: known.version }),
            None => Err(Reason::NoSuchClass),
        }
    }

    fn check_running_requests(&self) -> Result<(), Reason> {
        if self.running_requests >= self.config.running_requests_max {
            return Err(Reason::Busy(Cap::RunningRequests));
        }
        Ok(())
    }

    /// Whether a transfer may begin.
    ///
    /// # Errors
    /// Why it must not. Nothing changes in either case.
    pub fn check_transfer(
        &self,
        link: LinkId,
        fence: Fence,
        generation: Generation,
        task: &TaskId,
    ) -> Result<(), Reason> {
        if generation != self.generation() {
            return Err(Reason::OtherGeneration);
        }
        if !self.arbiter.holds(link, fence) {
            return Err(Reason::Fenced);
        }
        self.tasks.check_running(task)
    }

    fn begin(&mut self, now: Instant, link: LinkId, call: Call) {
        let deadline = now + Duration::from_millis(call.remaining_ms).min(CALL_TIME_MAX);
        let (id, under) = (call.id, (call.generation, call.fence));
        match call.verb {
            Verb::Request { class, body } => {
                self.begin_running(id.clone(), link, deadline, RunningKind::Request);
                self.events.push_back(WorkerEvent::RunRequest {
                    call: id,
                    under,
                    deadline,
                    class: class.name,
                    body,
                });
            }
            Verb::Start { class, body, on_disconnect, instance } => {
                let start = Start { class, body, on_disconnect, instance };
                self.begin_task(now, TaskId(id.clone()), under, start);
                self.answer_at_once(id, link, Outcome::Done(codec::unit()));
            }
            Verb::Command { task, stream, sequence, body } => {
                match self.tasks.command(&task, &stream, sequence, &id) {
                    Ok(()) => {
                        self.begin_running(id.clone(), link, deadline, RunningKind::Command(task.clone()));
                        self.events.push_back(WorkerEvent::Command { task, call: id, under, body });
                    }
                    Err(reason) => self.send(link, OutcomeOf { id, outcome: Outcome::NotExecuted(reason) }),
                }
            }
            Verb::Output { task } => match self.tasks.watch(&task, &id) {
                Watch::Waiting => self.begin_running(id, link, deadline, RunningKind::Output(task)),
                Watch::Ended(end) => self.answer_at_once(id, link, Outcome::Done(codec::encode_end(&end))),
                Watch::Refused(reason) => {
                    self.send(link, OutcomeOf { id, outcome: Outcome::NotExecuted(reason) });
                }
            },
            Verb::Stop { task, grace_ms } => {
                let at = now + Duration::from_millis(grace_ms).min(CALL_TIME_MAX);
                let outcome = self.end_task(&task, |core| core.stop_task(now, &task, at));
                self.answer_at_once(id, link, outcome);
            }
            Verb::Kill { task } => {
                let outcome = self.end_task(&task, |core| core.abort_task(now, &task, TaskEnd::Killed));
                self.answer_at_once(id, link, outcome);
            }
        }
    }

    fn begin_running(&mut self, id: CallId, link: LinkId, deadline: Instant, kind: RunningKind) {
        self.running_requests += usize::from(matches!(kind, RunningKind::Request));
        self.begun.begin(id.clone(), link);
        self.deadlines.insert((deadline, id.clone()));
        self.running.insert(id, Running { deadline, kind });
    }

    fn answer_at_once(&mut self, id: CallId, link: LinkId, outcome: Outcome) {
        if !matches!(outcome, Outcome::NotExecuted(_)) {
            self.begun.begin(id.clone(), link);
            self.begun.end(&id, outcome.clone());
        }
        self.send(link, OutcomeOf { id, outcome });
    }

    /// Ends a call from outside: its deadline has passed, or its caller went away.
    pub(super) fn cancel(&mut self, id: &CallId, reason: Reason) {
        let Some(running) = self.running.get(id) else { return };
        match &running.kind {
            RunningKind::Request => self.events.push_back(WorkerEvent::CancelRequest(id.clone())),
            // The task has the command already; only its answer is not waited for.
            RunningKind::Command(_) => {}
            RunningKind::Output(task) => self.tasks.unwatch(task, id),
        }
        self.finish(id, Outcome::Aborted(reason));
    }

    /// A call ends: its outcome is kept, and sent where the call came from, if that link is still there.
    pub(super) fn finish(&mut self, id: &CallId, outcome: Outcome) {
        let Some(running) = self.running.remove(id) else { return };
        self.deadlines.remove(&(running.deadline, id.clone()));
        self.running_requests -= usize::from(matches!(running.kind, RunningKind::Request));
        if let RunningKind::Command(task) = &running.kind {
            self.tasks.command_done(task, id);
        }
        if let Some(link) = self.begun.end(id, outcome.clone())
            && self.sessions.contains_key(&link)
        {
            self.send(link, OutcomeOf { id: id.clone(), outcome });
        }
    }
}
