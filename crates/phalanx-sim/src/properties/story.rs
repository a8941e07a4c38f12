//! Histories by hand, for the tests of the checkers: each must speak up when its promise is broken, and only then.

use std::time::Duration;

use phalanx_base::{Boot, Fence, Generation, NodeId};
use phalanx_jobs::wire::{CallId, TaskId};

use super::{Counts, Properties};
use crate::history::{End, Entry};

/// A history that is told entry by entry, and what it has broken so far.
pub(super) struct Story {
    properties: Properties,
    now: Duration,
    broken: Vec<&'static str>,
}

impl Story {
    /// The control nodes `a` and `b` run, and the worker `w`.
    pub(super) fn begin() -> Self {
        let story = Self { properties: Properties::default(), now: Duration::ZERO, broken: Vec::new() };
        story.then(&started("a", true)).then(&started("b", true)).then(&started("w", false))
    }

    /// This happens.
    pub(super) fn then(mut self, entry: &Entry) -> Self {
        let broken = self.properties.check(self.now, entry);
        self.broken.extend(broken.into_iter().map(|(name, _)| name));
        self
    }

    /// So much time goes by.
    pub(super) fn wait(mut self, time: Duration) -> Self {
        self.now += time;
        self
    }

    /// It is over.
    pub(super) fn end(mut self) -> Self {
        let broken = self.properties.finish(self.now);
        self.broken.extend(broken.into_iter().map(|(name, _)| name));
        self
    }

    pub(super) fn counts(&self) -> Counts {
        self.properties.counts()
    }

    /// Exactly these promises were broken, in this order.
    #[track_caller]
    pub(super) fn breaks(self, names: &[&str]) {
        assert_eq!(self.broken, names);
    }

    /// No promise was broken, and none is when it ends here.
    #[track_caller]
    pub(super) fn breaks_nothing(self) {
        self.end().breaks(&[]);
    }
}

/// The first boot of a node.
pub(super) fn boot(node: &str) -> Boot {
    Boot { node: id(node), generation: Generation::from_u64(1) }
}

/// The boot after that.
pub(super) fn next_boot(node: &str) -> Boot {
    Boot { node: id(node), generation: Generation::from_u64(2) }
}

fn id(node: &str) -> NodeId {
    node.parse().expect("the name of a node")
}

pub(super) fn started(node: &str, is_control: bool) -> Entry {
    Entry::Started { boot: boot(node), is_control }
}

pub(super) fn stopped(node: &str) -> Entry {
    Entry::Stopped { boot: boot(node), killed: true }
}

/// `w` takes an owner, since it has none or the former one is lost.
pub(super) fn granted(control: &str, fence: u64) -> Entry {
    Entry::Granted { worker: boot("w"), control: boot(control), fence: Fence(fence), given: false }
}

/// `w` takes an owner to whom the former one has handed it over.
pub(super) fn given(control: &str, fence: u64) -> Entry {
    Entry::Granted { worker: boot("w"), control: boot(control), fence: Fence(fence), given: true }
}

pub(super) fn orphaned() -> Entry {
    Entry::Orphaned { worker: boot("w") }
}

pub(super) fn begun(fence: u64) -> Entry {
    let call = CallId { caller: boot("a"), sequence: 1 };
    Entry::Begun { worker: boot("w"), call, fence: Fence(fence) }
}

/// `a` asks `w`.
pub(super) fn called(number: u64, deadline: Duration) -> Entry {
    Entry::Called { number, at: boot("a"), worker: id("w"), starts: false, deadline }
}

/// `a` asks `w` to start a task.
pub(super) fn asked_to_start(number: u64, deadline: Duration) -> Entry {
    Entry::Called { number, at: boot("a"), worker: id("w"), starts: true, deadline }
}

pub(super) fn ran(number: u64) -> Entry {
    Entry::Ran { number, worker: id("w") }
}

pub(super) fn answered(number: u64, end: End) -> Entry {
    Entry::Answered { number, end, hindered: false }
}

/// The one task of which events are told.
pub(super) fn task() -> TaskId {
    TaskId(CallId { caller: boot("a"), sequence: 1 })
}

pub(super) fn emitted(sequence: u64) -> Entry {
    Entry::Emitted { worker: id("w"), task: task(), sequence }
}

pub(super) fn acknowledged(through: u64) -> Entry {
    Entry::Acknowledged { worker: boot("w"), task: task(), through }
}

/// A handler whose state knows what came before has an event.
pub(super) fn handled(control: &str, sequence: u64) -> Entry {
    handled_after(control, (sequence, sequence), sequence - 1)
}

/// A handler whose state knows this much has these events.
pub(super) fn handled_after(control: &str, sequences: (u64, u64), after: u64) -> Entry {
    let (at, worker) = (boot(control), boot("w"));
    Entry::Handled { at, worker, task: task(), sequences, after, ends: false, gap: false }
}

/// A handler whose state knows what came before hears that these are missing.
pub(super) fn missing(control: &str, first: u64, last: u64) -> Entry {
    let (at, worker, sequences) = (boot(control), boot("w"), (first, last));
    Entry::Handled { at, worker, task: task(), sequences, after: first - 1, ends: false, gap: true }
}

/// A handler whose state knows this much hears that the task has ended.
pub(super) fn ended(control: &str, sequence: u64, after: u64) -> Entry {
    let (at, worker, sequences) = (boot(control), boot("w"), (sequence, sequence));
    Entry::Handled { at, worker, task: task(), sequences, after, ends: true, gap: false }
}
