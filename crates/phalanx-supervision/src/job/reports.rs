//! What workers say of a job's tasks.

use std::time::Instant;

use phalanx_base::{Generation, NodeId};

use crate::end::{End, EndKind, StartFailure};
use crate::instance::Moment;
use crate::job::Job;
use crate::name::Tag;
use crate::node::Found;
use crate::nodes::Nodes;
use crate::policy::LostPolicy;
use crate::record::{InstanceRecord, Place, TaskName};
use crate::state::InstanceState;

impl Job {
    /// A start was answered.
    pub(crate) fn handle_started(
        &mut self,
        tag: &Tag,
        answer: Result<TaskName, StartFailure>,
        nodes: &Nodes,
        moment: &mut Moment<'_>,
    ) {
        let Some(instance) = self.instances.get_mut(&tag.instance) else { return };
        let is_present = instance.record.attempt == tag.attempt && instance.state().is_live();
        if !is_present {
            return self.handle_started_late(tag, answer, nodes, moment.now);
        }
        let is_starting = instance.state() == InstanceState::Starting;
        match answer {
            Ok(task) => {
                let Some(place) = &mut instance.record.place else { return };
                place.task = Some(task);
                let is_connected = nodes.is_connected(&place.node, place.generation);
                instance.touch();
                if is_starting || is_connected {
                    instance.go(InstanceState::Running, "the worker runs it", moment);
                }
            }
            Err(StartFailure { may_have_started: true, reason }) if is_starting => {
                instance.doubt(moment, &reason);
            }
            Err(StartFailure { may_have_started: false, reason })
                if is_starting || instance.state() == InstanceState::Unknown =>
            {
                instance.refuse(&reason, &self.spec, moment);
            }
            Err(_) => {}
        }
    }

    /// The start of an attempt that was given up meanwhile.
    fn handle_started_late(
        &mut self,
        tag: &Tag,
        answer: Result<TaskName, StartFailure>,
        nodes: &Nodes,
        now: Instant,
    ) {
        let Some(instance) = self.instances.get_mut(&tag.instance) else { return };
        let ended = instance.record.ended.iter_mut().find(|ended| ended.attempt == tag.attempt);
        let Some((ended, node)) = ended.and_then(|ended| ended.node.clone().map(|node| (ended, node))) else {
            return;
        };
        match answer {
            Ok(task) => {
                let stray = (tag.instance.clone(), tag.attempt, node);
                self.strays.add(now, stray, task, nodes.listings());
            }
            Err(failure) => ended.may_run &= failure.may_have_started,
        }
    }

    /// A task has ended.
    pub(crate) fn handle_ended(&mut self, tag: &Tag, node: &NodeId, end: End, moment: &mut Moment<'_>) {
        self.strays.remove(&(tag.instance.clone(), tag.attempt, node.clone()));
        let Some(instance) = self.instances.get_mut(&tag.instance) else { return };
        instance.settle(node, |attempt| attempt != tag.attempt);
        if instance.record.attempt == tag.attempt && instance.node() == Some(node) {
            match instance.state() {
                InstanceState::Stopping => {
                    let state = if end.kind == EndKind::Lost { InstanceState::Killed } else { end.state() };
                    instance.end_as_asked(state, &end.reason, moment);
                }
                state if state.is_live() => instance.end(end, &self.spec, moment),
                _ => {}
            }
        }
    }

    /// A task was found at a worker.
    pub(crate) fn handle_found(
        &mut self,
        node: &NodeId,
        generation: Generation,
        found: Found,
        nodes: &Nodes,
        moment: &mut Moment<'_>,
    ) {
        let Found { tag, task, end } = found;
        if let Some(end) = end {
            return self.handle_ended(&tag, node, end, moment);
        }
        let Some(instance) = self.instances.get_mut(&tag.instance) else {
            let stray = (tag.instance, tag.attempt, node.clone());
            return self.strays.add(moment.now, stray, task, nodes.listings());
        };
        let record = &instance.record;
        let is_newer = tag.attempt > record.attempt
            || tag.attempt == record.attempt && record.state == InstanceState::Pending;
        let is_present = tag.attempt == record.attempt && record.state.is_live();
        let place = Place { node: node.clone(), generation, task: Some(task.clone()) };
        if is_newer {
            self.handle_newer(&tag, place, nodes, moment);
        } else if is_present && instance.node() == Some(node) {
            if instance.record.place.as_ref() != Some(&place) {
                instance.record.place = Some(place);
                instance.touch();
            }
            instance.doubt = None;
            instance.is_start_sent = true;
            instance.go(InstanceState::Running, "it was found at its worker", moment);
        } else {
            let stray = (tag.instance, tag.attempt, node.clone());
            self.strays.add(moment.now, stray, task, nodes.listings());
        }
    }

    /// Somebody else started an attempt that no record here tells of.
    fn handle_newer(&mut self, tag: &Tag, place: Place, nodes: &Nodes, moment: &mut Moment<'_>) {
        self.abandon(&tag.instance, nodes, moment.now);
        let Some(instance) = self.instances.get_mut(&tag.instance) else { return };
        instance.record = InstanceRecord {
            attempt: tag.attempt,
            state: InstanceState::Pending,
            place: Some(place),
            ..instance.record.clone()
        };
        instance.change = None;
        instance.is_start_sent = true;
        instance.go(InstanceState::Starting, "another supervisor started it", moment);
        instance.go(InstanceState::Running, "it was found at its worker", moment);
    }

    /// A worker was listed, completely: what is in doubt since before and was not found does not run.
    pub(crate) fn handle_listed(
        &mut self,
        node: &NodeId,
        generation: Generation,
        listing: u64,
        moment: &mut Moment<'_>,
    ) {
        self.strays.handle_listed(node, listing);
        for (name, instance) in &mut self.instances {
            instance.settle(node, |attempt| self.strays.contains(&(name.clone(), attempt, node.clone())));
            let is_absent =
                instance.node() == Some(node) && instance.doubt.is_some_and(|doubt| listing > doubt);
            if !is_absent {
                continue;
            }
            let is_same_boot =
                instance.record.place.as_ref().is_some_and(|place| place.generation == generation);
            match instance.state() {
                InstanceState::Stopping => {
                    instance.end_as_asked(
                        InstanceState::Killed,
                        "its worker does not know it any more",
                        moment,
                    );
                }
                InstanceState::Unknown if !is_same_boot => {
                    instance.lose(false, "its worker has started anew", moment);
                }
                InstanceState::Unknown if matches!(self.spec.on_lost, LostPolicy::StopAfter(_)) => {
                    instance.lose(false, "its worker has ended it, as it was lost", moment);
                }
                InstanceState::Unknown => {
                    let reason = "its worker does not know it, and nobody heard how it ended".to_owned();
                    instance.end(End { reason, ..End::new(EndKind::Lost) }, &self.spec, moment);
                }
                _ => {}
            }
        }
    }

    /// A worker will not come back.
    pub(crate) fn handle_node_removed(&mut self, node: &NodeId, moment: &mut Moment<'_>) {
        self.strays.retain_not_at(node);
        self.sought.remove(node);
        for instance in self.instances.values_mut() {
            instance.settle(node, |_| false);
            if instance.node() == Some(node) && instance.state().is_live() {
                instance.lose(false, "its worker was removed", moment);
            }
        }
    }
}
