//! What has happened, and the promises it is held against.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use phalanx_base::{Boot, Fence, Generation};
use phalanx_jobs::wire::{Ack, Attached, Call, CallId, EventBody, OutcomeOf, TaskId, TaskState};
use phalanx_jobs::{Handle, LinkId, Outcome};

type Log = (Generation, TaskId);

/// The observer. Every method panics when a promise is broken.
#[derive(Debug, Default)]
pub(crate) struct History {
    granted: BTreeSet<(Generation, Fence)>,
    last_granted: Option<(LinkId, Fence)>,
    present: Option<(LinkId, Fence)>,
    delivering: Option<(LinkId, Call)>,
    begun: BTreeSet<CallId>,
    outcomes: BTreeMap<CallId, Outcome>,
    /// What each task has said: `None` is its end.
    said: BTreeMap<Log, Vec<Option<Bytes>>>,
    handled: BTreeMap<Log, BTreeSet<u64>>,
    handed: BTreeMap<Log, BTreeSet<u64>>,
    cursors: BTreeMap<(Boot, Log), u64>,
    pub(crate) gaps: BTreeMap<Log, Vec<(u64, u64)>>,
    /// Whether anything was cut or crashed: only then may an event be handled twice.
    pub(crate) faulty: bool,
}

fn through((first, body): &(u64, EventBody)) -> u64 {
    match body {
        EventBody::Gap { through } => *through,
        EventBody::Emitted(_) | EventBody::Ended(_) => *first,
    }
}

/// The last number of a batch.
pub(crate) fn last(batch: &Handle) -> u64 {
    batch.entries.last().map_or(0, through)
}

impl History {
    /// No (generation, fence) is granted twice.
    pub(crate) fn granted(&mut self, generation: Generation, link: LinkId, attached: &Attached) {
        assert!(self.granted.insert((generation, attached.fence)), "fence {} twice", attached.fence);
        self.last_granted = Some((link, attached.fence));
    }

    pub(crate) fn owned(&mut self) {
        self.present = self.last_granted;
    }

    pub(crate) fn orphaned(&mut self) {
        self.present = None;
    }

    pub(crate) fn delivering(&mut self, call: Option<(LinkId, Call)>) {
        self.delivering = call;
    }

    /// A call begins once, on the present link, under the present fence, in the boot it was stamped for.
    pub(crate) fn begun(&mut self, generation: Generation, id: &CallId) {
        assert!(self.begun.insert(id.clone()), "{id} begins twice");
        let (link, call) = self.delivering.as_ref().expect("a call begins when it arrives");
        assert_eq!(call.id, *id);
        assert_eq!(call.generation, generation, "{id} runs in another boot");
        assert_eq!(self.present, Some((*link, call.fence)), "{id} runs under a stale fence");
    }

    pub(crate) fn has_begun(&self, id: &CallId) -> bool {
        self.begun.contains(id)
    }

    /// *Not executed* means never begun; an outcome never changes.
    pub(crate) fn worker_said(&mut self, said: &OutcomeOf) {
        match &said.outcome {
            Outcome::NotExecuted(_) => assert!(!self.begun.contains(&said.id), "{} has begun", said.id),
            Outcome::Unknown(_) => {}
            outcome => {
                let before = self.outcomes.entry(said.id.clone()).or_insert_with(|| outcome.clone());
                assert_eq!(before, outcome, "the outcome of {} changed", said.id);
            }
        }
    }

    pub(crate) fn said(&mut self, generation: Generation, task: &TaskId, body: Option<Bytes>) {
        self.said.entry((generation, task.clone())).or_default().push(body);
    }

    /// A handler gets entries: in order, as they were said, no number skipped, and none twice without a fault.
    pub(crate) fn handed(&mut self, control: &Boot, batch: &Handle) {
        let log = (batch.generation, batch.task.clone());
        let said = self.said.get(&log).map_or(&[][..], Vec::as_slice);
        let cursor = self.cursors.entry((control.clone(), log.clone())).or_default();
        let handed = self.handed.entry(log.clone()).or_default();
        let handled = self.handled.entry(log.clone()).or_default();
        let first = batch.entries.first().expect("no batch is empty").0;
        assert!((1..first).all(|number| handled.contains(&number)), "skipped before {first}: {handled:?}");
        assert!(first == *cursor + 1 || (batch.restore.is_some() && first > *cursor), "{cursor} {batch:?}");
        if let Some(Some(checkpoint)) = &batch.restore {
            assert_eq!(checkpoint, &state_after(first - 1), "a state that is not the one before {first}");
        }
        *cursor = first - 1;
        for entry in &batch.entries {
            assert_eq!(entry.0, *cursor + 1, "out of order: {batch:?}");
            *cursor = through(entry);
            for number in entry.0..=*cursor {
                assert!(handed.insert(number) || self.faulty, "{number} twice without a fault");
            }
            let index = |number: u64| usize::try_from(number - 1).expect("small numbers");
            match &entry.1 {
                EventBody::Emitted(body) => assert_eq!(said[index(entry.0)].as_ref(), Some(body)),
                EventBody::Ended(_) => assert_eq!(said[index(entry.0)..], [None]),
                EventBody::Gap { through } => {
                    assert!(said[index(*through)].is_some(), "a gap hides an end");
                    self.gaps.entry(log.clone()).or_default().push((entry.0, *through));
                }
            }
        }
    }

    /// A control node does not follow the worker any more.
    pub(crate) fn forgotten(&mut self, control: &Boot) {
        self.cursors.retain(|(of, _), _| of != control);
    }

    /// A handler has returned.
    pub(crate) fn returned(&mut self, batch: &Handle) {
        let handled = self.handled.entry((batch.generation, batch.task.clone())).or_default();
        handled.extend(batch.entries.iter().flat_map(|entry| entry.0..=through(entry)));
    }

    /// Nothing is acknowledged before it is handled, nor without the state after it.
    pub(crate) fn acknowledged(&self, generation: Generation, ack: &Ack) {
        let handled = self.handled.get(&(generation, ack.task.clone()));
        let all = (1..=ack.through).all(|number| handled.is_some_and(|handled| handled.contains(&number)));
        assert!(all, "{ack:?} before {handled:?}");
        if let Some(checkpoint) = &ack.checkpoint {
            assert_eq!(checkpoint, &state_after(ack.through));
        }
    }

    /// The state of a task after what its handler has returned for, as its control node holds it.
    pub(crate) fn state(&self, generation: Generation, task: TaskId) -> Option<TaskState> {
        let through = self.handled.get(&(generation, task.clone()))?.last()?;
        Some(TaskState { task, state: state_after(*through) })
    }

    /// The numbers of a log that nobody has handled.
    pub(crate) fn missing(&self, generation: Generation) -> Vec<(TaskId, u64)> {
        let of_boot = self.said.iter().filter(|((of, _), _)| *of == generation);
        of_boot
            .flat_map(|(log, said)| (1..=said.len() as u64).map(move |number| (log, number)))
            .filter(|(log, number)| !self.handled.get(*log).is_some_and(|handled| handled.contains(number)))
            .map(|(log, number)| (log.1.clone(), number))
            .collect()
    }

    /// The numbers of a log that were handled, in order.
    pub(crate) fn handled(&self, generation: Generation, task: &TaskId) -> Vec<u64> {
        let handled = self.handled.get(&(generation, task.clone()));
        handled.into_iter().flatten().copied().collect()
    }
}

/// The state that a handler keeps here: the last number it has handled.
pub(crate) fn state_after(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}
