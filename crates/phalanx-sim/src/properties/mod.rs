//! The promises, each a checker of its own that looks at one entry after the other and says which one broke it.
//!
//! The names are those of the promises: *always* must hold after every entry, *in the end* once the faults are over and
//! everything has had its time. What two processes of different versions do to each other, and how large a buffer is, no
//! history shows: recorded vectors and the tests of each cap do.

mod calls;
mod events;
mod ownership;
#[cfg(test)]
mod story;
mod tasks;

use std::time::Duration;

use calls::Calls;
use events::Events;
use ownership::Grants;
use tasks::TaskEnds;

use crate::history::Entry;

/// The names of the promises.
pub mod name {
    /// A worker begins nothing whose generation and fence are not the present ones.
    pub const PRESENT_FENCE: &str = "always: nothing begins but under the present fence";
    /// No fence of a worker's boot is granted twice.
    pub const FENCE_ONCE: &str = "always: no fence is granted twice";
    /// A call begins at most once, and its end says what is so.
    pub const CALL_ONCE: &str = "always: a call runs at most once, and its outcome is true";
    /// A call has one end.
    pub const ONE_OUTCOME: &str = "always: a call has exactly one outcome";
    /// A call ends in time.
    pub const CALL_IN_TIME: &str = "in the end: every call ends by its deadline and a second";
    /// A task starts at most once, and ends once.
    pub const TASK_ONCE: &str = "always: a task starts at most once, and its end never changes";
    /// The commands of a task come in order.
    pub const COMMANDS_IN_ORDER: &str = "always: commands come in order";
    /// The events of a task come in order, each missing one in a gap.
    pub const EVENTS_IN_ORDER: &str = "always: events come in order, and what is missing is in one gap";
    /// No event is handled twice where nothing has failed.
    pub const EVENT_ONCE: &str = "always: no event is handled twice without a failure";
    /// An event is acknowledged after its handler.
    pub const ACKNOWLEDGED_AFTER: &str = "always: an event is acknowledged after its handler";
    /// Who has handed a worker over does nothing more for it.
    pub const FORMER_HOLDER: &str = "always: nothing new of a former owner takes effect";
    /// Equal rosters give equal owners.
    pub const EQUAL_OWNERS: &str = "always: equal rosters give equal owners";
    /// One change of the roster moves not much more than it must.
    pub const FEW_MOVES: &str = "always: a change moves at most 1.15 times what it must";
    /// Whoever is granted a worker is a control node of this cluster.
    pub const AUTHENTICATED: &str = "always: an owner is an authenticated control node";
    /// A transfer is whole.
    pub const WHOLE_TRANSFER: &str = "always: a transfer that has arrived is whole";
    /// No task of the framework panics.
    pub const NO_PANIC: &str = "always: nothing panics";
    /// All control nodes see the same.
    pub const VIEWS_AGREE: &str = "in the end: views agree within 30 s";
    /// Every worker has exactly one proxy that serves it.
    pub const ONE_PROXY: &str = "in the end: every worker has one serving proxy within 60 s";
    /// Every worker is at its owner by the ring.
    pub const AT_OWNER: &str = "in the end: every worker is at its owner by the ring";
    /// Every event arrives.
    pub const EVENTS_ARRIVE: &str = "in the end: every event or its gap arrives within 60 s";
    /// Where nothing happens, no worker moves.
    pub const QUIET: &str = "in the end: quiet time has no move";

    /// All of them.
    pub const ALL: [&str; 21] = [
        PRESENT_FENCE,
        FENCE_ONCE,
        CALL_ONCE,
        ONE_OUTCOME,
        CALL_IN_TIME,
        TASK_ONCE,
        COMMANDS_IN_ORDER,
        EVENTS_IN_ORDER,
        EVENT_ONCE,
        ACKNOWLEDGED_AFTER,
        FORMER_HOLDER,
        EQUAL_OWNERS,
        FEW_MOVES,
        AUTHENTICATED,
        WHOLE_TRANSFER,
        NO_PANIC,
        VIEWS_AGREE,
        ONE_PROXY,
        AT_OWNER,
        EVENTS_ARRIVE,
        QUIET,
    ];
}

/// A promise that an entry breaks, and how.
pub(crate) type Broken = (&'static str, String);

/// How much has happened in a run: a history in which nothing does proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Calls, whatever became of them.
    pub calls: u64,
    /// Calls with an answer.
    pub calls_done: u64,
    /// Calls of which nobody can say what became.
    pub calls_unknown: u64,
    /// Tasks that began.
    pub tasks: u64,
    /// Events that were handled.
    pub events: u64,
    /// Events that were handled once more after a failure.
    pub events_again: u64,
    /// Gaps.
    pub gaps: u64,
    /// How often a worker was granted.
    pub grants: u64,
    /// How often by a handover.
    pub handovers: u64,
    /// Transfers that arrived.
    pub transfers: u64,
}

/// All checkers.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    grants: Grants,
    calls: Calls,
    tasks: TaskEnds,
    events: Events,
    transfers: u64,
}

impl Properties {
    /// What an entry breaks.
    pub(crate) fn check(&mut self, at: Duration, entry: &Entry) -> Vec<Broken> {
        let mut broken = Vec::new();
        self.grants.check(at, entry, &mut broken);
        self.calls.check(at, entry, &mut broken);
        self.tasks.check(entry, &mut broken);
        self.events.check(at, entry, &mut broken);
        match entry {
            Entry::Received { number, whole } => {
                self.transfers += 1;
                if !whole {
                    broken.push((name::WHOLE_TRANSFER, format!("transfer {number} is not what was sent")));
                }
            }
            Entry::Panicked { node, words } => broken.push((name::NO_PANIC, format!("on {node}: {words}"))),
            _ => {}
        }
        broken
    }

    /// What the end breaks.
    pub(crate) fn finish(&mut self, at: Duration) -> Vec<Broken> {
        let mut broken = self.calls.finish(at);
        broken.extend(self.events.finish(at));
        broken
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts { transfers: self.transfers, ..Counts::default() };
        self.grants.count(&mut counts);
        self.calls.count(&mut counts);
        self.events.count(&mut counts);
        self.tasks.count(&mut counts);
        counts
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::story::Story;
    use super::*;

    #[test]
    fn a_transfer_that_is_not_whole_breaks_its_promise() {
        let received = |whole| Entry::Received { number: 1, whole };
        let story = Story::begin().then(&received(true));
        assert_eq!(story.counts().transfers, 1);
        story.breaks_nothing();
        Story::begin().then(&received(false)).breaks(&[name::WHOLE_TRANSFER]);
    }

    #[test]
    fn a_panic_breaks_its_promise() {
        let panicked = Entry::Panicked { node: "worker-1".to_owned(), words: "no way".to_owned() };
        Story::begin().then(&panicked).breaks(&[name::NO_PANIC]);
    }

    #[test]
    fn each_promise_has_a_name_of_its_own() {
        assert_eq!(name::ALL.iter().collect::<BTreeSet<_>>().len(), name::ALL.len());
    }
}
