//! The last lines of each task: what somebody reads first who asks why it has ended.
//!
//! Lines are not events: nobody handles or acknowledges them, they are not sent anywhere unless asked for, and the oldest
//! give way without a word. So they may cost little, and what they cost is bounded in all.

use std::collections::{BTreeMap, VecDeque};

use crate::outcome::shortened_to;
use crate::wire::TaskId;

/// How many lines of one task are kept.
pub const LOG_LINES_MAX: usize = 50;

/// The longest line, in bytes; of a longer one the begin is kept.
pub const LOG_LINE_BYTES_MAX: usize = 1_024;

/// How many bytes of lines a worker keeps in all: those of ended tasks go first, the oldest end first.
pub const LOG_BYTES_MAX: usize = 16 << 20;

/// What a line costs beside its bytes.
const LINE_OVERHEAD_BYTES: usize = 32;

/// The lines that a text adds: the last of them, each shortened.
pub(crate) fn lines_of(text: &str) -> Vec<String> {
    let lines = text.lines().rev().take(LOG_LINES_MAX).map(|line| shortened_to(line, LOG_LINE_BYTES_MAX));
    let mut lines: Vec<String> = lines.collect();
    lines.reverse();
    lines
}

#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
}

fn cost(line: &str) -> usize {
    line.len() + LINE_OVERHEAD_BYTES
}

impl Tail {
    fn pop(&mut self) -> usize {
        let freed = self.lines.pop_front().map_or(0, |line| cost(&line));
        self.bytes -= freed;
        freed
    }
}

/// The last lines of all tasks. See the module's page.
#[derive(Debug)]
pub(crate) struct TaskLogs {
    tails: BTreeMap<TaskId, Tail>,
    /// The ended tasks with lines, in the order of their ends.
    ended: VecDeque<TaskId>,
    bytes: usize,
    bytes_max: usize,
}

impl Default for TaskLogs {
    fn default() -> Self {
        Self::new(LOG_BYTES_MAX)
    }
}

impl TaskLogs {
    fn new(bytes_max: usize) -> Self {
        Self { tails: BTreeMap::new(), ended: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// A task has said something. For a task that has not ended.
    pub(crate) fn push(&mut self, task: &TaskId, text: &str) {
        for line in lines_of(text) {
            let tail = self.tails.entry(task.clone()).or_default();
            self.bytes += cost(&line);
            tail.bytes += cost(&line);
            tail.lines.push_back(line);
            if tail.lines.len() > LOG_LINES_MAX {
                self.bytes -= tail.pop();
            }
        }
        while self.bytes > self.bytes_max {
            self.give_way();
        }
    }

    /// A task has ended: its lines stay for a while.
    pub(crate) fn end(&mut self, task: &TaskId) {
        if self.tails.contains_key(task) {
            self.ended.push_back(task.clone());
        }
    }

    /// An ended task is forgotten.
    pub(crate) fn forget(&mut self, task: &TaskId) {
        // Tasks are forgotten in the order of their ends, so it stands in front where it stands at all.
        if self.ended.front() == Some(task) {
            self.ended.pop_front();
        }
        self.remove(task);
    }

    /// The last lines of a task, the oldest first.
    pub(crate) fn lines(&self, task: &TaskId) -> Vec<String> {
        self.tails.get(task).map(|tail| tail.lines.iter().cloned().collect()).unwrap_or_default()
    }

    fn remove(&mut self, task: &TaskId) {
        if let Some(tail) = self.tails.remove(task) {
            self.bytes -= tail.bytes;
        }
    }

    /// Makes room: all lines of the oldest end, else the older half of the most talkative task, so that looking for it
    /// is seldom.
    fn give_way(&mut self) {
        if let Some(oldest) = self.ended.pop_front() {
            return self.remove(&oldest);
        }
        let Some(largest) = self.tails.values_mut().max_by_key(|tail| tail.bytes) else { return };
        for _ in 0..largest.lines.len().div_ceil(2) {
            self.bytes -= largest.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::CallId;
    use phalanx_base::{Boot, Generation, NodeId};
    use proptest::prelude::*;

    fn task(sequence: u64) -> TaskId {
        let caller = Boot { node: NodeId::new("c").unwrap(), generation: Generation::from_u64(1) };
        TaskId(CallId { caller, sequence })
    }

    #[test]
    fn the_last_lines_are_kept_and_long_ones_are_cut() {
        let mut logs = TaskLogs::default();
        for number in 0..60 {
            logs.push(&task(1), &format!("line {number}"));
        }
        let lines = logs.lines(&task(1));
        assert_eq!(lines.len(), LOG_LINES_MAX);
        assert_eq!((lines[0].as_str(), lines[49].as_str()), ("line 10", "line 59"));
        logs.push(&task(1), &"ä".repeat(LOG_LINE_BYTES_MAX));
        logs.push(&task(1), "two\nlines\n");
        let lines = logs.lines(&task(1));
        assert_eq!(lines[47].len(), LOG_LINE_BYTES_MAX);
        assert_eq!(lines[48..], ["two", "lines"]);
        assert_eq!(logs.lines(&task(2)), Vec::<String>::new());
    }

    #[test]
    fn ended_tasks_give_way_before_those_that_run() {
        let mut logs = TaskLogs::default();
        let line = "x".repeat(LOG_LINE_BYTES_MAX);
        let fill = |logs: &mut TaskLogs, number: u64| {
            (0..LOG_LINES_MAX).for_each(|_| logs.push(&task(number), &line));
        };
        logs.push(&task(0), "a quiet one");
        fill(&mut logs, 1);
        logs.end(&task(1));
        let each = LOG_LINES_MAX * cost(&line);
        for number in 2..=u64::try_from(LOG_BYTES_MAX / each).unwrap() + 1 {
            fill(&mut logs, number);
        }
        assert_eq!(logs.lines(&task(1)), Vec::<String>::new(), "it had ended");
        assert_eq!(logs.lines(&task(0)), ["a quiet one"]);
        fill(&mut logs, 9_999);
        assert_eq!(logs.lines(&task(0)), ["a quiet one"], "the talkative ones give way");
        assert_eq!(logs.lines(&task(9_999)).len(), LOG_LINES_MAX);
    }

    proptest! {
        /// Whatever is said, ended and forgotten: the bytes are counted right, and no cap is passed.
        #[test]
        fn the_bytes_are_bounded(steps in prop::collection::vec((0u64..12, 0usize..1_200, 0u8..12), 1..60)) {
            let bytes_max = 40_000;
            let mut logs = TaskLogs::new(bytes_max);
            let (mut ended, mut next) = (VecDeque::new(), 1_000);
            let mut names: Vec<u64> = (0..12).collect();
            for (at, length, action) in steps {
                let at = usize::try_from(at).unwrap();
                match action {
                    0 => {
                        logs.end(&task(names[at]));
                        ended.push_back(names[at]);
                        next += 1;
                        names[at] = next;
                    }
                    1 => if let Some(oldest) = ended.pop_front() {
                        logs.forget(&task(oldest));
                        prop_assert!(logs.lines(&task(oldest)).is_empty());
                    },
                    _ => (0..20).for_each(|_| logs.push(&task(names[at]), &"y".repeat(length))),
                }
                prop_assert!(logs.bytes <= bytes_max);
                let sum: usize = logs.tails.values().flat_map(|tail| &tail.lines).map(|line| cost(line)).sum();
                prop_assert_eq!(logs.bytes, sum);
                prop_assert!(logs.tails.values().all(|tail| tail.lines.len() <= LOG_LINES_MAX));
                prop_assert!(logs.ended.len() <= ended.len());
            }
        }
    }
}
