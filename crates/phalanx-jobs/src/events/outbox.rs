//! The worker's end of the event logs: a bounded store of what is not acknowledged yet.
//!
//! Emitting never waits for the network. What does not fit pushes out the oldest entries of the largest log, which
//! become a gap there: a task that shouts loses its own words, not its neighbour's.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use phalanx_base::planted;

use crate::wire::{ClassName, CursorsDigest, EventBody, Instance, TaskId, TaskSnapshot};

/// How many events may be under way unacknowledged on one session: a round trip's worth at a hundred thousand events a
/// second and 10 ms, and what a control node must be ready to hold for one worker.
pub const EVENTS_IN_FLIGHT_MAX: usize = 1_024;

/// How many bytes of events may be under way unacknowledged before no more is sent: with large events the number alone
/// would let a control node hold a gigabyte for one worker.
pub const EVENTS_IN_FLIGHT_BYTES_MAX: usize = 8 << 20;

/// How many logs a worker keeps, those of ended tasks that wait for their last acknowledgement among them.
pub const LOGS_MAX: usize = 8_192;

/// How many entries one log keeps, gaps among them: small events cost more than their bytes.
const LOG_ENTRIES_MAX: usize = 65_536;

/// What an entry costs beside its bytes.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// One entry: a number, or of a gap a range of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The first number.
    pub from: u64,
    /// What it is.
    pub body: EventBody,
}

impl Entry {
    fn through(&self) -> u64 {
        match self.body {
            EventBody::Gap { through } => through,
            EventBody::Emitted(_) | EventBody::Ended(_) => self.from,
        }
    }

    fn bytes(&self) -> usize {
        self.body.bytes() + ENTRY_OVERHEAD_BYTES
    }
}

/// The log of one task.
#[derive(Debug)]
pub struct Log {
    class: ClassName,
    instance: Option<Instance>,
    entries: VecDeque<Entry>,
    bytes: usize,
    next: u64,
    sent: u64,
    /// The greatest number that any session has carried: what an owner may have handled, and so may acknowledge.
    reached: u64,
    acked: u64,
    /// The entries that this session has carried and nobody has acknowledged. An entry counts even it was
    /// pushed out since: the receiver may hold it all the same.
    under_way: VecDeque<UnderWay>,
    checkpoint: Option<Bytes>,
    ended: bool,
}

/// An entry on its way: its last number, and what it costs.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    through: u64,
    bytes: usize,
}

/// All logs of a worker.
#[derive(Debug)]
pub struct Outbox {
    logs: BTreeMap<TaskId, Log>,
    bytes: usize,
    bytes_max: usize,
    in_flight: usize,
    in_flight_bytes: usize,
    /// How many logs were acknowledged to their end in this session.
    closed: u64,
    /// Where the next round over the logs starts, so that no task waits for another one's flood.
    turn: Option<TaskId>,
}

impl Outbox {
    /// An empty outbox of so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            logs: BTreeMap::new(),
            bytes: 0,
            bytes_max,
            in_flight: 0,
            in_flight_bytes: 0,
            closed: 0,
            turn: None,
        }
    }

    /// Whether another log can be opened. Ends of tasks are never pushed out, so they can fill the outbox.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.logs.len() < LOGS_MAX && self.bytes <= self.bytes_max
    }

    /// Opens the log of a new task.
    pub fn open(&mut self, task: TaskId, class: ClassName, instance: Option<Instance>) {
        self.logs.entry(task).or_insert(Log {
            class,
            instance,
            entries: VecDeque::new(),
            bytes: 0,
            next: 1,
            sent: 0,
            reached: 0,
            acked: 0,
            under_way: VecDeque::new(),
            checkpoint: None,
            ended: false,
        });
    }

    /// Adds an entry to a log that is open. Says whether it was.
    pub fn push(&mut self, task: &TaskId, body: EventBody) -> bool {
        let Some(log) = self.logs.get_mut(task).filter(|log| !log.ended) else { return false };
        log.ended = matches!(body, EventBody::Ended(_));
        let entry = Entry { from: log.next, body };
        log.next += 1;
        log.bytes += entry.bytes();
        self.bytes += entry.bytes();
        log.entries.push_back(entry);
        while log.entries.len() > LOG_ENTRIES_MAX
            && let Some(freed) = log.push_out_oldest()
        {
            self.bytes -= freed;
        }
        while self.bytes > self.bytes_max {
            // Not simply the largest: one that holds nothing but the end of its task gives nothing.
            let with_victims = self.logs.values_mut().filter(|log| log.victim().is_some());
            let Some(largest) = with_victims.max_by_key(|log| log.bytes) else { break };
            let Some(freed) = largest.push_out_oldest() else { break };
            self.bytes -= freed;
        }
        true
    }

    /// A new session starts: everything that is not acknowledged is sent again.
    pub fn rewind(&mut self) {
        (self.in_flight, self.in_flight_bytes, self.closed) = (0, 0, 0);
        for log in self.logs.values_mut() {
            log.sent = log.acked;
            log.under_way.clear();
        }
    }

    /// The mistake of a worker that takes what it has sent for received.
    #[cfg(phalanx_planted)]
    pub(crate) fn forget_unsent(&mut self) {
        let tasks: Vec<(TaskId, u64)> =
            self.logs.iter().map(|(task, log)| (task.clone(), log.sent)).collect();
        tasks.into_iter().for_each(|(task, sent)| self.ack(&task, sent, None));
    }

    /// The next entry to send, while the window is open; logs take turns.
    pub fn poll_send(&mut self) -> Option<(TaskId, Entry)> {
        if self.in_flight >= EVENTS_IN_FLIGHT_MAX || self.in_flight_bytes >= EVENTS_IN_FLIGHT_BYTES_MAX {
            return None;
        }
        let task = self.next_with_unsent()?;
        let log = self.logs.get_mut(&task)?;
        let entry = log.first_unsent()?.clone();
        log.sent = entry.through();
        log.reached = log.reached.max(log.sent);
        log.under_way.push_back(UnderWay { through: log.sent, bytes: entry.bytes() });
        self.in_flight += 1;
        self.in_flight_bytes += entry.bytes();
        self.turn = Some(task.clone());
        Some((task, entry))
    }

    /// Everything of a task up to `through` has been handled, perhaps in an earlier session whose acknowledgement was lost.
    pub fn ack(&mut self, task: &TaskId, through: u64, checkpoint: Option<Bytes>) {
        let Some(log) = self.logs.get_mut(task) else { return };
        let through = through.min(log.reached);
        if through <= log.acked {
            return;
        }
        while let Some(first) = log.entries.front()
            && first.through() <= through
        {
            let bytes = first.bytes();
            log.entries.pop_front();
            log.bytes -= bytes;
            self.bytes -= bytes;
        }
        while let Some(first) = log.under_way.pop_front_if(|first| first.through <= through) {
            self.in_flight -= 1;
            self.in_flight_bytes -= first.bytes;
        }
        log.sent = log.sent.max(through);
        log.acked = through;
        // Without one the state has outgrown its cap: an older one would be a wrong state, not an old one.
        log.checkpoint = checkpoint;
        if log.ended && log.entries.is_empty() {
            self.closed += 1;
            self.logs.remove(task);
        }
    }

    /// What a new owner is told: each log, and how far it has been handled.
    pub fn snapshots(&self, fence: phalanx_base::Fence) -> impl Iterator<Item = TaskSnapshot> + '_ {
        self.logs.iter().map(move |(task, log)| TaskSnapshot {
            fence,
            task: task.clone(),
            class: log.class.clone(),
            acked: log.acked,
            checkpoint: log.checkpoint.clone().filter(|_| !planted!("checkpoint-lost")),
            instance: log.instance.clone(),
        })
    }

    /// How far each log is acknowledged.
    #[must_use]
    pub fn cursors(&self) -> CursorsDigest {
        CursorsDigest::of(self.closed, self.logs.iter().map(|(task, log)| (task, log.acked)))
    }

    /// How many logs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.logs.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    fn next_with_unsent(&self) -> Option<TaskId> {
        let unsent = |(_, log): &(&TaskId, &Log)| log.first_unsent().is_some();
        let after = self.turn.as_ref().and_then(|turn| {
            self.logs.range((std::ops::Bound::Excluded(turn), std::ops::Bound::Unbounded)).find(unsent)
        });
        after.or_else(|| self.logs.iter().find(unsent)).map(|(task, _)| task.clone())
    }
}

impl Log {
    fn first_unsent(&self) -> Option<&Entry> {
        let at = self.entries.partition_point(|entry| entry.through() <= self.sent);
        self.entries.get(at)
    }

    /// Where the next entry to push out stands, if one may go. The end of a task is never pushed out: it is the one
    /// entry that somebody surely waits for.
    fn victim(&self) -> Option<usize> {
        let head_is_gap = matches!(self.entries.front(), Some(Entry { body: EventBody::Gap { .. }, .. }));
        let at = usize::from(head_is_gap);
        matches!(self.entries.get(at), Some(Entry { body: EventBody::Emitted(_), .. })).then_some(at)
    }

    /// Makes the oldest entry part of a gap at the head of the log, and says how many bytes that frees; `None` when
    /// nothing can go.
    fn push_out_oldest(&mut self) -> Option<usize> {
        let before = self.bytes;
        let victim = self.victim()?;
        let entry = self.entries.remove(victim)?;
        self.bytes -= entry.bytes();
        let through = entry.through();
        match self.entries.front_mut() {
            Some(gap) if victim == 1 => {
                // A gap that is under way grows at its end: the receiver knows its head already.
                if self.sent >= gap.from && self.sent < through {
                    self.sent = self.sent.min(gap.from - 1);
                }
                gap.body = EventBody::Gap { through };
            }
            _ => {
                let gap = Entry { from: entry.from, body: EventBody::Gap { through } };
                self.bytes += gap.bytes();
                self.entries.push_front(gap);
            }
        }
        Some(before.saturating_sub(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Cursor, Received};
    use crate::outcome::TaskEnd;
    use crate::wire::CallId;
    use phalanx_base::{Boot, Generation, NodeId};
    use proptest::prelude::*;

    fn task(sequence: u64) -> TaskId {
        let caller = Boot { node: NodeId::new("c").unwrap(), generation: Generation::from_u64(1) };
        TaskId(CallId { caller, sequence })
    }

    fn class() -> ClassName {
        ClassName { name: "test".into(), version: 1 }
    }

    #[test]
    fn an_overflow_is_one_gap_at_the_head() {
        let mut outbox = Outbox::new(4 * (ENTRY_OVERHEAD_BYTES + 10));
        outbox.open(task(1), class(), None);
        for _ in 0..9 {
            assert!(outbox.push(&task(1), EventBody::Emitted(Bytes::from(vec![0; 10]))));
        }
        let (_, first) = outbox.poll_send().unwrap();
        assert!(matches!(first, Entry { from: 1, body: EventBody::Gap { .. } }));
        let (_, second) = outbox.poll_send().unwrap();
        assert_eq!(second.from, first.through() + 1);
        assert!(outbox.bytes <= outbox.bytes_max);
    }

    #[test]
    fn a_log_ends_with_the_last_acknowledgement() {
        let mut outbox = Outbox::new(1 << 20);
        outbox.open(task(1), class(), None);
        outbox.push(&task(1), EventBody::Emitted(Bytes::new()));
        outbox.push(&task(1), EventBody::Ended(TaskEnd::Stopped));
        assert!(!outbox.push(&task(1), EventBody::Emitted(Bytes::new())));
        outbox.poll_send();
        outbox.ack(&task(1), 2, None);
        assert_eq!(outbox.len(), 1, "what was not sent cannot be acknowledged");
        outbox.poll_send();
        outbox.ack(&task(1), 2, None);
        assert!(outbox.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Action {
        Emit(usize, usize),
        Send,
        Handle,
        Lose,
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            4 => (0usize..2, 0usize..200).prop_map(|(task, bytes)| Action::Emit(task, bytes)),
            4 => Just(Action::Send),
            2 => Just(Action::Handle),
            1 => Just(Action::Lose),
        ]
    }

    proptest! {
        /// Through losses, repeats and overflow: each task's numbers are handled in order, each exactly once, as an
        /// event or inside a gap; and the outbox keeps to its bytes.
        #[test]
        fn each_number_is_handled_once(actions in prop::collection::vec(action(), 1..300)) {
            let mut outbox = Outbox::new(1_500);
            let tasks = [task(1), task(2)];
            let mut cursors = [Cursor::default(); 2];
            let mut handled = [0u64; 2];
            let mut waiting: VecDeque<(usize, Entry)> = VecDeque::new();
            for id in &tasks {
                outbox.open(id.clone(), class(), None);
            }
            for action in actions.into_iter().chain(std::iter::repeat_n(Action::Lose, 1)) {
                match action {
                    Action::Emit(at, bytes) => {
                        outbox.push(&tasks[at], EventBody::Emitted(Bytes::from(vec![0; bytes])));
                    }
                    Action::Send => {
                        if let Some((id, entry)) = outbox.poll_send() {
                            let at = usize::from(id == tasks[1]);
                            match cursors[at].receive(entry.from, &entry.body) {
                                Received::Next => waiting.push_back((at, entry)),
                                Received::Repeat => {}
                                Received::Missing => prop_assert!(false, "a hole without a gap: {entry:?}"),
                            }
                        }
                    }
                    Action::Handle => {
                        if let Some((at, entry)) = waiting.pop_front() {
                            prop_assert!(entry.from <= handled[at] + 1 && entry.through() > handled[at]);
                            handled[at] = entry.through();
                            cursors[at].handle(entry.through());
                            outbox.ack(&tasks[at], entry.through(), None);
                        }
                    }
                    Action::Lose => {
                        waiting.clear();
                        outbox.rewind();
                        for cursor in &mut cursors {
                            cursor.lose(None);
                        }
                    }
                }
                prop_assert!(outbox.bytes <= 1_500 + 2 * ENTRY_OVERHEAD_BYTES);
                prop_assert_eq!(outbox.in_flight, outbox.logs.values().map(|log| log.under_way.len()).sum::<usize>());
                prop_assert!(outbox.in_flight <= EVENTS_IN_FLIGHT_MAX);
                prop_assert_eq!(outbox.bytes, outbox.logs.values().map(|log| log.bytes).sum::<usize>());
            }
        }
    }
}
