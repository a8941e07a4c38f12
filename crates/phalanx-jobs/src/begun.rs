//! The worker's table of begun calls: why a call runs at most once, however often it arrives.
//!
//! The table is looked at before anything else, the fence included: an id that has begun gets its outcome, or *unknown*
//! where the outcome is not kept any more. Ids of one caller grow, so one number a caller, the floor, stands for all that
//! were forgotten; nothing at or below it ever runs.

use std::collections::{BTreeMap, VecDeque};

use phalanx_base::{Generation, NodeId};

use crate::outcome::Outcome;
use crate::session::LinkId;
use crate::wire::CallId;

/// How many ended calls are kept for repeats: what a control node can have in flight when it loses its link.
pub const ENDED_CALLS_MAX: usize = 8_192;

/// How many bytes of outcomes are kept for repeats.
pub const ENDED_BYTES_MAX: usize = 16 << 20;

/// How many callers are remembered. Each control node is one, and a new boot of it replaces the old one.
pub const CALLERS_MAX: usize = 1_024;

/// What the table knows of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It has never begun, and may.
    No,
    /// It is running.
    Running,
    /// It has ended.
    Ended(Outcome),
    /// It may have begun; it must not run again.
    Forgotten,
    /// The table is full of callers: it must not run now.
    TooManyCallers,
}

#[derive(Debug)]
enum State {
    Running { reply_to: LinkId },
    Ended(Outcome),
}

#[derive(Debug)]
struct Caller {
    generation: Generation,
    floor: Option<u64>,
}

/// The table. See the module's page.
#[derive(Debug, Default)]
pub struct BegunTable {
    calls: BTreeMap<CallId, State>,
    callers: BTreeMap<NodeId, Caller>,
    ended: VecDeque<(CallId, usize)>,
    ended_bytes: usize,
    running: usize,
}

impl BegunTable {
    /// What is known of a call.
    #[must_use]
    pub fn lookup(&self, id: &CallId) -> Begun {
        match self.calls.get(id) {
            Some(State::Running { .. }) => return Begun::Running,
            Some(State::Ended(outcome)) => return Begun::Ended(outcome.clone()),
            None => {}
        }
        match self.callers.get(&id.caller.node) {
            Some(caller) if id.caller.generation < caller.generation => Begun::Forgotten,
            Some(caller)
                if id.caller.generation == caller.generation && caller.floor >= Some(id.sequence) =>
            {
                Begun::Forgotten
            }
            Some(_) => Begun::No,
            None if self.callers.len() >= CALLERS_MAX => Begun::TooManyCallers,
            None => Begun::No,
        }
    }

    /// Lets an id share its caller's name with those that are known: each call comes with a copy of its own, and thousands
    /// are kept.
    pub fn share_name(&self, id: &mut CallId) {
        if let Some((known, _)) = self.callers.get_key_value(&id.caller.node) {
            id.caller.node = known.clone();
        }
    }

    /// How many calls run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// The call begins; its outcome goes to that link. Only after [`BegunTable::lookup`] said [`Begun::No`].
    pub fn begin(&mut self, id: CallId, reply_to: LinkId) {
        let caller = self
            .callers
            .entry(id.caller.node.clone())
            .or_insert(Caller { generation: id.caller.generation, floor: None });
        if id.caller.generation > caller.generation {
            *caller = Caller { generation: id.caller.generation, floor: None };
        }
        self.calls.insert(id, State::Running { reply_to });
        self.running += 1;
    }

    /// The call has begun in an earlier boot of the worker, and has ended so: whoever asks again gets that outcome.
    pub fn adopt(&mut self, id: &CallId, outcome: Outcome) {
        // No link waits for it, and the greatest number is none's.
        self.begin(id.clone(), LinkId(u64::MAX));
        self.end(id, outcome);
    }

    /// A repeat of a running call has arrived over another link: the outcome goes there.
    pub fn redirect(&mut self, id: &CallId, link: LinkId) {
        if let Some(State::Running { reply_to }) = self.calls.get_mut(id) {
            *reply_to = link;
        }
    }

    /// The call has ended: says where its outcome goes, or `None` if it had ended before.
    pub fn end(&mut self, id: &CallId, outcome: Outcome) -> Option<LinkId> {
        let state = self.calls.get_mut(id)?;
        let State::Running { reply_to } = *state else { return None };
        let bytes = match &outcome {
            Outcome::Done(body) | Outcome::Failed(body) => body.len(),
            _ => 0,
        };
        *state = State::Ended(outcome);
        self.running -= 1;
        self.ended.push_back((id.clone(), bytes));
        self.ended_bytes += bytes;
        while self.ended.len() > ENDED_CALLS_MAX || self.ended_bytes > ENDED_BYTES_MAX {
            self.forget_oldest();
        }
        Some(reply_to)
    }

    fn forget_oldest(&mut self) {
        let Some((id, bytes)) = self.ended.pop_front() else { return };
        self.ended_bytes -= bytes;
        self.calls.remove(&id);
        if let Some(caller) = self.callers.get_mut(&id.caller.node)
            && caller.generation == id.caller.generation
        {
            caller.floor = caller.floor.max(Some(id.sequence));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use phalanx_base::Boot;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn id(caller: &str, generation: u64, sequence: u64) -> CallId {
        let node = NodeId::new(caller).unwrap();
        CallId { caller: Boot { node, generation: Generation::from_u64(generation) }, sequence }
    }

    #[test]
    fn a_repeat_gets_the_outcome_of_the_first() {
        let mut table = BegunTable::default();
        let call = id("a", 1, 1);
        assert_eq!(table.lookup(&call), Begun::No);
        table.begin(call.clone(), LinkId(1));
        assert_eq!(table.lookup(&call), Begun::Running);
        table.redirect(&call, LinkId(2));
        let done = Outcome::Done(Bytes::from_static(b"x"));
        assert_eq!(table.end(&call, done.clone()), Some(LinkId(2)));
        assert_eq!(table.end(&call, Outcome::Done(Bytes::new())), None);
        assert_eq!(table.lookup(&call), Begun::Ended(done));
    }

    #[test]
    fn what_is_forgotten_never_runs_again() {
        let mut table = BegunTable::default();
        for sequence in 1..=ENDED_CALLS_MAX as u64 + 2 {
            table.begin(id("a", 1, sequence), LinkId(1));
            table.end(&id("a", 1, sequence), Outcome::Done(Bytes::new()));
        }
        assert_eq!(table.lookup(&id("a", 1, 2)), Begun::Forgotten);
        assert_eq!(table.lookup(&id("a", 1, 0)), Begun::Forgotten);
        assert!(matches!(table.lookup(&id("a", 1, 3)), Begun::Ended(_)));
        assert_eq!(table.lookup(&id("a", 2, 1)), Begun::No);
        table.begin(id("a", 2, 1), LinkId(1));
        assert_eq!(table.lookup(&id("a", 1, 99_999)), Begun::Forgotten);
    }

    #[test]
    fn outcomes_stay_within_their_bytes() {
        let mut table = BegunTable::default();
        let large = Bytes::from(vec![0; 1 << 20]);
        for sequence in 0..64 {
            table.begin(id("a", 1, sequence), LinkId(1));
            table.end(&id("a", 1, sequence), Outcome::Done(large.clone()));
        }
        assert!(table.ended_bytes <= ENDED_BYTES_MAX);
        assert_eq!(table.lookup(&id("a", 1, 0)), Begun::Forgotten);
    }

    proptest! {
        /// Against a model that remembers everything: no id is ever allowed to begin twice.
        #[test]
        fn nothing_begins_twice(steps in prop::collection::vec((0usize..2, 1u64..3, 0u64..30, any::<bool>()), 1..200)) {
            let mut table = BegunTable::default();
            let mut begun = BTreeSet::new();
            for (caller, generation, sequence, end) in steps {
                let call = id(["a", "b"][caller], generation, sequence);
                if table.lookup(&call) == Begun::No {
                    prop_assert!(begun.insert(call.clone()));
                    table.begin(call.clone(), LinkId(1));
                }
                if end {
                    table.end(&call, Outcome::Done(Bytes::new()));
                }
            }
        }
    }
}
