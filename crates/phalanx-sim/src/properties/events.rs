//! Events: in order, once where nothing fails, acknowledged after their handler, and there in the end.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use phalanx_base::{Boot, NodeId};
use phalanx_jobs::wire::TaskId;

use super::{Broken, Counts, name};
use crate::history::Entry;

/// How long an event may take where nothing is wrong any more.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Log {
    /// Up to which number it was handled, and in which era of its worker.
    handled: u64,
    handled_in: u64,
    ended: bool,
    /// What was emitted and not handled, with its time.
    waiting: VecDeque<(u64, Duration)>,
}

/// An era of a worker begins when it changes hands otherwise than by a handover: what was handled in one may be handled
/// again in another.
#[derive(Debug, Default)]
struct Eras {
    present: u64,
    /// In which era each control node was granted the worker last.
    granted_in: BTreeMap<Boot, u64>,
}

#[derive(Debug, Default)]
pub(super) struct Events {
    logs: BTreeMap<(Boot, TaskId), Log>,
    eras: BTreeMap<Boot, Eras>,
    /// The present boot of each worker that runs.
    running: BTreeMap<NodeId, Boot>,
    quiet_since: Option<Duration>,
    handled: u64,
    again: u64,
    gaps: u64,
}

impl Events {
    pub(super) fn check(&mut self, at: Duration, entry: &Entry, broken: &mut Vec<Broken>) {
        match entry {
            Entry::Quiet => self.quiet_since = Some(at),
            Entry::FaultBegan(_) => self.quiet_since = None,
            Entry::Started { boot, .. } => drop(self.running.insert(boot.node.clone(), boot.clone())),
            Entry::Stopped { boot, .. } => drop(self.running.remove(&boot.node)),
            Entry::Granted { worker, control, given, .. } => {
                let eras = self.eras.entry(worker.clone()).or_default();
                eras.present += u64::from(!given);
                eras.granted_in.insert(control.clone(), eras.present);
            }
            Entry::Emitted { worker, task, sequence } => {
                let Some(boot) = self.running.get(worker) else { return };
                let log = self.logs.entry((boot.clone(), task.clone())).or_default();
                // On a slow node a task gets its turn to say so after the event has been heard.
                if *sequence > log.handled {
                    log.waiting.push_back((*sequence, at));
                }
            }
            Entry::Acknowledged { worker, task, through } => {
                // Of tasks whose class writes no history nothing is known.
                let Some(log) = self.logs.get(&(worker.clone(), task.clone())) else { return };
                if *through > log.handled {
                    let what =
                        format!("{through} of {task} is acknowledged, and {} was handled last", log.handled);
                    broken.push((name::ACKNOWLEDGED_AFTER, what));
                }
            }
            Entry::Handled { .. } => self.check_handled(entry, broken),
            _ => {}
        }
    }

    fn check_handled(&mut self, entry: &Entry, broken: &mut Vec<Broken>) {
        let Entry::Handled { at: control, worker, task, sequences, after, ends, gap } = entry else { return };
        let era =
            self.eras.get(worker).and_then(|eras| eras.granted_in.get(control)).copied().unwrap_or_default();
        let log = self.logs.entry((worker.clone(), task.clone())).or_default();
        let (first, last) = *sequences;
        let shown = format!("{control} handles {first} to {last} of {task}");
        // A new boot of the worker ends the logs of the one before it: a gap to the end of all numbers, then the end.
        let lost = *ends && first == u64::MAX && *after == u64::MAX;
        if lost {
            log.ended = true;
            return;
        }
        if after.checked_add(1) != Some(first) || last < first {
            broken.push((name::EVENTS_IN_ORDER, format!("{shown}, and its state knows {after}")));
        }
        if *after > log.handled {
            let what = format!("{shown}: its state knows {after}, and only {} was handled", log.handled);
            broken.push((name::EVENTS_IN_ORDER, what));
        }
        if first <= log.handled {
            self.again += 1;
            if era == log.handled_in {
                broken.push((name::EVENT_ONCE, format!("{shown}, and {} was handled before", log.handled)));
            }
        } else if log.ended {
            broken.push((name::EVENTS_IN_ORDER, format!("{shown} after its end")));
        }
        if last >= log.handled {
            (log.handled, log.handled_in) = (last, era);
        }
        log.ended |= ends;
        while log.waiting.front().is_some_and(|(sequence, _)| *sequence <= last) {
            log.waiting.pop_front();
        }
        self.handled += 1;
        self.gaps += u64::from(*gap);
    }

    pub(super) fn finish(&mut self, at: Duration) -> Vec<Broken> {
        let Some(quiet) = self.quiet_since else { return Vec::new() };
        let mut broken = Vec::new();
        for ((worker, task), log) in &self.logs {
            let runs = self.running.get(&worker.node) == Some(worker);
            if let Some((sequence, emitted)) = log.waiting.front()
                && runs
                && (*emitted).max(quiet) + ARRIVES_WITHIN < at
            {
                let what =
                    format!("event {sequence} of {task} on {worker}, told at {emitted:.1?}, has not arrived");
                broken.push((name::EVENTS_ARRIVE, what));
            }
        }
        broken
    }

    pub(super) fn count(&self, counts: &mut Counts) {
        (counts.events, counts.events_again, counts.gaps) = (self.handled, self.again, self.gaps);
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{
        Story, acknowledged, boot, emitted, ended, given, granted, handled, handled_after, missing,
        next_boot, stopped, task,
    };
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// `w` belongs to `a`, and has told three events.
    fn told() -> Story {
        let story = Story::begin().then(&granted("a", 1));
        story.then(&emitted(1)).then(&emitted(2)).then(&emitted(3))
    }

    #[test]
    fn events_that_come_in_order_are_good() {
        let story = told().then(&handled("a", 1)).then(&acknowledged(1)).then(&handled("a", 2));
        let story = story.then(&handled("a", 3)).then(&ended("a", 4, 3)).then(&acknowledged(4));
        let counts = story.counts();
        assert_eq!((counts.events, counts.events_again, counts.gaps), (4, 0, 0));
        story.then(&Entry::Quiet).wait(ARRIVES_WITHIN + SECOND).breaks_nothing();
    }

    #[test]
    fn an_event_that_is_left_out_breaks_the_order() {
        told().then(&handled("a", 1)).then(&handled_after("a", (3, 3), 1)).breaks(&[name::EVENTS_IN_ORDER]);
    }

    #[test]
    fn a_state_that_knows_what_nobody_has_handled_breaks_the_order() {
        told().then(&handled("a", 1)).then(&handled("a", 3)).breaks(&[name::EVENTS_IN_ORDER]);
    }

    #[test]
    fn a_state_that_has_forgotten_something_breaks_the_order() {
        // The state after a loss is that of the last acknowledgement, and events go on where it ends.
        let story = told().then(&handled("a", 1)).then(&handled("a", 2)).then(&granted("b", 2));
        story.then(&handled_after("b", (3, 3), 0)).breaks(&[name::EVENTS_IN_ORDER]);
    }

    #[test]
    fn an_event_after_the_end_breaks_the_order() {
        let story = told().then(&handled("a", 1)).then(&ended("a", 2, 1));
        story.then(&handled("a", 3)).breaks(&[name::EVENTS_IN_ORDER]);
    }

    #[test]
    fn an_event_that_comes_again_without_a_failure_breaks_its_promise() {
        told().then(&handled("a", 1)).then(&handled("a", 1)).breaks(&[name::EVENT_ONCE]);
        told().then(&handled("a", 1)).then(&given("b", 2)).then(&handled("b", 1)).breaks(&[name::EVENT_ONCE]);
        told().then(&missing("a", 1, 2)).then(&missing("a", 1, 2)).breaks(&[name::EVENT_ONCE]);
        told().then(&missing("a", 1, 2)).then(&handled("a", 2)).breaks(&[name::EVENT_ONCE]);
    }

    #[test]
    fn an_event_that_comes_again_after_a_failure_is_good() {
        let story = told().then(&handled("a", 1)).then(&granted("b", 2)).then(&handled("b", 1));
        assert_eq!(story.counts().events_again, 1);
        story.breaks_nothing();
    }

    #[test]
    fn after_a_failure_it_comes_again_to_one_of_them_only() {
        let story = told().then(&handled("a", 1)).then(&granted("b", 2)).then(&handled("b", 1));
        story.then(&given("a", 3)).then(&handled("a", 1)).breaks(&[name::EVENT_ONCE]);
    }

    #[test]
    fn an_event_that_is_acknowledged_and_not_handled_breaks_its_promise() {
        told().then(&acknowledged(1)).breaks(&[name::ACKNOWLEDGED_AFTER]);
        told().then(&handled("a", 1)).then(&acknowledged(2)).breaks(&[name::ACKNOWLEDGED_AFTER]);
    }

    #[test]
    fn acknowledgements_of_a_class_that_writes_no_history_say_nothing() {
        Story::begin().then(&granted("a", 1)).then(&acknowledged(7)).breaks_nothing();
    }

    #[test]
    fn a_gap_stands_for_what_is_missing() {
        let story = told().then(&missing("a", 1, 2)).then(&acknowledged(2)).then(&handled("a", 3));
        assert_eq!((story.counts().events, story.counts().gaps), (2, 1));
        story.then(&Entry::Quiet).wait(ARRIVES_WITHIN + SECOND).breaks_nothing();
    }

    #[test]
    fn a_gap_that_is_too_short_or_ends_before_it_begins_breaks_the_order() {
        let short = told().then(&missing("a", 1, 1)).then(&handled("a", 3));
        short.breaks(&[name::EVENTS_IN_ORDER]);
        let backwards = told().then(&handled("a", 1)).then(&handled("a", 2)).then(&missing("a", 3, 2));
        backwards.breaks(&[name::EVENTS_IN_ORDER]);
    }

    #[test]
    fn a_new_boot_of_the_worker_ends_the_logs_of_the_one_before() {
        let story = told().then(&handled("a", 1)).then(&missing("a", 2, u64::MAX));
        story.then(&ended("a", u64::MAX, u64::MAX)).breaks_nothing();
    }

    #[test]
    fn after_the_end_of_all_numbers_nothing_comes() {
        let story = told().then(&missing("a", 1, u64::MAX));
        let story = story.then(&handled_after("a", (u64::MAX, u64::MAX), u64::MAX));
        story.breaks(&[name::EVENTS_IN_ORDER, name::EVENT_ONCE]);
    }

    #[test]
    fn an_event_that_never_comes_breaks_its_promise_in_the_end() {
        let quiet = || told().then(&handled("a", 1)).then(&Entry::Quiet);
        quiet().wait(ARRIVES_WITHIN).breaks_nothing();
        quiet().wait(ARRIVES_WITHIN + SECOND).end().breaks(&[name::EVENTS_ARRIVE]);
        let late = Story::begin().then(&Entry::Quiet).wait(ARRIVES_WITHIN).then(&emitted(1));
        late.wait(ARRIVES_WITHIN).breaks_nothing();
    }

    #[test]
    fn an_event_may_stay_away_while_something_is_wrong_or_its_worker_is_gone() {
        told().wait(10 * ARRIVES_WITHIN).breaks_nothing();
        let again = told().then(&Entry::Quiet).then(&Entry::FaultBegan("crash a".to_owned()));
        again.wait(10 * ARRIVES_WITHIN).breaks_nothing();
        told().then(&Entry::Quiet).then(&stopped("w")).wait(10 * ARRIVES_WITHIN).breaks_nothing();
        let restarted = Entry::Started { boot: next_boot("w"), is_control: false };
        let story = told().then(&stopped("w")).then(&restarted).then(&Entry::Quiet);
        story.wait(10 * ARRIVES_WITHIN).breaks_nothing();
    }

    #[test]
    fn a_task_on_a_slow_node_may_say_that_it_has_told_after_it_was_heard() {
        let story = Story::begin().then(&granted("a", 1)).then(&handled("a", 1)).then(&emitted(1));
        story.then(&Entry::Quiet).wait(ARRIVES_WITHIN + SECOND).breaks_nothing();
    }

    #[test]
    fn logs_of_different_boots_have_nothing_to_do_with_each_other() {
        let story = told().then(&handled("a", 1)).then(&handled("a", 2));
        let (at, worker, sequences) = (boot("a"), next_boot("w"), (1, 1));
        let first = Entry::Handled { at, worker, task: task(), sequences, after: 0, ends: false, gap: false };
        story.then(&first).breaks_nothing();
    }
}
