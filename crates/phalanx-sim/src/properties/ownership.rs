//! Who owns whom, and what is done in whose name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use phalanx_base::{Boot, Fence};

use super::{Broken, Counts, name};
use crate::history::Entry;

/// How long after the last fault workers may still move: until all have a proxy, the cluster has settled, and all are at
/// home.
const MOVES_UNTIL: Duration = Duration::from_secs(90);

/// What is known of one boot of a worker.
#[derive(Debug, Default)]
struct Held {
    present: Option<(Boot, Fence)>,
    /// The greatest fence so far.
    issued: Fence,
    /// Who has handed it over, and was not granted it since.
    given_away_by: BTreeSet<Boot>,
}

#[derive(Debug, Default)]
pub(super) struct Grants {
    controls: BTreeSet<Boot>,
    workers: BTreeMap<Boot, Held>,
    quiet_since: Option<Duration>,
    granted: u64,
    given: u64,
}

impl Grants {
    pub(super) fn check(&mut self, at: Duration, entry: &Entry, broken: &mut Vec<Broken>) {
        match entry {
            Entry::Started { boot, is_control: true } => drop(self.controls.insert(boot.clone())),
            Entry::Quiet => self.quiet_since = Some(at),
            Entry::FaultBegan(_) => self.quiet_since = None,
            Entry::Granted { worker, control, fence, given } => {
                self.check_grant(worker, control, *fence, *given, broken);
                if self.quiet_since.is_some_and(|since| at > since + MOVES_UNTIL) {
                    broken.push((
                        name::QUIET,
                        format!("{worker} was granted to {control} although nothing had happened"),
                    ));
                }
            }
            Entry::Orphaned { worker } | Entry::Stopped { boot: worker, .. } => {
                self.workers.entry(worker.clone()).or_default().present = None;
            }
            Entry::Begun { worker, call, fence } => {
                let present = self.workers.get(worker).and_then(|held| held.present.as_ref());
                if present.is_none_or(|(_, present)| present != fence) {
                    let shown =
                        present.map_or("none".to_owned(), |(control, fence)| format!("{fence} of {control}"));
                    let what =
                        format!("{worker} has begun {call} under {fence}, and the present fence is {shown}");
                    broken.push((name::PRESENT_FENCE, what));
                }
            }
            Entry::Handled { at: control, worker, task, sequences, .. }
                if self.workers.get(worker).is_some_and(|held| held.given_away_by.contains(control)) =>
            {
                let what = format!(
                    "{control} has handled {sequences:?} of {task} after it had handed {worker} over"
                );
                broken.push((name::FORMER_HOLDER, what));
            }
            _ => {}
        }
    }

    fn check_grant(
        &mut self,
        worker: &Boot,
        control: &Boot,
        fence: Fence,
        given: bool,
        broken: &mut Vec<Broken>,
    ) {
        self.granted += 1;
        self.given += u64::from(given);
        if !self.controls.contains(control) {
            broken.push((
                name::AUTHENTICATED,
                format!("{worker} was granted to {control}, which is no control node"),
            ));
        }
        let held = self.workers.entry(worker.clone()).or_default();
        if fence <= held.issued {
            let what = format!("{worker} has granted {fence} to {control} after {}", held.issued);
            broken.push((name::FENCE_ONCE, what));
        }
        held.issued = held.issued.max(fence);
        let former = held.present.replace((control.clone(), fence));
        if let (true, Some((former, _))) = (given, former) {
            held.given_away_by.insert(former);
        }
        held.given_away_by.remove(control);
    }

    pub(super) fn count(&self, counts: &mut Counts) {
        (counts.grants, counts.handovers) = (self.granted, self.given);
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{Story, begun, boot, given, granted, handled, next_boot, orphaned};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn owned() -> Story {
        Story::begin().then(&granted("a", 1))
    }

    #[test]
    fn a_worker_that_changes_hands_as_it_should_is_good() {
        let story = owned().then(&begun(1)).then(&handled("a", 1));
        let story = story.then(&given("b", 2)).then(&begun(2)).then(&handled("b", 2));
        let story = story.then(&orphaned()).then(&granted("a", 3)).then(&begun(3));
        let counts = story.counts();
        assert_eq!((counts.grants, counts.handovers), (3, 1));
        story.breaks_nothing();
    }

    #[test]
    fn work_under_another_fence_breaks_its_promise() {
        owned().then(&granted("b", 2)).then(&begun(1)).breaks(&[name::PRESENT_FENCE]);
        owned().then(&begun(2)).breaks(&[name::PRESENT_FENCE]);
    }

    #[test]
    fn work_without_an_owner_breaks_its_promise() {
        Story::begin().then(&begun(1)).breaks(&[name::PRESENT_FENCE]);
        owned().then(&orphaned()).then(&begun(1)).breaks(&[name::PRESENT_FENCE]);
    }

    #[test]
    fn work_under_the_fence_of_an_earlier_boot_breaks_its_promise() {
        let (worker, fence) = (next_boot("w"), Fence(1));
        let call = phalanx_jobs::wire::CallId { caller: boot("a"), sequence: 1 };
        owned().then(&Entry::Begun { worker, call, fence }).breaks(&[name::PRESENT_FENCE]);
    }

    #[test]
    fn a_fence_that_does_not_grow_breaks_its_promise() {
        owned().then(&granted("b", 1)).breaks(&[name::FENCE_ONCE]);
        owned().then(&granted("a", 1)).breaks(&[name::FENCE_ONCE]);
        owned().then(&granted("b", 5)).then(&granted("a", 4)).breaks(&[name::FENCE_ONCE]);
        // Neither does an orphan forget what it has granted.
        owned().then(&orphaned()).then(&granted("b", 1)).breaks(&[name::FENCE_ONCE]);
    }

    #[test]
    fn fences_of_different_boots_have_nothing_to_do_with_each_other() {
        let (worker, control) = (next_boot("w"), boot("b"));
        owned().then(&Entry::Granted { worker, control, fence: Fence(1), given: false }).breaks_nothing();
    }

    #[test]
    fn an_owner_that_is_no_control_node_breaks_its_promise() {
        Story::begin().then(&granted("w", 1)).breaks(&[name::AUTHENTICATED]);
        Story::begin().then(&granted("stranger", 1)).breaks(&[name::AUTHENTICATED]);
        let (worker, control) = (boot("w"), next_boot("a"));
        let unborn = Entry::Granted { worker, control, fence: Fence(1), given: false };
        Story::begin().then(&unborn).breaks(&[name::AUTHENTICATED]);
    }

    #[test]
    fn who_has_handed_a_worker_over_handles_nothing_more() {
        owned().then(&given("b", 2)).then(&handled("a", 1)).breaks(&[name::FORMER_HOLDER]);
    }

    #[test]
    fn who_was_given_the_worker_back_handles_again() {
        owned().then(&given("b", 2)).then(&given("a", 3)).then(&handled("a", 1)).breaks_nothing();
        owned().then(&given("b", 2)).then(&granted("a", 3)).then(&handled("a", 1)).breaks_nothing();
    }

    #[test]
    fn who_has_lost_a_worker_without_a_word_may_still_handle_what_it_has() {
        owned().then(&granted("b", 2)).then(&handled("a", 1)).breaks_nothing();
    }

    #[test]
    fn a_move_long_after_the_last_fault_breaks_the_quiet() {
        let quiet = || owned().then(&Entry::Quiet);
        quiet().wait(MOVES_UNTIL).then(&given("b", 2)).breaks_nothing();
        quiet().wait(MOVES_UNTIL + SECOND).then(&given("b", 2)).breaks(&[name::QUIET]);
        owned().wait(MOVES_UNTIL + SECOND).then(&given("b", 2)).breaks_nothing();
        let again = quiet().wait(MOVES_UNTIL).then(&Entry::FaultBegan("crash a".to_owned()));
        again.wait(SECOND).then(&granted("b", 2)).breaks_nothing();
    }
}
