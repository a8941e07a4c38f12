//! What happened, in order, with every promise checked as it happens.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phalanx_base::{Boot, Fence, NodeId};
use phalanx_jobs::wire::{CallId, TaskId};
use phalanx_jobs::{Observation, Observer};

use crate::properties::Properties;
use crate::trace::Trace;
use crate::world::clock::Clock;

/// How a call ended, as far as promises go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It ran, and this is its answer.
    Done,
    /// It began, and was ended without an answer.
    Aborted,
    /// It never began, and never will.
    NotExecuted,
    /// Nobody can say.
    Unknown,
    /// Whoever asked has died.
    Abandoned,
}

/// Something that happened.
///
/// The kit itself writes which nodes start and stop, the faults, and what workers decide: [`Granted`](Self::Granted),
/// [`Orphaned`](Self::Orphaned), [`Begun`](Self::Begun) and [`Acknowledged`](Self::Acknowledged). The rest is for job classes
/// that want the promises about them checked, as the kit's own does; the numbers in it are from
/// [`Cluster::number`](crate::Cluster::number), and an entry is written at the moment of what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A node has started.
    Started {
        /// Which boot.
        boot: Boot,
        /// Whether it is a control node.
        is_control: bool,
    },
    /// A node has ended.
    Stopped {
        /// Which boot.
        boot: Boot,
        /// Whether it had no time to say so.
        killed: bool,
    },
    /// Something goes wrong from now on.
    FaultBegan(String),
    /// It is over.
    FaultEnded(String),
    /// Nothing goes wrong any more.
    Quiet,
    /// A worker has an owner.
    Granted {
        /// Which worker.
        worker: Boot,
        /// The owner.
        control: Boot,
        /// Its fence.
        fence: Fence,
        /// Whether the owner before has handed the worker over.
        given: bool,
    },
    /// A worker has none.
    Orphaned {
        /// Which worker.
        worker: Boot,
    },
    /// A worker has begun a call.
    Begun {
        /// Which worker.
        worker: Boot,
        /// Which call.
        call: CallId,
        /// Under which fence.
        fence: Fence,
    },
    /// A worker has heard that events were handled.
    Acknowledged {
        /// Which worker.
        worker: Boot,
        /// Of which task.
        task: TaskId,
        /// Up to which number.
        through: u64,
    },
    /// A caller has asked.
    Called {
        /// Its number, unique in a run.
        number: u64,
        /// At which control node.
        at: Boot,
        /// Which worker is asked.
        worker: NodeId,
        /// Whether it is to start a task, which may be done before the task has run a line.
        starts: bool,
        /// When the answer must have come, counted from the begin.
        deadline: Duration,
    },
    /// A caller has its answer.
    Answered {
        /// Its number.
        number: u64,
        /// How it ended.
        end: End,
        /// Whether the caller's node was slowed down or stopped meanwhile.
        hindered: bool,
    },
    /// A handler has begun to work on a call.
    Ran {
        /// The caller's number.
        number: u64,
        /// On which worker.
        worker: NodeId,
    },
    /// A task has taken a command.
    Commanded {
        /// Which task, by its caller's number.
        task: u64,
        /// The command's own number, which grows.
        command: u64,
    },
    /// A task has told something; the first is 1.
    Emitted {
        /// By the worker's boot.
        worker: NodeId,
        /// Which task.
        task: TaskId,
        /// The number of the event.
        sequence: u64,
    },
    /// A handler of events has one, or a gap.
    Handled {
        /// At which control node.
        at: Boot,
        /// Of which worker.
        worker: Boot,
        /// Of which task.
        task: TaskId,
        /// From which number, and to which.
        sequences: (u64, u64),
        /// Up to which number the handler had seen before, by its state.
        after: u64,
        /// Whether the task has ended with it.
        ends: bool,
        /// Whether it is a gap.
        gap: bool,
    },
    /// Somebody has learnt how a task ended.
    TaskEnded {
        /// Which task, by its caller's number.
        task: u64,
        /// How.
        how: String,
    },
    /// A transfer has arrived, as its receiver says.
    Received {
        /// Which transfer, by its sender's number.
        number: u64,
        /// Whether it is what was sent.
        whole: bool,
    },
    /// A task of a node has panicked.
    Panicked {
        /// On which machine.
        node: String,
        /// With which words.
        words: String,
    },
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which one, by its name.
    pub property: &'static str,
    /// When, counted from the begin.
    pub at: Duration,
    /// By what.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: at {:.3} s: {}", self.property, self.at.as_secs_f64(), self.what)
    }
}

/// How many violations are kept: the first is what matters.
const VIOLATIONS_MAX: usize = 32;

struct State {
    properties: Properties,
    violations: Vec<Violation>,
    entries: u64,
}

/// The history of one run. It keeps what the checkers need and not the entries; `PHALANX_SIM_TRACE` writes these to a file.
pub struct History {
    state: Mutex<State>,
    clock: Clock,
    trace: Arc<Trace>,
}

impl History {
    pub(crate) fn new(clock: Clock, trace: Arc<Trace>) -> Arc<Self> {
        let state = State { properties: Properties::default(), violations: Vec::new(), entries: 0 };
        Arc::new(Self { state: Mutex::new(state), clock, trace })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry at the present moment, and checks what follows from it. A promise that it breaks is found in
    /// [`violations`](Self::violations), and makes the run fail; the history goes on.
    pub fn record(&self, entry: &Entry) {
        let at = self.clock.elapsed();
        self.trace.add(at, format_args!("{entry:?}"));
        let mut state = self.lock();
        state.entries += 1;
        let broken = state.properties.check(at, entry);
        for (property, what) in broken {
            tracing::error!(property, what, "a promise is broken");
            if state.violations.len() < VIOLATIONS_MAX {
                state.violations.push(Violation { property, at, what });
            }
        }
    }

    /// Adds a violation that something else than an entry has shown, such as of a promise of the scenario's own. The run
    /// fails with it; the scenario goes on.
    pub fn violated(&self, property: &'static str, what: String) {
        let at = self.clock.elapsed();
        self.trace.add(at, format_args!("violated {property}: {what}"));
        let mut state = self.lock();
        if state.violations.len() < VIOLATIONS_MAX {
            state.violations.push(Violation { property, at, what });
        }
    }

    /// Checks what must hold in the end, when everything has had its time.
    pub(crate) fn finish(&self) {
        let at = self.clock.elapsed();
        let mut state = self.lock();
        let broken = state.properties.finish(at);
        let violations = broken.into_iter().map(|(property, what)| Violation { property, at, what });
        let room = VIOLATIONS_MAX.saturating_sub(state.violations.len());
        state.violations.extend(violations.take(room));
    }

    /// The promises that were broken so far, in the order in which they were; the first 32 at least.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    /// How much of everything has happened.
    pub(crate) fn counts(&self) -> crate::properties::Counts {
        self.lock().properties.counts()
    }
}

/// Writes what workers decide into the history.
pub(crate) struct Recorder(pub(crate) Arc<History>);

impl Observer for Recorder {
    fn observe(&self, observation: Observation<'_>) {
        self.0.record(&match observation {
            Observation::Granted { worker, control, fence, given } => {
                Entry::Granted { worker: worker.clone(), control: control.clone(), fence, given }
            }
            Observation::Orphaned { worker } => Entry::Orphaned { worker: worker.clone() },
            // The boot that the call was meant for: if it is another one than that which runs it, that one holds no fence.
            Observation::Begun { worker, call, generation, fence } => {
                let worker = Boot { node: worker.node.clone(), generation };
                Entry::Begun { worker, call: call.clone(), fence }
            }
            Observation::Acknowledged { worker, task, through } => {
                Entry::Acknowledged { worker: worker.clone(), task: task.clone(), through }
            }
        });
    }
}
