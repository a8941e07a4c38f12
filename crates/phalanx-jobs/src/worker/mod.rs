//! The worker's half of the contract, without I/O: [`WorkerCore`].
//!
//! It composes the parts that decide: the [`Arbiter`] (who owns me), the [`BegunTable`] (what has begun), the
//! [`TaskTable`] (what runs), the [`InstanceTable`] (which attempt of what may run), the [`Outbox`] (what I have told), and one [`Session`] a link. Tables outlive sessions, since
//! work belongs to the worker and not to a link.
//!
//! Order of calls: any `handle_…`, then [`WorkerCore::poll_transmit`] and [`WorkerCore::poll_event`] until both are
//! empty; [`WorkerCore::handle_timeout`] when [`WorkerCore::poll_timeout`] has passed. The caller owns the clock.

mod calls;
mod kept;
mod sessions;
mod starts;
mod states;

use starts::Held;
pub use starts::SUPERSEDED_GRACE;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use phalanx_base::{Boot, Fence, Generation, Labels, NodeId, NodeStatus, Role, Usage};

use crate::begun::BegunTable;
use crate::config::{Config, DISCONNECT_GRACE};
use crate::events::Outbox;
use crate::instances::InstanceTable;
use crate::outcome::{Outcome, Reason, TaskEnd};
use crate::ownership::Arbiter;
use crate::session::{LinkId, Session};
use crate::tasks::TaskTable;
use crate::transmit::Transmit;
use crate::wire::{Attach, CallId, ClassName, EventBody, Instance, Message, Standby, TaskId, rule};

/// What a worker is, from its start on.
#[derive(Debug, Clone)]
pub struct WorkerIdentity {
    /// Its name and boot.
    pub boot: Boot,
    /// Whether it is a control node besides: its links then stay when a session over them ends.
    pub role: Role,
    /// What it is labelled with.
    pub labels: Labels,
    /// The job classes it has handlers for.
    pub classes: Vec<ClassName>,
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerEvent {
    /// Run the handler of a request.
    RunRequest {
        /// Which call.
        call: CallId,
        /// The boot that it was meant for, and the fence that came with it.
        under: (Generation, Fence),
        /// When it must have ended.
        deadline: Instant,
        /// To which class.
        class: Cow<'static, str>,
        /// The class's request.
        body: Bytes,
    },
    /// Run a task.
    RunTask {
        /// Which task.
        task: TaskId,
        /// The boot that it was meant for, and the fence that came with it; `None` for one that was told as accepted before.
        under: Option<(Generation, Fence)>,
        /// Of which class.
        class: Cow<'static, str>,
        /// The class's task.
        body: Bytes,
        /// Which attempt of which instance of a job it is, if it is one.
        instance: Option<Instance>,
    },
    /// A task is accepted, and runs once an earlier attempt of its instance has ended. There is nothing to do.
    TaskAccepted {
        /// Which task.
        task: TaskId,
        /// The boot that it was meant for, and the fence that came with it.
        under: (Generation, Fence),
    },
    /// Hand a command to a task.
    Command {
        /// Which task.
        task: TaskId,
        /// Which call.
        call: CallId,
        /// The boot that it was meant for, and the fence that came with it.
        under: (Generation, Fence),
        /// The class's command.
        body: Bytes,
    },
    /// End the handler of a request, wherever it is.
    CancelRequest(CallId),
    /// Tell a task that it must have stopped by then.
    StopTask(TaskId, Instant),
    /// End a task, wherever it is.
    AbortTask(TaskId),
    /// Tell each task how the worker is now.
    Status(NodeStatus),
    /// A control node hosts the proxy; whom to dial if it is lost, the owner first.
    Owned {
        /// The owner.
        owner: Boot,
        /// Its fence.
        fence: Fence,
        /// Whether the owner before has handed the worker over.
        given: bool,
        /// Whom to dial if it is lost, itself first.
        standbys: Vec<Standby>,
    },
    /// The owner has told anew whom to dial if it is lost.
    Standbys(Vec<Standby>),
    /// No control node hosts the proxy.
    Orphaned,
    /// Someone has named the owner.
    Redirected(Standby),
    /// The owner has handled the events of a task up to this number.
    Acknowledged(TaskId, u64),
    /// Close a link: its session is over, or its peer broke the rules.
    CloseLink(LinkId, &'static str),
}

/// The worker's state machine. See the module's page.
#[derive(Debug)]
pub struct WorkerCore {
    identity: WorkerIdentity,
    config: Config,
    status: NodeStatus,
    arbiter: Arbiter,
    sessions: BTreeMap<LinkId, Session>,
    /// The claims that were refused, one a session: the one that knows most wins at once when the present owner goes.
    refused_claims: BTreeMap<LinkId, Attach>,
    /// How many transfers are under way over each link.
    transfers: BTreeMap<LinkId, usize>,
    begun: BegunTable,
    running: BTreeMap<CallId, Running>,
    deadlines: BTreeSet<(Instant, CallId)>,
    tasks: TaskTable,
    instances: InstanceTable,
    /// The tasks that wait for the end of an earlier attempt.
    held: BTreeMap<TaskId, Held>,
    outbox: Outbox,
    /// Whether the present owner has given a sign of life under its fence: it knows every log then, and events may flow.
    flowing: bool,
    /// Whether the present owner knows the labels.
    labels_told: bool,
    /// How full the worker is, and what the present owner knows of that.
    usage: Usage,
    usage_told: Option<Usage>,
    /// How many of the running calls are requests.
    running_requests: usize,
    transmits: VecDeque<Transmit>,
    events: VecDeque<WorkerEvent>,
}

/// A call that has begun, by what ends it.
#[derive(Debug)]
struct Running {
    deadline: Instant,
    kind: RunningKind,
}

#[derive(Debug)]
enum RunningKind {
    Request,
    Command(TaskId),
    Output(TaskId),
}

impl WorkerCore {
    /// A worker that nobody owns yet.
    #[must_use]
    pub fn new(identity: WorkerIdentity, config: Config) -> Self {
        let outbox = Outbox::new(config.outbox_bytes_max);
        Self {
            identity,
            config,
            status: NodeStatus::Ready,
            arbiter: Arbiter::default(),
            sessions: BTreeMap::new(),
            refused_claims: BTreeMap::new(),
            transfers: BTreeMap::new(),
            begun: BegunTable::default(),
            running: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            tasks: TaskTable::default(),
            instances: InstanceTable::default(),
            held: BTreeMap::new(),
            outbox,
            flowing: false,
            labels_told: true,
            usage: Usage::default(),
            usage_told: None,
            running_requests: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// How the worker is: `Connecting` while it has no owner.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        if self.arbiter.present().is_some() { self.status } else { NodeStatus::Connecting }
    }

    /// Which control node hosts the proxy now.
    #[must_use]
    pub fn owner(&self) -> Option<&NodeId> {
        self.arbiter.present().map(|present| &present.control.node)
    }

    /// How many tasks run.
    #[must_use]
    pub fn running_tasks(&self) -> usize {
        self.tasks.running()
    }

    /// Its name and boot.
    #[must_use]
    pub fn boot(&self) -> &Boot {
        &self.identity.boot
    }

    /// Which boot this is.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.identity.boot.generation
    }

    /// A task has said something. What does not fit the outbox becomes a gap.
    pub fn handle_emit(&mut self, task: &TaskId, body: Bytes) {
        self.outbox.push(task, EventBody::Emitted(body));
        self.pump_events();
    }

    /// A task has logged something: its last lines are kept, and go where they are asked for.
    pub fn handle_log(&mut self, task: &TaskId, text: &str) {
        self.tasks.log(task, text);
    }

    /// A handler has answered a request or a command, or was ended.
    pub fn handle_answer(&mut self, call: &CallId, outcome: Outcome) {
        self.finish(call, outcome);
    }

    /// A task has ended: whoever waits for it is told, its log is closed, and a later attempt that waits for it begins.
    pub fn handle_task_end(&mut self, now: Instant, task: &TaskId, end: TaskEnd) {
        let Some(waiting) = self.tasks.end(now, task, end.clone()) else { return };
        self.held.remove(task);
        let output = crate::codec::encode_end(&end);
        self.outbox.push(task, EventBody::Ended(end));
        for call in waiting.commands {
            self.finish(&call, Outcome::Aborted(Reason::TaskEnded));
        }
        for call in waiting.watchers {
            self.finish(&call, Outcome::Done(output.clone()));
        }
        self.pump_events();
        if let Some(next) = self.instances.end(task) {
            self.begin_held(now, next);
        }
        self.note_stopped();
    }

    /// What to send next.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// What to do next.
    pub fn poll_event(&mut self) -> Option<WorkerEvent> {
        self.events.pop_front()
    }

    /// When to call [`WorkerCore::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sessions = self.sessions.values().filter_map(Session::poll_timeout).min();
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        [sessions, deadline, self.tasks.poll_timeout()].into_iter().flatten().min()
    }

    /// Does what the time asks for.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, call)) = self.deadlines.first().cloned()
            && at <= now
        {
            self.cancel(&call, Reason::DeadlineExceeded);
        }
        for task in self.tasks.abandoned(now) {
            self.stop_task(now, &task, now + DISCONNECT_GRACE);
        }
        for task in self.tasks.overdue(now) {
            self.abort_task(now, &task, TaskEnd::Stopped);
        }
        self.time_out_sessions(now);
    }

    fn send(&mut self, link: LinkId, message: impl Into<Message>) {
        let frame = message.into().to_frame();
        let lane = rule(frame.kind).expect("each message has its rule in the table").lane;
        self.transmits.push_back(Transmit { link, lane, frame });
    }

    /// Sends what the window allows of the event logs, over the present session.
    fn pump_events(&mut self) {
        let Some(present) = self.arbiter.present().filter(|_| self.flowing) else { return };
        let (link, fence) = (present.link, present.fence);
        while let Some((task, entry)) = self.outbox.poll_send() {
            self.send(link, crate::wire::Event { fence, task, sequence: entry.from, body: entry.body });
        }
    }
}

/// The time a call may take, however long its caller would wait: bounds what a lying caller can pin.
const CALL_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests;
