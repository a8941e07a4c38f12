//! The two ends and what lies between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use phalanx_base::{Boot, Fence, Generation, Lane, NodeId, NodeStatus, Role, RosterVersion};
use phalanx_jobs::wire::{CallId, Frame, Instance, Standby, TaskId};
use phalanx_jobs::{
    Acting, Config, EndSummary, Handle, Outcome, Owners, ShardCore, WorkerCore, WorkerIdentity,
};

use super::{class, node};

/// Which end a frame is on its way to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum To {
    Worker,
    Control,
}

/// One link: ordered lanes each way. An end that has not noticed the loss goes on sending into the void.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) control: &'static str,
    pub(crate) lanes: BTreeMap<(To, Lane), VecDeque<Frame>>,
    pub(crate) worker_up: bool,
    pub(crate) control_up: bool,
    /// Nothing passes any more.
    pub(crate) dead: bool,
}

impl Wire {
    pub(crate) fn new(control: &'static str) -> Self {
        Self { control, lanes: BTreeMap::new(), worker_up: true, control_up: true, dead: false }
    }
}

/// What one control node believes of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) me: &'static str,
    pub(crate) acting: Option<&'static str>,
    pub(crate) down: BTreeSet<&'static str>,
    pub(crate) all: Vec<&'static str>,
    pub(crate) roster: u64,
    pub(crate) may_give: bool,
    pub(crate) leaving: bool,
}

impl Owners for View {
    fn acting(&self, _: &NodeId) -> Option<Acting> {
        let acting = self.acting?;
        let others = self.all.iter().filter(|name| **name != acting);
        let standbys =
            others.map(|name| Standby { node: node(name), addresses: Default::default() }).collect();
        Some(Acting { node: node(acting), addresses: Default::default(), standbys })
    }

    fn is_me(&self, control: &NodeId) -> bool {
        control.as_str() == self.me
    }

    fn is_down(&self, control: &NodeId) -> bool {
        self.down.contains(control.as_str())
    }

    fn controls(&self) -> Vec<NodeId> {
        self.all.iter().map(|name| node(name)).collect()
    }

    fn roster(&self) -> RosterVersion {
        RosterVersion(self.roster)
    }

    fn may_give(&self) -> bool {
        self.may_give
    }

    fn is_leaving(&self) -> bool {
        self.leaving
    }
}

/// A control node: its core, its view, and what its driver would hold.
pub(crate) struct ControlEnd {
    pub(crate) boot: Boot,
    pub(crate) core: ShardCore,
    pub(crate) view: View,
    /// What handlers have in hand.
    pub(crate) hand: VecDeque<Handle>,
    /// Calls that have entered and have no reply.
    pub(crate) open: BTreeSet<CallId>,
    pub(crate) replies: Vec<(CallId, Outcome)>,
    pub(crate) statuses: Vec<(NodeStatus, Option<Fence>)>,
    pub(crate) redelivered: u64,
    pub(crate) forgotten: usize,
    pub(crate) handed: Vec<Handle>,
    /// What it has told of the lives of tasks.
    pub(crate) lives: Lives,
    /// Which tasks of earlier boots have been told that they are lost, and from which number on something may be missing.
    pub(crate) told_end: Vec<(TaskId, u64)>,
}

impl ControlEnd {
    pub(crate) fn new(name: &'static str, generation: u64, view: View, config: &Config) -> Self {
        Self {
            boot: Boot { node: node(name), generation: Generation::from_u64(generation) },
            core: ShardCore::new(config.clone(), Arc::new(view.clone()), 1),
            view,
            hand: VecDeque::new(),
            open: BTreeSet::new(),
            replies: Vec::new(),
            statuses: Vec::new(),
            redelivered: 0,
            forgotten: 0,
            handed: Vec::new(),
            told_end: Vec::new(),
            lives: Lives::default(),
        }
    }

    pub(crate) fn outcomes(&self, id: &CallId) -> Vec<&Outcome> {
        self.replies.iter().filter(|(of, _)| of == id).map(|(_, outcome)| outcome).collect()
    }

    pub(crate) fn status(&self) -> Option<NodeStatus> {
        self.statuses.last().map(|(status, _)| *status)
    }
}

/// What a control node has told of the lives of tasks: each begins before it ends, and its end does not change.
#[derive(Default)]
pub(crate) struct Lives {
    /// How often each task was told to have started.
    pub(crate) started: BTreeMap<TaskId, usize>,
    pub(crate) ended: BTreeMap<TaskId, EndSummary>,
    running: BTreeSet<TaskId>,
}

impl Lives {
    pub(crate) fn starts(&mut self, task: TaskId) {
        *self.started.entry(task.clone()).or_default() += 1;
        self.running.insert(task);
    }

    pub(crate) fn ends(&mut self, task: &TaskId, end: &EndSummary) {
        assert!(self.running.remove(task), "{task} was not told to run");
        if let Some(before) = self.ended.insert(task.clone(), end.clone()) {
            // Where it comes again after a move, the worker may start anew before it has said so.
            assert!(before == *end || *end == EndSummary::Lost, "the end of {task} was {before}: {end}");
        }
    }
}

/// The worker: its core, and what its driver would hold.
pub(crate) struct WorkerEnd {
    pub(crate) boot: Boot,
    pub(crate) core: WorkerCore,
    pub(crate) requests: BTreeSet<CallId>,
    pub(crate) tasks: BTreeSet<TaskId>,
    /// The tasks that are accepted, and have not begun.
    pub(crate) held: BTreeSet<TaskId>,
    /// What each attempt that has begun belongs to.
    begun: BTreeMap<TaskId, Instance>,
    pub(crate) commands: Vec<(TaskId, CallId, Bytes)>,
    pub(crate) cancelled: Vec<CallId>,
    pub(crate) stopping: Vec<(TaskId, Instant)>,
    pub(crate) aborted: Vec<TaskId>,
    pub(crate) redirected: Option<NodeId>,
    pub(crate) known: Vec<Standby>,
}

impl WorkerEnd {
    pub(crate) fn new(generation: u64, role: Role, config: &Config) -> Self {
        let boot = Boot { node: node("w"), generation: Generation::from_u64(generation) };
        let identity =
            WorkerIdentity { boot: boot.clone(), role, labels: Default::default(), classes: vec![class()] };
        Self {
            boot,
            core: WorkerCore::new(identity, config.clone()),
            requests: BTreeSet::new(),
            tasks: BTreeSet::new(),
            held: BTreeSet::new(),
            begun: BTreeMap::new(),
            commands: Vec::new(),
            cancelled: Vec::new(),
            stopping: Vec::new(),
            aborted: Vec::new(),
            redirected: None,
            known: Vec::new(),
        }
    }

    /// A task begins: if it is an attempt of an instance, no other one of that runs, and none after it has begun.
    pub(crate) fn begins(&mut self, task: &TaskId, instance: Option<Instance>) {
        let Some(new) = instance else { return };
        for (other, before) in &self.begun {
            if (before.job(), before.name()) == (new.job(), new.name()) {
                assert!(!self.tasks.contains(other), "{new} begins while {before} runs");
                assert!(before.attempt() < new.attempt(), "{new} begins after {before}");
            }
        }
        self.begun.insert(task.clone(), new);
    }
}
