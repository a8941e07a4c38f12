//! The root: takes in what happens, and looks at the jobs that it concerns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use phalanx_base::{Generation, NodeId, NodeStatus};

use crate::action::Action;
use crate::end::{End, StartFailure};
use crate::event::{Event, Events, JobStatus};
use crate::instance::Moment;
use crate::job::Job;
use crate::name::{InstanceName, JobName, Tag};
use crate::node::{Found, Listing, NodeReport};
use crate::nodes::{Change, Nodes};
use crate::reconcile::{INSTANCES_MAX, Turn, reconcile};
use crate::record::{InstanceRecord, TaskName};
use crate::spec::{JobSpec, SpecError};

/// How many jobs one control node supervises at most.
pub const JOBS_MAX: usize = 1_024;

/// How long changes of workers are collected before jobs are looked at: when many change, each job is looked at ten times a
/// second and not for each.
pub const NODES_PAUSE: Duration = Duration::from_millis(100);

/// Why a job is not supervised. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// There are [`JOBS_MAX`] jobs.
    #[error("this control node supervises {JOBS_MAX} jobs already: let another one take some")]
    TooManyJobs,
    /// A spec of this version, or of a later one, is known.
    #[error("version {given} of the job is not after version {known}: change the present one")]
    Stale {
        /// The version that was given.
        given: u64,
        /// The version that is known.
        known: u64,
    },
    /// The job was removed, and something of it runs yet.
    #[error("job {0} was removed and is not gone yet: wait for it, or give the new one another name")]
    BeingRemoved(JobName),
    /// The spec cannot be.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Keeps jobs at the number of tasks that was asked for; supervises those that it was given.
///
/// *Inputs* are the methods `handle_…`: jobs, workers, answers, ends, the passing of time. Each takes `now`, which must not go
/// back; none decides anything. *Outputs* are [`poll_action`](Self::poll_action), which decides, and
/// [`poll_event`](Self::poll_event) and [`poll_timeout`](Self::poll_timeout). After any inputs call `poll_action` until it
/// has no more, and then `poll_timeout`: many inputs at once cost one look at each job.
///
/// The driver follows each task of which it has said that it runs (by `handle_started`, `handle_found` or `handle_listing`),
/// and says its end by `handle_ended`. It starts with [`handle_may_replace`](Self::handle_may_replace), since without leave
/// nothing that is lost is replaced.
#[derive(Debug)]
pub struct Supervisor {
    seed: u64,
    now: Instant,
    may_replace: bool,
    nodes: Nodes,
    jobs: BTreeMap<JobName, Job>,
    /// Jobs to look at.
    to_do: BTreeSet<JobName>,
    /// When jobs are looked at because of workers, and whether more than their load has changed.
    nodes_at: Option<Instant>,
    is_fitness_changed: bool,
    actions: VecDeque<Action>,
    events: Events,
}

/// A job as it is.
#[derive(Debug, Clone, Copy)]
pub struct JobView<'a>(&'a Job);

impl<'a> JobView<'a> {
    /// What was asked for.
    #[must_use]
    pub fn spec(&self) -> &'a JobSpec {
        &self.0.spec
    }

    /// How it is as a whole.
    #[must_use]
    pub fn status(&self) -> JobStatus {
        self.0.status
    }

    /// Whether a new version is on its way, and waits since something failed.
    #[must_use]
    pub fn is_rollout_paused(&self) -> bool {
        self.0.rollout.as_ref().is_some_and(|rollout| rollout.is_paused)
    }

    /// Its instances as they are, in the order of their names; the last changes may not be durable yet.
    pub fn records(&self) -> impl Iterator<Item = &'a InstanceRecord> {
        self.0.instances.values().map(|instance| &instance.record)
    }
}

impl Supervisor {
    /// A supervisor of no job. The seed decides lots: which of equal workers, and how much longer a pause is.
    #[must_use]
    pub fn new(now: Instant, seed: u64) -> Self {
        Self {
            seed,
            now,
            may_replace: false,
            nodes: Nodes::default(),
            jobs: BTreeMap::new(),
            to_do: BTreeSet::new(),
            nodes_at: None,
            is_fitness_changed: false,
            actions: VecDeque::new(),
            events: Events::default(),
        }
    }

    /// A job that it supervises, as it is.
    #[must_use]
    pub fn job(&self, name: &JobName) -> Option<JobView<'_>> {
        self.jobs.get(name).map(JobView)
    }

    /// The jobs that it supervises.
    pub fn jobs(&self) -> impl Iterator<Item = JobView<'_>> {
        self.jobs.values().map(JobView)
    }

    /// Supervises a job from now on, with what is recorded of it; or takes a change of one, and records that somebody else has
    /// written. Of two records of one instance the newer one counts. Records of other jobs are left alone.
    ///
    /// # Errors
    /// [`JobError`]; nothing has changed then. The version that is known already is no error, so that records can come with it.
    pub fn handle_job(
        &mut self,
        now: Instant,
        spec: JobSpec,
        records: impl IntoIterator<Item = InstanceRecord>,
    ) -> Result<(), JobError> {
        spec.check()?;
        let name = spec.name.clone();
        if self.jobs.get(&name).is_some_and(|job| job.is_removed) {
            return Err(JobError::BeingRemoved(name));
        }
        let (known, given) = (self.jobs.get(&name).map(|job| job.spec.version), spec.version);
        match known {
            None if self.jobs.len() >= JOBS_MAX => return Err(JobError::TooManyJobs),
            Some(known) if given < known => return Err(JobError::Stale { given, known }),
            _ => {}
        }
        self.now = now;
        let job = self.jobs.entry(name.clone()).or_insert_with(|| Job::new(spec.clone()));
        if known.is_some_and(|known| given > known) {
            job.change(spec);
        }
        let mut moment = Moment { now, seed: self.seed, events: &mut self.events };
        for record in records.into_iter().filter(|record| record.job == name) {
            job.adopt(record, &self.nodes, &mut moment);
        }
        if known.is_none() {
            job.resume_rollout();
        }
        self.to_do.insert(name);
        Ok(())
    }

    /// A job was removed: its tasks are stopped, its records forgotten, and then the job. What runs at workers that are lost
    /// holds that up until they are back or removed, so that it is stopped when it comes back.
    pub fn handle_job_removed(&mut self, now: Instant, name: &JobName) {
        self.with_job(now, name, |job, _, _| job.is_removed = true);
    }

    /// Another control node supervises the job from now on: it is let go, and its tasks run on.
    pub fn handle_release(&mut self, name: &JobName) {
        self.jobs.remove(name);
        self.to_do.remove(name);
        self.actions.retain(|action| action_job(action) != Some(name));
    }

    /// Whether what is lost with its worker may be started elsewhere now: not while many are lost at one time, nor without a
    /// majority of control nodes. It is `false` at first.
    pub fn handle_may_replace(&mut self, now: Instant, may_replace: bool) {
        self.now = now;
        if self.may_replace != may_replace {
            self.may_replace = may_replace;
            self.look_at_all();
        }
    }

    /// A worker is there, or is otherwise than before. One that was lost is back with it.
    pub fn handle_node(&mut self, now: Instant, report: NodeReport) {
        self.now = now;
        let (node, is_lost) = (report.node.clone(), report.status == NodeStatus::NotConnected);
        let Some(change) = self.nodes.report(report) else { return };
        let is_news = is_lost && self.nodes.lose(now, &node);
        if change > Change::Load || is_news {
            // What should not run there is stopped at once.
            let seeking = self.jobs.iter().filter(|(_, job)| job.sought.contains(&node));
            self.to_do.extend(seeking.map(|(name, _)| name.clone()));
            self.nodes_changed(true);
        } else if self.jobs.values().any(|job| job.explained.is_some()) {
            self.nodes_changed(false);
        }
    }

    /// A worker is lost: the cluster does not hear of it. What runs there is in doubt.
    pub fn handle_node_lost(&mut self, now: Instant, node: &NodeId) {
        self.now = now;
        if self.nodes.lose(now, node) {
            self.nodes_changed(true);
        }
    }

    /// A worker will not come back, as somebody knows for certain: what ran there is lost, without a pause.
    pub fn handle_node_removed(&mut self, now: Instant, node: &NodeId) {
        self.now = now;
        self.nodes.remove(node);
        let mut moment = Moment { now, seed: self.seed, events: &mut self.events };
        self.jobs.values_mut().for_each(|job| job.handle_node_removed(node, &mut moment));
        self.look_at_all();
    }

    /// This revision of a record is durable.
    pub fn handle_recorded(&mut self, now: Instant, job: &JobName, instance: &InstanceName, revision: u64) {
        self.with_job(now, job, |job, _, _| {
            if let Some(instance) = job.instances.get_mut(instance) {
                instance.durable = instance.durable.max(revision);
            }
        });
    }

    /// A start was answered: so the worker calls the task, or it did not take it, or nobody knows.
    pub fn handle_started(&mut self, now: Instant, tag: &Tag, answer: Result<TaskName, StartFailure>) {
        let answer = answer.and_then(|task| {
            let is_short = task.0.len() <= InstanceRecord::TASK_NAME_BYTES_MAX;
            let reason = "the name of the task is too long to be kept".to_owned();
            if is_short { Ok(task) } else { Err(StartFailure { may_have_started: true, reason }) }
        });
        self.with_job(now, &tag.job, |job, nodes, moment| job.handle_started(tag, answer, nodes, moment));
    }

    /// A task has ended at a worker, or the worker does not know it (any more): [`Lost`](crate::EndKind::Lost).
    pub fn handle_ended(&mut self, now: Instant, tag: &Tag, node: &NodeId, end: End) {
        self.with_job(now, &tag.job, |job, _, moment| job.handle_ended(tag, node, end, moment));
    }

    /// A task was found at a worker, by whatever means. Of a job that is not supervised here it says nothing.
    pub fn handle_found(&mut self, now: Instant, node: &NodeId, generation: Generation, found: Found) {
        if found.task.0.len() > InstanceRecord::TASK_NAME_BYTES_MAX {
            return;
        }
        let job = found.tag.job.clone();
        self.with_job(now, &job, |job, nodes, moment| {
            job.handle_found(node, generation, found, nodes, moment);
        });
    }

    /// A worker was asked by [`Action::List`], and this is all that it runs; `None`: it could not be asked, and is asked again.
    pub fn handle_listing(&mut self, now: Instant, node: &NodeId, listing: u64, answer: Option<Listing>) {
        self.now = now;
        let known = self.nodes.node(node).map(|node| node.report.generation);
        let answer = answer.filter(|answer| Some(answer.generation) >= known);
        if !self.nodes.answer(now, node, listing, answer.is_some()) {
            return;
        }
        let Some(Listing { generation, tasks }) = answer else { return };
        for found in tasks {
            self.handle_found(now, node, generation, found);
        }
        for (name, job) in &mut self.jobs {
            let mut moment = Moment { now, seed: self.seed, events: &mut self.events };
            job.handle_listed(node, generation, listing, &mut moment);
            self.to_do.insert(name.clone());
        }
    }

    /// Time has passed, at least until [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        let due = self.jobs.iter().filter(|(_, job)| job.wake_at.is_some_and(|at| at <= now));
        self.to_do.extend(due.map(|(name, _)| name.clone()));
        if self.nodes_at.is_some_and(|at| at <= now) {
            self.nodes_at = None;
            let all = std::mem::take(&mut self.is_fitness_changed);
            let concerned = self.jobs.iter().filter(|(_, job)| all || job.explained.is_some());
            self.to_do.extend(concerned.map(|(name, _)| name.clone()));
        }
    }

    /// What the driver is to do next. Looks at the jobs where something has changed.
    pub fn poll_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                if self.is_withheld(&action) {
                    continue;
                }
                return Some(action);
            }
            if let Some(name) = self.to_do.pop_first() {
                self.look_at(name);
                continue;
            }
            let (node, listing) = self.nodes.ask(self.now)?;
            let known = self.known_at(&node);
            return Some(Action::List { node, listing, known });
        }
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, unless something comes before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let jobs = self.jobs.values().filter_map(|job| job.wake_at).min();
        [jobs, self.nodes_at, self.nodes.poll_timeout()].into_iter().flatten().min()
    }

    /// Takes back a start for which the leave was withdrawn while it waited for the driver.
    fn is_withheld(&mut self, action: &Action) -> bool {
        let Action::Start { tag, .. } = action else { return false };
        let job = self.jobs.get_mut(&tag.job).filter(|_| !self.may_replace);
        let Some(instance) = job.and_then(|job| job.instances.get_mut(&tag.instance)) else { return false };
        let is_withheld = instance.record.attempt == tag.attempt && instance.record.replaces_lost;
        if is_withheld {
            instance.is_start_sent = false;
            self.to_do.insert(tag.job.clone());
        }
        is_withheld
    }

    fn look_at(&mut self, name: JobName) {
        let count: usize = self.jobs.values().map(|job| job.instances.len()).sum();
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let mut turn = Turn {
            now: self.now,
            seed: self.seed,
            may_replace: self.may_replace,
            room: INSTANCES_MAX.saturating_sub(count),
            nodes: &mut self.nodes,
            actions: &mut self.actions,
            events: &mut self.events,
            wake_at: None,
            is_unfinished: false,
        };
        reconcile(job, &mut turn);
        let is_unfinished = turn.is_unfinished;
        if job.is_removed && job.instances.is_empty() && job.strays.is_empty() {
            self.jobs.remove(&name);
            self.events.push(Event::JobRemoved { job: name });
        } else if is_unfinished {
            self.to_do.insert(name);
        }
    }

    /// What should run at a worker, or is in doubt there.
    fn known_at(&self, node: &NodeId) -> Vec<(Tag, TaskName)> {
        let instances = self.jobs.values().flat_map(|job| job.instances.values());
        let live = instances.filter(|one| one.node() == Some(node) && one.state().is_live());
        live.filter_map(|one| {
            let task = one.record.place.as_ref()?.task.clone()?;
            Some((one.record.tag(), task))
        })
        .collect()
    }

    fn with_job(
        &mut self,
        now: Instant,
        name: &JobName,
        change: impl FnOnce(&mut Job, &Nodes, &mut Moment<'_>),
    ) {
        self.now = now;
        let Some(job) = self.jobs.get_mut(name) else { return };
        let mut moment = Moment { now, seed: self.seed, events: &mut self.events };
        change(job, &self.nodes, &mut moment);
        self.to_do.insert(name.clone());
    }

    fn look_at_all(&mut self) {
        self.to_do.extend(self.jobs.keys().cloned());
    }

    fn nodes_changed(&mut self, is_fitness_changed: bool) {
        self.is_fitness_changed |= is_fitness_changed;
        self.nodes_at.get_or_insert(self.now + NODES_PAUSE);
    }
}

/// Which job an action is for.
fn action_job(action: &Action) -> Option<&JobName> {
    match action {
        Action::Record(record) | Action::Forget(record) => Some(&record.job),
        Action::Start { tag, .. } | Action::Stop { tag, .. } => Some(&tag.job),
        Action::List { .. } => None,
    }
}
