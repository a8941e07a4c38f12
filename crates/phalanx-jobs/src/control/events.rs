//! The event logs of one worker's tasks, as its proxy follows them.
//!
//! For each task at most one batch is in the handler's hands. What arrives meanwhile waits; a number is acknowledged
//! only when the batch with it has come back.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use bytes::Bytes;
use phalanx_base::{Generation, NodeId, planted};

use super::{ControlEvent, Effects, Handle};
use crate::events::{Cursor, EVENTS_IN_FLIGHT_BYTES_MAX, EVENTS_IN_FLIGHT_MAX, LOGS_MAX, Received};
use crate::lifecycle::EndSummary;
use crate::outcome::TaskEnd;
use crate::session::Violation;
use crate::wire::{
    ClassName, CursorsDigest, Event, EventBody, Instance, Kind, PAYLOAD_BYTES_MAX, TaskId, TaskSnapshot,
    TaskState,
};

/// How many entries go to a handler at one time: enough to spread the cost of a batch, few enough that its
/// acknowledgement does not wait long.
const BATCH_MAX: usize = 64;

/// How many ended tasks are remembered whose last acknowledgement may not have arrived. Each of those is an entry under
/// way at the worker, and acknowledgements arrive in order, so the window of events bounds them.
const ENDED_MAX: usize = EVENTS_IN_FLIGHT_MAX;

/// How many bytes of events may wait, for one worker: what its window lets through, and what is in hand beside it.
const WAITING_BYTES_MAX: usize = 2 * (EVENTS_IN_FLIGHT_BYTES_MAX + PAYLOAD_BYTES_MAX);

/// The end of a gap whose end nobody knows: the worker that could say it is gone.
const OPEN_END: u64 = u64::MAX;

/// What was said of a task's life, by this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Started,
    Ended,
}

#[derive(Debug)]
struct Follow {
    class: ClassName,
    instance: Option<Instance>,
    told: Told,
    cursor: Cursor,
    waiting: VecDeque<(u64, EventBody)>,
    /// Through which number the handler has entries in hand.
    in_hand: Option<u64>,
    /// When it was given something last.
    handed_at: Option<Instant>,
    restore: Option<Option<Bytes>>,
    /// The state after what was handled last, in case its acknowledgement is lost.
    checkpoint: Option<Bytes>,
    /// The worker keeps the state after what was handled last, or will when the acknowledgement arrives.
    kept_by_worker: bool,
    ended: bool,
    /// The worker is known to keep its log in the present session.
    confirmed: bool,
}

impl Follow {
    fn new(class: ClassName, instance: Option<Instance>) -> Self {
        Self {
            class,
            instance,
            told: Told::Nothing,
            cursor: Cursor::default(),
            waiting: VecDeque::new(),
            in_hand: None,
            handed_at: None,
            restore: None,
            checkpoint: None,
            kept_by_worker: true,
            ended: false,
            confirmed: true,
        }
    }
}

impl Follow {
    /// Says how a task has ended that was said to have started.
    fn tell_end(&mut self, worker: &NodeId, task: &TaskId, end: EndSummary, fx: &mut Effects) {
        if self.told != Told::Started {
            return;
        }
        self.told = Told::Ended;
        let (class, instance) = (self.class.clone(), self.instance.clone());
        let (worker, task) = (worker.clone(), task.clone());
        fx.event(ControlEvent::TaskEnded { worker, task, class, instance, end });
    }
}

/// The mistake of an order that is another one in each process, as that of a hash map is.
fn shuffled(task: &TaskId) -> u64 {
    let mut hasher = DefaultHasher::new();
    (std::process::id(), task).hash(&mut hasher);
    hasher.finish()
}

/// The logs that a proxy follows.
#[derive(Debug)]
pub(crate) struct Followed {
    worker: NodeId,
    generation: Generation,
    tasks: BTreeMap<TaskId, Follow>,
    waiting: usize,
    waiting_bytes: usize,
    /// States that came with the offer of the last owner, since they are too large for the worker to keep.
    offered: BTreeMap<TaskId, Bytes>,
    /// Tasks whose end was handled, and its number: should the acknowledgement be lost, the log comes again.
    ended: VecDeque<Handled>,
    /// How many snapshots of the present session have not come yet.
    expected: usize,
    /// How many logs were acknowledged to their end in the present session.
    closed: u64,
    /// The boot is over, and what has become of its tasks is told.
    is_told: bool,
}

/// A number to acknowledge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handled {
    pub(crate) task: TaskId,
    pub(crate) through: u64,
    pub(crate) checkpoint: Option<Bytes>,
    /// It is the end of the log.
    pub(crate) closes: bool,
}

impl Followed {
    pub(crate) fn new(worker: NodeId, generation: Generation) -> Self {
        Self {
            worker,
            generation,
            tasks: BTreeMap::new(),
            waiting: 0,
            waiting_bytes: 0,
            offered: BTreeMap::new(),
            ended: VecDeque::new(),
            expected: 0,
            closed: 0,
            is_told: false,
        }
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn contains(&self, task: &TaskId) -> bool {
        self.tasks.contains_key(task)
    }

    /// A task was started through this proxy, so its class is known before its first event.
    pub(crate) fn open(&mut self, task: TaskId, class: ClassName, instance: Option<Instance>) {
        // A repeat of a start whose task has come and gone opens nothing.
        if !self.ended.iter().any(|ended| ended.task == task) {
            self.tasks.entry(task).or_insert_with(|| Follow::new(class, instance));
        }
    }

    /// The worker has said that it has a task, in whatever words: that is told once.
    pub(crate) fn note_started(&mut self, task: &TaskId, fx: &mut Effects) {
        let Some(follow) = self.tasks.get_mut(task).filter(|follow| follow.told == Told::Nothing) else {
            return;
        };
        follow.told = Told::Started;
        let (class, instance) = (follow.class.clone(), follow.instance.clone());
        let (worker, task) = (self.worker.clone(), task.clone());
        fx.event(ControlEvent::TaskStarted { worker, task, class, instance });
    }

    /// An entry of a task has come; with its end, where it is that: that is told once too, after the start.
    pub(crate) fn note_received(&mut self, task: &TaskId, end: Option<EndSummary>, fx: &mut Effects) {
        self.note_started(task, fx);
        if let (Some(end), Some(follow)) = (end, self.tasks.get_mut(task)) {
            follow.tell_end(&self.worker, task, end, fx);
        }
    }

    /// A task has never begun after all.
    pub(crate) fn forget(&mut self, task: &TaskId) {
        if self.tasks.get(task).is_some_and(|follow| follow.in_hand.is_none() && follow.waiting.is_empty()) {
            self.tasks.remove(task);
        }
    }

    /// The session is lost.
    pub(crate) fn lose(&mut self) {
        (self.waiting, self.waiting_bytes) = (0, 0);
        for follow in self.tasks.values_mut() {
            follow.waiting.clear();
            follow.cursor.lose(follow.in_hand);
        }
    }

    /// A new session starts, in which so many snapshots come first.
    ///
    /// # Errors
    /// [`Violation::Flood`] for more than a worker can have logs.
    pub(crate) fn begin(&mut self, snapshots: u32) -> Result<(), Violation> {
        self.expected = usize::try_from(snapshots).unwrap_or(usize::MAX);
        if self.expected > LOGS_MAX {
            return Err(Violation::Flood);
        }
        self.closed = 0;
        for follow in self.tasks.values_mut() {
            follow.confirmed = false;
        }
        self.forget_unconfirmed();
        Ok(())
    }

    /// Whether every snapshot of the present session has come, so that events may.
    pub(crate) fn is_resumed(&self) -> bool {
        self.expected == 0
    }

    /// A new session says how far a log is. Returns what this node has handled and the worker does not know of.
    ///
    /// # Errors
    /// [`Violation::OutOfOrder`] when more snapshots come than were announced.
    pub(crate) fn resume(&mut self, snapshot: TaskSnapshot) -> Result<Option<Handled>, Violation> {
        self.expected = self.expected.checked_sub(1).ok_or(Violation::OutOfOrder(Kind::TaskSnapshot))?;
        let TaskSnapshot { task, class, acked, checkpoint, instance, .. } = snapshot;
        if let Some(ended) = self.ended.iter().find(|ended| ended.task == task) {
            let again = ended.clone();
            self.forget_unconfirmed();
            return Ok(Some(again));
        }
        let is_new = !self.tasks.contains_key(&task);
        let follow = self.tasks.entry(task.clone()).or_insert_with(|| Follow::new(class, instance));
        follow.confirmed = true;
        let acked = if planted!("lost-cursor") && is_new { acked + 1 } else { acked };
        if follow.cursor.resume(acked) || is_new {
            follow.kept_by_worker = checkpoint.is_some() || acked == 0;
            follow.restore = Some(checkpoint.or_else(|| self.offered.remove(&task)));
        }
        let (through, checkpoint) = (follow.cursor.handled(), follow.checkpoint.clone());
        self.forget_unconfirmed();
        Ok((through > acked).then_some(Handled { task, through, checkpoint, closes: false }))
    }

    /// Once all snapshots are there: a task without one has never begun, or its log was handled to its end elsewhere.
    fn forget_unconfirmed(&mut self) {
        if self.is_resumed() {
            self.offered.clear();
            self.tasks.retain(|_, follow| follow.confirmed || follow.in_hand.is_some());
        }
    }

    /// An entry has arrived. It waits until [`Followed::dispatch`]. Says whether it was a repeat.
    pub(crate) fn receive(&mut self, event: Event) -> Result<bool, Violation> {
        let Some(follow) = self.tasks.get_mut(&event.task) else { return Ok(true) };
        // The head of a gap that has grown since may be known; the handler hears of each number once.
        let first = event.sequence.max(follow.cursor.received().saturating_add(1));
        match follow.cursor.receive(event.sequence, &event.body) {
            Received::Repeat => return Ok(true),
            Received::Missing => return Err(Violation::OutOfOrder(Kind::Event)),
            Received::Next => {}
        }
        // The worker's window bounds what can wait, and what is in hand beside it.
        if self.waiting >= 2 * EVENTS_IN_FLIGHT_MAX || self.waiting_bytes >= WAITING_BYTES_MAX {
            return Err(Violation::Flood);
        }
        if planted!("gap-not-told") && matches!(event.body, EventBody::Gap { .. }) {
            return Ok(false);
        }
        self.waiting += 1;
        self.waiting_bytes += event.body.bytes();
        follow.waiting.push_back((first, event.body));
        Ok(false)
    }

    /// The handler has returned. Returns what to acknowledge.
    pub(crate) fn handled(
        &mut self,
        task: &TaskId,
        through: u64,
        checkpoint: Option<Bytes>,
    ) -> Option<Handled> {
        // What another life of this proxy gave out says nothing about what is in hand now.
        let follow = self.tasks.get_mut(task).filter(|follow| follow.in_hand == Some(through))?;
        follow.in_hand = None;
        if through > follow.cursor.handled() {
            follow.cursor.handle(through);
            follow.checkpoint.clone_from(&checkpoint);
            follow.kept_by_worker = checkpoint.is_some();
        }
        let closes = follow.ended && follow.waiting.is_empty();
        let handled = Handled { task: task.clone(), through, checkpoint, closes };
        if closes {
            self.tasks.remove(task);
            self.ended.push_back(Handled { checkpoint: None, ..handled.clone() });
            if self.ended.len() > ENDED_MAX {
                self.ended.pop_front();
            }
        } else if !follow.confirmed && self.expected == 0 {
            self.tasks.remove(task);
        }
        Some(handled)
    }

    /// Gives each handler that is free the next batch.
    pub(crate) fn dispatch_all(&mut self, now: Instant, fx: &mut Effects) {
        let mut tasks: Vec<TaskId> = self.tasks.keys().cloned().collect();
        if planted!("unsorted") {
            tasks.sort_by_cached_key(shuffled);
        }
        for task in tasks {
            self.dispatch(now, &task, fx);
        }
    }

    /// Gives the handler the next batch of a task, unless it has one.
    pub(crate) fn dispatch(&mut self, now: Instant, task: &TaskId, fx: &mut Effects) {
        let Some(follow) = self.tasks.get_mut(task) else { return };
        if follow.in_hand.is_some() || follow.waiting.is_empty() {
            return;
        }
        let count = follow.waiting.len().min(BATCH_MAX);
        let entries: Vec<(u64, EventBody)> = follow.waiting.drain(..count).collect();
        self.waiting = self.waiting.saturating_sub(count);
        let bytes: usize = entries.iter().map(|(_, body)| body.bytes()).sum();
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        follow.in_hand = entries.last().map(|(sequence, body)| match body {
            EventBody::Gap { through } => *through,
            EventBody::Emitted(_) | EventBody::Ended(_) => *sequence,
        });
        follow.handed_at = Some(now);
        follow.ended |= matches!(entries.last(), Some((_, EventBody::Ended(_))));
        fx.event(ControlEvent::Handle(Handle {
            worker: self.worker.clone(),
            generation: self.generation,
            task: task.clone(),
            class: follow.class.clone(),
            restore: follow.restore.take(),
            entries,
        }));
    }

    /// Whether no handler has anything in hand.
    pub(crate) fn is_quiet(&self) -> bool {
        self.tasks.values().all(|follow| follow.in_hand.is_none())
    }

    /// The task whose handler has had something in hand for the longest time, and since when.
    pub(crate) fn oldest_in_hand(&self) -> Option<(&TaskId, &ClassName, Instant)> {
        let in_hand = self.tasks.iter().filter(|(_, follow)| follow.in_hand.is_some());
        in_hand
            .filter_map(|(task, follow)| Some((task, &follow.class, follow.handed_at?)))
            .min_by_key(|(.., handed_at)| *handed_at)
    }

    /// This is being acknowledged.
    pub(crate) fn acknowledge(&mut self, handled: &Handled) {
        self.closed += u64::from(handled.closes);
    }

    /// How far each log is handled, and so acknowledged.
    pub(crate) fn cursors(&self) -> CursorsDigest {
        CursorsDigest::of(
            self.closed,
            self.tasks.iter().map(|(task, follow)| (task, follow.cursor.handled())),
        )
    }

    /// The states that the worker does not keep: those that have not been given to a handler yet, and the tasks of those
    /// that have.
    pub(crate) fn states_to_offer(&self) -> (Vec<TaskState>, Vec<TaskId>) {
        let (mut waiting, mut with_handler) = (Vec::new(), Vec::new());
        for (task, follow) in self.tasks.iter().filter(|(_, follow)| !follow.kept_by_worker) {
            match &follow.restore {
                Some(Some(state)) => waiting.push(TaskState { task: task.clone(), state: state.clone() }),
                Some(None) => {}
                None => with_handler.push(task.clone()),
            }
        }
        (waiting, with_handler)
    }

    /// The last owner has offered these states along with the worker.
    pub(crate) fn expect_states(&mut self, states: Vec<TaskState>) {
        self.offered = states.into_iter().map(|TaskState { task, state }| (task, state)).collect();
    }

    /// The worker has started anew, so that nothing of this boot follows: what is missing and the end of each task are
    /// told to its handler. Nothing is told of those that go on in the next boot, under a log of that one.
    pub(crate) fn close(&mut self, now: Instant, goes_on: impl Fn(&TaskId) -> bool, fx: &mut Effects) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        self.lose();
        for (task, follow) in self.tasks.iter_mut().filter(|(task, follow)| !follow.ended && !goes_on(task)) {
            follow.tell_end(&self.worker, task, EndSummary::Lost, fx);
            let first = follow.cursor.received().saturating_add(1);
            let end = EventBody::Ended(TaskEnd::Lost);
            follow.waiting.extend([(first, EventBody::Gap { through: OPEN_END }), (OPEN_END, end)]);
        }
        self.dispatch_all(now, fx);
    }

    /// Whether the boot is over, and no handler has something in hand, or will have.
    pub(crate) fn is_done(&self) -> bool {
        self.is_told
            && self.tasks.values().all(|follow| follow.in_hand.is_none() && follow.waiting.is_empty())
    }
}
