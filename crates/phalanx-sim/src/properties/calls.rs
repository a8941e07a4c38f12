//! Requests, starts and commands: each runs at most once, has one outcome, and that is true and in time.

use std::collections::BTreeMap;
use std::time::Duration;

use phalanx_base::{Boot, NodeId};

use super::{Broken, Counts, name};
use crate::history::{End, Entry};

/// How long after its deadline a call may take to say so.
const GRACE: Duration = Duration::from_secs(1);

/// How long a task that has started may take to run, on a node that may be stopped meanwhile.
const START_TIME: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Call {
    at: Option<Boot>,
    worker: Option<NodeId>,
    starts: bool,
    deadline: Duration,
    ran: u64,
    /// The worker has ended before its task ran.
    starts_in_vain: bool,
    end: Option<End>,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: BTreeMap<u64, Call>,
}

impl Calls {
    pub(super) fn check(&mut self, at: Duration, entry: &Entry, broken: &mut Vec<Broken>) {
        match entry {
            Entry::Called { number, at, worker, starts, deadline } => {
                let call = self.calls.entry(*number).or_default();
                (call.at, call.worker) = (Some(at.clone()), Some(worker.clone()));
                (call.starts, call.deadline) = (*starts, *deadline);
            }
            Entry::Stopped { boot, .. } => {
                for call in self.calls.values_mut() {
                    if call.at.as_ref() == Some(boot) && call.end.is_none() {
                        call.end = Some(End::Abandoned);
                    }
                    // What has not run a line by now never will.
                    if call.starts && call.worker.as_ref() == Some(&boot.node) {
                        call.starts_in_vain |= call.ran == 0;
                    }
                }
            }
            Entry::Ran { number, worker } => {
                let call = self.calls.entry(*number).or_default();
                call.ran += 1;
                if call.worker.as_ref().is_some_and(|asked| asked != worker) {
                    broken.push((
                        name::CALL_ONCE,
                        format!("call {number} was for {:?}, and runs on {worker}", call.worker),
                    ));
                }
                if call.ran > 1 {
                    broken.push((
                        name::CALL_ONCE,
                        format!("call {number} runs {} times, now on {worker}", call.ran),
                    ));
                }
                if call.end == Some(End::NotExecuted) {
                    broken.push((
                        name::CALL_ONCE,
                        format!("call {number} runs on {worker} and was said not to"),
                    ));
                }
            }
            Entry::Answered { number, end, hindered } => {
                self.check_answer(at, (*number, *end, *hindered), broken)
            }
            _ => {}
        }
    }

    fn check_answer(
        &mut self,
        at: Duration,
        (number, end, hindered): (u64, End, bool),
        broken: &mut Vec<Broken>,
    ) {
        let call = self.calls.entry(number).or_default();
        if let Some(before) = call.end {
            broken
                .push((name::ONE_OUTCOME, format!("call {number} ended as {before:?}, and now as {end:?}")));
        }
        call.end = Some(end);
        match end {
            End::NotExecuted if call.ran > 0 => {
                broken.push((
                    name::CALL_ONCE,
                    format!("call {number} ran, and is said not to have been executed"),
                ));
            }
            End::Done if call.ran == 0 && !call.starts => {
                broken.push((name::CALL_ONCE, format!("call {number} is said to be done, and never ran")));
            }
            _ => {}
        }
        if at > call.deadline + GRACE && !hindered && end != End::Abandoned {
            let late = at.saturating_sub(call.deadline).as_millis();
            broken.push((name::CALL_IN_TIME, format!("call {number} ended {late} ms after its deadline")));
        }
    }

    pub(super) fn finish(&mut self, at: Duration) -> Vec<Broken> {
        let late = |call: &Call| call.end.is_none() && call.deadline + GRACE < at;
        let missing = self.calls.iter().filter(|(_, call)| late(call));
        let mut broken: Vec<Broken> =
            missing.map(|(number, _)| (name::CALL_IN_TIME, format!("call {number} never ended"))).collect();
        let vain = |call: &Call| call.end == Some(End::Done) && call.ran == 0 && !call.starts_in_vain;
        let vain = self.calls.iter().filter(|(_, call)| vain(call) && call.deadline + START_TIME < at);
        broken.extend(
            vain.map(|(number, _)| (name::CALL_ONCE, format!("task {number} is said to run, and never did"))),
        );
        broken
    }

    pub(super) fn count(&self, counts: &mut Counts) {
        let ended = |end| self.calls.values().filter(|call| call.end == Some(end)).count() as u64;
        counts.calls = self.calls.len() as u64;
        (counts.calls_done, counts.calls_unknown) = (ended(End::Done), ended(End::Unknown));
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{Story, answered, asked_to_start, boot, called, ran, stopped};
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);
    const LONG: Duration = Duration::from_secs(600);

    fn asked() -> Story {
        Story::begin().then(&called(1, DEADLINE))
    }

    #[test]
    fn calls_that_end_as_they_ran_are_good() {
        asked().then(&ran(1)).then(&answered(1, End::Done)).wait(LONG).breaks_nothing();
        asked().then(&ran(1)).then(&answered(1, End::Aborted)).wait(LONG).breaks_nothing();
        asked().then(&answered(1, End::NotExecuted)).wait(LONG).breaks_nothing();
        // Whoever does not know may have been heard, at once or later, or not at all.
        asked().then(&answered(1, End::Unknown)).wait(LONG).breaks_nothing();
        asked().then(&ran(1)).then(&answered(1, End::Unknown)).wait(LONG).breaks_nothing();
        asked().then(&answered(1, End::Unknown)).then(&ran(1)).wait(LONG).breaks_nothing();
    }

    #[test]
    fn a_call_that_runs_twice_breaks_its_promise() {
        asked().then(&ran(1)).then(&ran(1)).breaks(&[name::CALL_ONCE]);
        let answered = asked().then(&ran(1)).then(&answered(1, End::Done));
        answered.then(&ran(1)).breaks(&[name::CALL_ONCE]);
    }

    #[test]
    fn a_call_that_ran_was_executed() {
        asked().then(&ran(1)).then(&answered(1, End::NotExecuted)).breaks(&[name::CALL_ONCE]);
        asked().then(&answered(1, End::NotExecuted)).then(&ran(1)).breaks(&[name::CALL_ONCE]);
    }

    #[test]
    fn an_answer_without_a_run_is_none() {
        asked().then(&answered(1, End::Done)).breaks(&[name::CALL_ONCE]);
    }

    #[test]
    fn a_task_may_be_started_before_it_runs_but_must_run() {
        let started = || Story::begin().then(&asked_to_start(1, DEADLINE)).then(&answered(1, End::Done));
        started().wait(DEADLINE).then(&ran(1)).wait(LONG).breaks_nothing();
        started().wait(DEADLINE).breaks_nothing();
        started().wait(LONG).end().breaks(&[name::CALL_ONCE]);
        started().then(&ran(1)).then(&ran(1)).breaks(&[name::CALL_ONCE]);
        // With its worker's process the task has ended.
        started().then(&stopped("w")).wait(LONG).breaks_nothing();
    }

    #[test]
    fn a_call_has_one_outcome() {
        let done = || asked().then(&ran(1)).then(&answered(1, End::Done));
        done().then(&answered(1, End::Unknown)).breaks(&[name::ONE_OUTCOME]);
        done().then(&answered(1, End::Done)).breaks(&[name::ONE_OUTCOME]);
    }

    #[test]
    fn an_answer_after_the_deadline_is_late() {
        let (in_time, late) = (DEADLINE + GRACE, DEADLINE + GRACE + Duration::from_millis(1));
        asked().wait(in_time).then(&answered(1, End::Unknown)).breaks_nothing();
        asked().wait(late).then(&answered(1, End::Unknown)).breaks(&[name::CALL_IN_TIME]);
        // A node that was stopped could not say it in time.
        let hindered = Entry::Answered { number: 1, end: End::Unknown, hindered: true };
        asked().wait(late).then(&hindered).breaks_nothing();
    }

    #[test]
    fn a_call_that_never_ends_is_late_in_the_end() {
        asked().wait(LONG).end().breaks(&[name::CALL_IN_TIME]);
        asked().wait(DEADLINE).breaks_nothing();
    }

    #[test]
    fn nobody_answers_the_dead() {
        asked().then(&stopped("a")).wait(LONG).breaks_nothing();
        // Another node's death is no excuse, nor is that of another boot.
        asked().then(&stopped("b")).wait(LONG).end().breaks(&[name::CALL_IN_TIME]);
        let earlier = Boot { generation: phalanx_base::Generation::from_u64(0), ..boot("a") };
        let stopped = Entry::Stopped { boot: earlier, killed: true };
        asked().then(&stopped).wait(LONG).end().breaks(&[name::CALL_IN_TIME]);
    }

    #[test]
    fn calls_are_counted_by_their_ends() {
        let story = asked().then(&ran(1)).then(&answered(1, End::Done));
        let story = story.then(&called(2, DEADLINE)).then(&answered(2, End::Unknown));
        let story = story.then(&called(3, DEADLINE)).then(&answered(3, End::NotExecuted));
        let counts = story.counts();
        assert_eq!((counts.calls, counts.calls_done, counts.calls_unknown), (3, 1, 1));
    }
}
