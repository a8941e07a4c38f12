//! One instance: its record, and what only the present supervisor knows of it.
//!
//! Every change of a state passes [`Instance::go`], which refuses what the table of states does not allow. So a terminal
//! attempt stays as it is, whatever comes late.

use std::time::{Duration, Instant};

use phalanx_base::NodeId;

use crate::backoff::jittered;
use crate::end::End;
use crate::event::{Event, Events};
use crate::name::{Attempt, InstanceName, JobName};
use crate::policy::{LostPolicy, RestartWhen};
use crate::record::{EndedAttempt, InstanceRecord};
use crate::spec::JobSpec;
use crate::state::InstanceState;
use crate::text;

/// Why an instance is on its way from one attempt to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// To a new version of the task.
    Update,
    /// To another worker, since its own drains or does not match any more.
    Move,
}

#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) record: InstanceRecord,
    /// Which revision was given to the driver, and which is durable.
    pub(crate) sent: u64,
    pub(crate) durable: u64,
    /// Since when it is supervised here.
    pub(crate) since: Instant,
    /// Whether the start of a `Starting` attempt went out.
    pub(crate) is_start_sent: bool,
    pub(crate) running_since: Option<Instant>,
    /// A pending attempt waits until then.
    pub(crate) wait_until: Option<Instant>,
    /// How often in a row a worker did not take it, and which did so last.
    pub(crate) refusals: u32,
    pub(crate) avoided: Option<NodeId>,
    failures_since: Option<Instant>,
    /// A listing with a greater number resolves whether it runs.
    pub(crate) doubt: Option<u64>,
    /// When it is next told to stop, and how often it was.
    pub(crate) stop_at: Option<Instant>,
    pub(crate) stops: u32,
    pub(crate) change: Option<Change>,
}

/// What a change of an instance needs to know.
pub(crate) struct Moment<'a> {
    pub(crate) now: Instant,
    pub(crate) seed: u64,
    pub(crate) events: &'a mut Events,
}

impl Instance {
    pub(crate) fn new(job: JobName, name: InstanceName, now: Instant) -> Self {
        Self::with(InstanceRecord::new(job, name), now)
    }

    fn with(record: InstanceRecord, now: Instant) -> Self {
        Self {
            record,
            sent: 0,
            durable: 0,
            since: now,
            is_start_sent: false,
            running_since: None,
            wait_until: None,
            refusals: 0,
            avoided: None,
            failures_since: None,
            doubt: None,
            stop_at: None,
            stops: 0,
            change: None,
        }
    }

    /// An instance as somebody else left it. Whether a live attempt runs is in doubt; a pause before a restart begins anew.
    pub(crate) fn adopted(record: InstanceRecord, spec: &JobSpec, moment: &mut Moment<'_>) -> Self {
        let revision = record.revision;
        let mut instance = Self::with(record.clipped(), moment.now);
        (instance.sent, instance.durable) = (revision, revision);
        instance.failures_since = (instance.record.failures > 0).then_some(moment.now);
        if instance.state().is_live() {
            // Its start may have gone out.
            instance.is_start_sent = true;
            instance.doubt(moment, "its supervisor is another one now");
        } else if instance.record.failures > 0 {
            instance.wait_for(spec.restart.pause(instance.record.failures), moment);
        }
        instance
    }

    pub(crate) fn state(&self) -> InstanceState {
        self.record.state
    }

    pub(crate) fn node(&self) -> Option<&NodeId> {
        self.record.place.as_ref().map(|place| &place.node)
    }

    /// Whether a record tells of the attempt that runs here, and of the worker where it does.
    pub(crate) fn is_same_run(&self, record: &InstanceRecord) -> bool {
        let place = record.place.as_ref();
        let is_same_place = self
            .record
            .place
            .as_ref()
            .zip(place)
            .is_some_and(|(own, other)| own.node == other.node && own.generation == other.generation);
        self.record.attempt == record.attempt && is_same_place
    }

    /// What is known here of the attempt counts for more than a newer record, if that is of somebody who supervised it too for a
    /// moment, and does not know whether it runs; and one that says the same is no reason for doubt.
    pub(crate) fn outdo(&mut self, record: &InstanceRecord) -> bool {
        let state = self.state();
        let is_known = state.is_live() && state != InstanceState::Unknown && self.is_same_run(record);
        if is_known && record.state == InstanceState::Unknown {
            // What somebody else has seen of earlier attempts stands.
            let (place, replaces_lost) = (self.record.place.take(), self.record.replaces_lost);
            self.record = InstanceRecord { state, place, replaces_lost, ..record.clone().clipped() };
            self.touch();
            return true;
        }
        let is_equal = is_known && record.state == state && record.place == self.record.place;
        if is_equal {
            self.record = record.clone().clipped();
            (self.sent, self.durable) = (record.revision, record.revision);
        }
        is_equal
    }

    /// Whether it runs a version of the task that is not the present one.
    pub(crate) fn is_outdated(&self, spec: &JobSpec) -> bool {
        self.state().is_live() && self.record.task_version < spec.task_version
    }

    /// Whether it has run for so long.
    pub(crate) fn is_healthy(&self, now: Instant, healthy_after: Duration) -> bool {
        self.state() == InstanceState::Running
            && self.running_since.is_some_and(|since| now >= since + healthy_after)
    }

    /// The record has changed.
    pub(crate) fn touch(&mut self) {
        self.record.revision = self.record.revision.saturating_add(1);
    }

    /// The attempt goes to another state, if that is legal.
    pub(crate) fn go(&mut self, to: InstanceState, reason: &str, moment: &mut Moment<'_>) -> bool {
        let from = self.state();
        if !from.may_become(to) {
            return false;
        }
        self.record.state = to;
        self.touch();
        self.running_since = (to == InstanceState::Running).then_some(moment.now);
        (self.stop_at, self.stops) = ((to == InstanceState::Stopping).then_some(moment.now), 0);
        if matches!(to, InstanceState::Running) {
            (self.refusals, self.avoided, self.doubt) = (0, None, None);
            self.record.replaces_lost = false;
        }
        let (tag, node) = (self.record.tag(), self.node().cloned());
        moment.events.push(Event::InstanceChanged { tag, from, to, node, reason: reason.to_owned() });
        true
    }

    /// Nobody knows whether the attempt runs. A listing has to be asked for.
    pub(crate) fn doubt(&mut self, moment: &mut Moment<'_>, reason: &str) {
        // An attempt that was to stop is told so anew once it is found.
        self.go(InstanceState::Unknown, reason, moment);
        self.change = None;
    }

    /// The attempt was ended by supervision, or withdrawn before it began.
    pub(crate) fn end_as_asked(&mut self, state: InstanceState, reason: &str, moment: &mut Moment<'_>) {
        self.close(
            state,
            End { reason: reason.to_owned(), ..End::new(crate::EndKind::Killed) },
            true,
            moment,
        );
    }

    /// The worker did not take it: not an end that counts. It waits longer each time.
    pub(crate) fn refuse(&mut self, reason: &str, spec: &JobSpec, moment: &mut Moment<'_>) {
        (self.refusals, self.avoided) = (self.refusals.saturating_add(1), self.node().cloned());
        let end = End { reason: reason.to_owned(), ..End::new(crate::EndKind::Failed) };
        self.close(InstanceState::Failed, end, false, moment);
        self.wait_for(spec.restart.pause(self.refusals), moment);
    }

    /// It is given up with its worker, where it may run (`may_run`) or surely does not.
    pub(crate) fn lose(&mut self, may_run: bool, reason: &str, moment: &mut Moment<'_>) {
        let end = End { reason: reason.to_owned(), ..End::new(crate::EndKind::Lost) };
        self.close(InstanceState::Lost, end, false, moment);
        if let Some(ended) = self.record.ended.last_mut() {
            ended.may_run = may_run;
        }
    }

    /// It ended by itself, or nobody asked for it here: that counts.
    pub(crate) fn end(&mut self, end: End, spec: &JobSpec, moment: &mut Moment<'_>) {
        let is_over = |since: Instant| moment.now.saturating_duration_since(since) > spec.restart.window;
        if self.failures_since.is_none_or(is_over) {
            (self.failures_since, self.record.failures) = (Some(moment.now), 0);
        }
        self.record.failures = self.record.failures.saturating_add(1);
        let state = end.state();
        self.close(state, end, false, moment);
        if let Some(ended) = self.record.ended.last_mut() {
            ended.counts = true;
        }
        self.wait_for(spec.restart.pause(self.record.failures), moment);
    }

    fn wait_for(&mut self, pause: Duration, moment: &Moment<'_>) {
        self.wait_until = Some(moment.now + jittered(pause, moment.seed, &self.record.tag()));
    }

    fn close(&mut self, state: InstanceState, end: End, was_asked: bool, moment: &mut Moment<'_>) {
        let reason = text::reason(end.reason);
        if !self.go(state, &reason, moment) {
            return;
        }
        self.doubt = None;
        let ended = EndedAttempt {
            attempt: self.record.attempt,
            task_version: self.record.task_version,
            node: self.node().cloned(),
            state,
            was_asked,
            counts: false,
            may_run: false,
            reason,
            last_lines: text::last_lines(end.last_lines),
        };
        self.record.push(ended);
    }

    /// Whether another attempt follows the one that is over.
    pub(crate) fn has_successor(&self, spec: &JobSpec) -> bool {
        let Some(ended) = self.record.end() else { return false };
        if self.record.task_version < spec.task_version || ended.was_asked {
            return true;
        }
        let when = spec.restart.when;
        if !ended.counts {
            let may_stay_lost = when == RestartWhen::Never && spec.on_lost == LostPolicy::Keep;
            return ended.state != InstanceState::Lost || !may_stay_lost;
        }
        let is_left = spec.restart.restarts_max.is_none_or(|max| self.record.failures <= max);
        match when {
            RestartWhen::Never => false,
            RestartWhen::OnFailure => ended.state != InstanceState::Succeeded && is_left,
            RestartWhen::Always => is_left,
        }
    }

    /// The next attempt takes the place of the one that is over.
    pub(crate) fn begin_next(&mut self, spec: &JobSpec) {
        let (is_lost, was_asked) = self.record.end().map_or((false, false), |ended| {
            (ended.state == InstanceState::Lost && !ended.counts, ended.was_asked)
        });
        self.record.replaces_lost |= is_lost;
        if was_asked {
            self.wait_until = None;
        }
        if self.record.task_version < spec.task_version {
            self.forgive();
        }
        self.record.attempt = self.record.attempt.next();
        (self.record.state, self.record.place) = (InstanceState::Pending, None);
        self.is_start_sent = false;
        self.touch();
    }

    /// What failed was another version of the task.
    pub(crate) fn forgive(&mut self) {
        (self.record.failures, self.failures_since, self.wait_until) = (0, None, None);
    }

    /// Whether nothing of it can run any more, so that its record may go.
    pub(crate) fn is_over(&self) -> bool {
        !self.state().is_live() && !self.record.ended.iter().any(|ended| ended.may_run)
    }

    /// What was given up at a worker surely does not run there any more, but for the attempts that do.
    pub(crate) fn settle(&mut self, node: &NodeId, runs: impl Fn(Attempt) -> bool) {
        let mut is_changed = false;
        for ended in &mut self.record.ended {
            if ended.may_run && ended.node.as_ref() == Some(node) && !runs(ended.attempt) {
                (ended.may_run, is_changed) = (false, true);
            }
        }
        if is_changed {
            self.touch();
        }
    }
}
