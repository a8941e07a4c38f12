//! From what is to what is asked for: one look at a job, after whatever came.
//!
//! Each step looks at all instances and changes what it must; the next step sees it. No step waits for anything: what has to
//! be durable or answered first is a state, and the next look goes on from there. So a new supervisor, which finds the states
//! and nothing else, does the same.

mod losses;
mod starting;
mod stopping;
mod wanted;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::action::Action;
use crate::event::{Event, Events, JobStatus};
use crate::instance::{Instance, Moment};
use crate::job::{Fate, Job};
use crate::name::Attempt;
use crate::nodes::Nodes;
use crate::rollout;
use crate::state::InstanceState;

/// How many actions wait for the driver at most; what more there is to do is found by the next look.
pub const ACTIONS_MAX: usize = 256;

/// How many instances of one job are being started at one time: a worker that is chosen counts from then on, and later ones are
/// chosen by fresher reports.
pub const STARTS_IN_FLIGHT_MAX: usize = 64;

/// How long after its grace a task that is told to stop is told again.
pub const STOP_REPEAT: Duration = Duration::from_secs(15);

/// How much longer than the worker supervision waits with [`LostPolicy::StopAfter`](crate::LostPolicy::StopAfter): a worker
/// notices the loss up to 15 s later, and ends the task with a grace.
pub const STOP_AFTER_MARGIN: Duration = Duration::from_secs(45);

/// How long a new supervisor waits for a worker of which nobody has told it yet, before it counts as lost: its own view of the
/// workers may come later than the jobs.
pub const UNSEEN_GRACE: Duration = Duration::from_secs(30);

/// How many instances there are in all: each known worker has one of some job.
pub(crate) const INSTANCES_MAX: usize = 200_000;

/// Everything that a look at a job reads and writes besides the job.
pub(crate) struct Turn<'a> {
    pub(crate) now: Instant,
    pub(crate) seed: u64,
    pub(crate) may_replace: bool,
    /// How many more instances there may be.
    pub(crate) room: usize,
    pub(crate) nodes: &'a mut Nodes,
    pub(crate) actions: &'a mut VecDeque<Action>,
    pub(crate) events: &'a mut Events,
    pub(crate) wake_at: Option<Instant>,
    /// There was more to do than fits.
    pub(crate) is_unfinished: bool,
}

impl Turn<'_> {
    /// The job wants to be looked at then.
    pub(crate) fn wake(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |own| own.min(at)));
    }

    pub(crate) fn moment(&mut self) -> Moment<'_> {
        Moment { now: self.now, seed: self.seed, events: self.events }
    }

    /// Gives the driver something to do, unless it has enough.
    pub(crate) fn act(&mut self, action: impl FnOnce() -> Action) -> bool {
        let has_room = self.actions.len() < ACTIONS_MAX;
        if has_room {
            self.actions.push_back(action());
        }
        self.is_unfinished |= !has_room;
        has_room
    }
}

/// Looks at a job once.
pub(crate) fn reconcile(job: &mut Job, turn: &mut Turn<'_>) {
    losses::judge(job, turn);
    wanted::dismiss(job, turn);
    wanted::create(job, turn);
    rollout::advance(job, turn);
    wanted::succeed(job, turn);
    starting::place(job, turn);
    record(job, turn);
    starting::send(job, turn);
    stopping::send(job, turn);
    say_status(job, turn);
    job.wake_at = turn.wake_at;
}

/// Gives changed records out. An instance that was never started has nothing worth keeping.
fn record(job: &mut Job, turn: &mut Turn<'_>) {
    for instance in job.instances.values_mut() {
        let record = &instance.record;
        let is_blank = record.attempt == Attempt::FIRST && record.state == InstanceState::Pending;
        if instance.sent < record.revision && !is_blank {
            if !turn.act(|| Action::Record(Box::new(record.clone()))) {
                return;
            }
            instance.sent = record.revision;
        }
    }
}

fn say_status(job: &mut Job, turn: &mut Turn<'_>) {
    let status = status(job, turn.nodes);
    if status != job.status {
        job.status = status;
        turn.events.push(Event::JobChanged { job: job.spec.name.clone(), status });
    }
}

fn status(job: &Job, nodes: &Nodes) -> JobStatus {
    if job.spec.stopped || job.is_removed {
        let is_live = job.instances.values().any(|instance| instance.state().is_live());
        return if is_live { job.status } else { JobStatus::Stopped };
    }
    let wanted = || job.instances.iter().filter(|(name, _)| job.fate(name, nodes) == Fate::Run);
    let is_done = |instance: &Instance| instance.state() == InstanceState::Succeeded;
    let is_well = |instance: &Instance| {
        let is_changing =
            instance.change.is_some() && job.rollout.as_ref().is_none_or(|rollout| !rollout.is_paused);
        instance.state() == InstanceState::Running || is_done(instance) || is_changing
    };
    if !wanted().all(|(_, instance)| is_well(instance)) {
        return if matches!(job.status, JobStatus::Placing | JobStatus::Stopped) {
            JobStatus::Placing
        } else {
            JobStatus::Degraded
        };
    }
    let is_complete = wanted().next().is_some() && wanted().all(|(_, instance)| is_done(instance));
    if is_complete { JobStatus::Complete } else { JobStatus::Placed }
}
