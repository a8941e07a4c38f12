//! A world in which tasks really run: workers with tasks, a store of records, and a supervisor between them.
//!
//! It does at once what the supervisor asks for, and panics where a promise is broken.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use phalanx_base::{Generation, NodeId, NodeStatus};
use phalanx_placement::{Class, Metrics};
use phalanx_supervision::{
    Action, Attempt, Count, End, EndKind, Event, Found, InstanceName, InstanceRecord, InstanceState, JobName,
    JobSpec, Listing, NodeReport, StartFailure, Supervisor, Tag, TaskName,
};

/// How long it takes until what was not answered is asked again: a stop after its grace and a pause.
const MENDED_AFTER: Duration = Duration::from_secs(60);

pub(crate) type Instance = (JobName, InstanceName);

/// What becomes of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Runs,
    Refused,
    /// It runs, and nobody hears of it.
    RunsUnheard,
    /// It does not run, and nobody is sure.
    Vanishes,
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) generation: u64,
    pub(crate) is_connected: bool,
    pub(crate) status: NodeStatus,
    pub(crate) labels: String,
    pub(crate) cpu: f64,
    pub(crate) tasks: BTreeMap<TaskName, Tag>,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) began: Instant,
    pub(crate) supervisor: Supervisor,
    pub(crate) workers: BTreeMap<NodeId, Worker>,
    pub(crate) records: BTreeMap<Instance, InstanceRecord>,
    pub(crate) spec: JobSpec,
    pub(crate) may_replace: bool,
    pub(crate) outcomes: VecDeque<Outcome>,
    answers_listings: bool,
    holds_records: bool,
    /// What is not durable yet.
    held: VecDeque<Action>,
    obeys_stops: bool,
    /// Since when both are so, or since when it is not.
    orderly_since: Instant,
    pub(crate) events: Vec<Event>,
    pub(crate) actions: usize,
    pub(crate) starts: Vec<(Instant, Tag, NodeId)>,
    started: BTreeMap<Instance, Attempt>,
    ended: BTreeMap<Tag, InstanceState>,
    /// Until when an instance may not start, and for which version of its task.
    pauses: BTreeMap<Instance, (Instant, u64)>,
    tasks_made: u64,
    seed: u64,
}

pub(crate) fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn class() -> Class {
    Class { name: "shop.web".into(), version: 1 }
}

pub(crate) fn spec(count: Count) -> JobSpec {
    let mut spec = JobSpec::new("web".parse().unwrap(), class(), Bytes::from_static(b"1"), count);
    spec.requirements.selector = "fit".parse().unwrap();
    spec
}

impl World {
    /// A world with these workers and this job.
    #[allow(clippy::disallowed_methods, reason = "a test may begin whenever it likes")]
    pub(crate) fn new(workers: &[&str], spec: JobSpec) -> Self {
        let now = Instant::now();
        let mut world = Self {
            now,
            began: now,
            supervisor: Supervisor::new(now, 1),
            workers: BTreeMap::new(),
            records: BTreeMap::new(),
            spec,
            may_replace: true,
            outcomes: VecDeque::new(),
            answers_listings: true,
            holds_records: false,
            held: VecDeque::new(),
            obeys_stops: true,
            orderly_since: now,
            events: Vec::new(),
            actions: 0,
            starts: Vec::new(),
            started: BTreeMap::new(),
            ended: BTreeMap::new(),
            pauses: BTreeMap::new(),
            tasks_made: 0,
            seed: 1,
        };
        world.supervisor.handle_may_replace(now, true);
        for name in workers {
            world.come(name);
        }
        world.submit();
        world.advance(seconds(1));
        world
    }

    pub(crate) fn submit(&mut self) {
        self.supervisor.handle_job(self.now, self.spec.clone(), []).unwrap();
        self.settle();
    }

    pub(crate) fn change(&mut self, change: impl FnOnce(&mut JobSpec)) {
        let mut next = self.spec.clone();
        change(&mut next);
        self.spec = next.after(&self.spec);
        self.submit();
    }

    /// Another control node supervises from now on, by the records and what it can see.
    pub(crate) fn take_over(&mut self) {
        self.seed += 1;
        if !self.held.is_empty() {
            // That something failed is forgotten with its record.
            self.pauses.clear();
        }
        self.held.clear();
        self.supervisor = Supervisor::new(self.now, self.seed);
        self.supervisor.handle_may_replace(self.now, self.may_replace);
        let records: Vec<_> = self.records.values().cloned().collect();
        self.supervisor.handle_job(self.now, self.spec.clone(), records).unwrap();
        let names: Vec<NodeId> = self.workers.keys().cloned().collect();
        for name in names {
            self.report(&name);
        }
        self.settle();
    }

    /// For a moment another control node supervises too, and does not know yet what runs: it writes that down, and the first
    /// one reads it.
    pub(crate) fn rival(&mut self) {
        if !self.held.is_empty() {
            return;
        }
        let mut rival = Supervisor::new(self.now, self.seed + 1_000);
        let records: Vec<_> = self.records.values().cloned().collect();
        rival.handle_job(self.now, self.spec.clone(), records).unwrap();
        while let Some(action) = rival.poll_action() {
            if let Action::Record(record) = action {
                let name = (record.job.clone(), record.instance.clone());
                self.records.insert(name, *record);
            }
        }
        let records: Vec<_> = self.records.values().cloned().collect();
        self.supervisor.handle_job(self.now, self.spec.clone(), records).unwrap();
        self.settle();
    }

    // Workers.

    pub(crate) fn come(&mut self, name: &str) {
        let worker = Worker {
            generation: 1,
            is_connected: true,
            status: NodeStatus::Ready,
            labels: "fit".into(),
            cpu: 0.5,
            tasks: BTreeMap::new(),
        };
        self.workers.entry(id(name)).or_insert(worker);
        self.report(&id(name));
    }

    pub(crate) fn worker(&mut self, name: &str) -> &mut Worker {
        self.workers.get_mut(&id(name)).unwrap()
    }

    /// Tells the supervisor how a worker is.
    pub(crate) fn report(&mut self, name: &NodeId) {
        let worker = &self.workers[name];
        if !worker.is_connected {
            return;
        }
        let report = NodeReport {
            node: name.clone(),
            generation: Generation::from_u64(worker.generation),
            status: worker.status,
            labels: worker.labels.parse().unwrap(),
            classes: vec![class()],
            metrics: Metrics { cpu: Some(worker.cpu), ..Metrics::default() },
            tasks: worker.tasks.len() as u32,
        };
        self.supervisor.handle_node(self.now, report);
        self.settle();
    }

    pub(crate) fn lose(&mut self, name: &str) {
        self.worker(name).is_connected = false;
        self.supervisor.handle_node_lost(self.now, &id(name));
        self.settle();
    }

    pub(crate) fn back(&mut self, name: &str) {
        self.worker(name).is_connected = true;
        self.report(&id(name));
    }

    pub(crate) fn reboot(&mut self, name: &str) {
        let worker = self.worker(name);
        worker.tasks.clear();
        worker.generation += 1;
        worker.is_connected = true;
        self.report(&id(name));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.workers.remove(&id(name));
        self.supervisor.handle_node_removed(self.now, &id(name));
        self.settle();
    }

    pub(crate) fn set_may_replace(&mut self, may_replace: bool) {
        self.may_replace = may_replace;
        self.supervisor.handle_may_replace(self.now, may_replace);
        self.settle();
    }

    pub(crate) fn set_answers_listings(&mut self, answers: bool) {
        (self.answers_listings, self.orderly_since) = (answers, self.now + MENDED_AFTER);
    }

    /// Whether records wait to become durable. What waits is lost with its supervisor.
    pub(crate) fn set_holds_records(&mut self, holds: bool) {
        self.holds_records = holds;
        if !holds {
            while let Some(action) = self.held.pop_front() {
                self.keep(action);
            }
            self.settle();
        }
    }

    pub(crate) fn set_obeys_stops(&mut self, obeys: bool) {
        (self.obeys_stops, self.orderly_since) = (obeys, self.now + MENDED_AFTER);
    }

    /// The tasks that really run, and where; of workers that can be reached or of all.
    pub(crate) fn running(&self, only_connected: bool) -> Vec<(Tag, NodeId)> {
        let workers = self.workers.iter().filter(|(_, worker)| worker.is_connected || !only_connected);
        let tasks =
            workers.flat_map(|(node, worker)| worker.tasks.values().map(|tag| (tag.clone(), node.clone())));
        let mut tasks: Vec<_> = tasks.collect();
        tasks.sort();
        tasks
    }

    /// Where an instance runs.
    pub(crate) fn at(&self, index: u32) -> Option<NodeId> {
        let is_it = |tag: &Tag| tag.instance == InstanceName::Index(index);
        self.running(true).into_iter().find(|(tag, _)| is_it(tag)).map(|(_, node)| node)
    }

    pub(crate) fn count_at(&self, name: &str) -> usize {
        self.workers[&id(name)].tasks.len()
    }

    pub(crate) fn record(&self, index: u32) -> &InstanceRecord {
        &self.records[&(self.spec.name.clone(), InstanceName::Index(index))]
    }

    /// A task ends by itself; whether it is heard depends on the worker.
    pub(crate) fn end(&mut self, tag: &Tag, node: &NodeId, kind: EndKind) {
        let Some(worker) = self.workers.get_mut(node) else { return };
        worker.tasks.retain(|_, own| own != tag);
        if worker.is_connected {
            self.tell_end(tag, node, kind);
            self.settle();
        }
    }

    pub(crate) fn end_of(&mut self, index: u32, kind: EndKind) {
        let is_it = |tag: &Tag| tag.instance == InstanceName::Index(index);
        let (tag, node) = self.running(true).into_iter().find(|(tag, _)| is_it(tag)).unwrap();
        self.end(&tag, &node, kind);
    }

    fn tell_end(&mut self, tag: &Tag, node: &NodeId, kind: EndKind) {
        let end = End { reason: format!("{kind:?}"), last_lines: vec!["last words".into()], kind };
        self.supervisor.handle_ended(self.now, tag, node, end);
        let job = self.supervisor.job(&tag.job);
        let record = job.and_then(|job| job.records().find(|record| record.instance == tag.instance));
        if let Some(record) = record.filter(|record| record.end().is_some_and(|end| end.counts)) {
            let restart = &self.spec.restart;
            let pause = restart.pause_initial * 2_u32.saturating_pow(record.failures.clamp(1, 16) - 1);
            let until = self.now + pause.min(restart.pause_max);
            self.pauses.insert((tag.job.clone(), tag.instance.clone()), (until, record.task_version));
        }
    }

    // Time.

    pub(crate) fn advance(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.supervisor.poll_timeout().filter(|at| *at <= until) {
            assert!(at > self.now || self.now == until, "time stands still");
            self.now = at.max(self.now);
            self.supervisor.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
        self.supervisor.handle_timeout(self.now);
        self.settle();
    }

    /// Does everything that is to be done, and checks what must hold when nothing more is.
    pub(crate) fn settle(&mut self) {
        let mut steps = 0;
        while let Some(action) = self.supervisor.poll_action() {
            steps += 1;
            assert!(steps < 5_000, "it never comes to rest: {action:?}");
            self.actions += 1;
            self.perform(action);
        }
        while let Some(event) = self.supervisor.poll_event() {
            if let Event::InstanceChanged { from, to, tag, .. } = &event {
                assert!(from.may_become(*to), "{tag}: {from} to {to}");
            }
            self.events.push(event);
        }
        if self.answers_listings && self.obeys_stops && self.now >= self.orderly_since {
            self.check_one_attempt();
        }
    }

    fn check_one_attempt(&self) {
        let running = self.running(true);
        let instances: BTreeSet<_> = running.iter().map(|(tag, _)| &tag.instance).collect();
        assert_eq!(instances.len(), running.len(), "two attempts run: {running:?}");
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Record(_) | Action::Forget(_) if self.holds_records => self.held.push_back(action),
            Action::Record(_) | Action::Forget(_) => self.keep(action),
            Action::Start { tag, node, generation, .. } => self.start(&tag, &node, generation),
            Action::Stop { tag, node, task, .. } => self.stop(&tag, &node, &task),
            Action::List { node, listing, .. } => self.list(&node, listing),
        }
    }

    fn keep(&mut self, action: Action) {
        match action {
            Action::Record(record) => self.write(*record),
            Action::Forget(record) => self.forget(&record),
            _ => {}
        }
    }

    fn forget(&mut self, record: &InstanceRecord) {
        let name = (record.job.clone(), record.instance.clone());
        let is_its = |tag: &Tag| tag.instance == record.instance;
        let running = self.running(false);
        assert!(!running.iter().any(|(tag, _)| is_its(tag)), "forgotten while it runs: {running:?}");
        self.started.remove(&name);
        self.pauses.remove(&name);
        self.ended.retain(|tag, _| !is_its(tag));
        self.records.remove(&name);
    }

    fn write(&mut self, record: InstanceRecord) {
        assert!(record.ended.len() <= InstanceRecord::HISTORY_MAX);
        for ended in &record.ended {
            let tag = Tag { attempt: ended.attempt, ..record.tag() };
            let before = *self.ended.entry(tag.clone()).or_insert(ended.state);
            assert_eq!(before, ended.state, "{tag} has ended otherwise before");
        }
        let tag = record.tag();
        if let Some(before) = self.ended.get(&tag) {
            assert_eq!(*before, record.state, "{tag} is over");
        }
        let (job, instance, revision) = (record.job.clone(), record.instance.clone(), record.revision);
        let before = self.records.insert((job.clone(), instance.clone()), record);
        if let Some(before) = before {
            assert!(before.revision < revision && before.attempt <= tag.attempt, "{tag}: {before:?}");
        }
        self.supervisor.handle_recorded(self.now, &job, &instance, revision);
    }

    fn start(&mut self, tag: &Tag, node: &NodeId, generation: Generation) {
        let name = (tag.job.clone(), tag.instance.clone());
        let record = &self.records[&name];
        assert_eq!((record.tag(), record.state), (tag.clone(), InstanceState::Starting), "it is not durable");
        assert!(self.may_replace || !record.replaces_lost, "{tag} replaces what is lost without leave");
        if let Some(before) = self.started.insert(name.clone(), tag.attempt) {
            assert!(before < tag.attempt, "{tag} starts after attempt {before}");
        }
        if let Some((until, version)) = self.pauses.get(&name) {
            let is_new = self.spec.task_version > *version;
            assert!(is_new || self.now >= *until, "{tag} starts {:?} too early", *until - self.now);
        }
        self.starts.push((self.now, tag.clone(), node.clone()));
        let outcome = self.outcomes.pop_front().unwrap_or(Outcome::Runs);
        let task = TaskName(Bytes::from(self.tasks_made.to_be_bytes().to_vec()));
        self.tasks_made += 1;
        let reaches = |worker: &&mut Worker| worker.is_connected && worker.generation == generation.as_u64();
        let refused = |may_have_started| StartFailure { may_have_started, reason: "said the test".into() };
        let answer = match (self.workers.get_mut(node).filter(reaches), outcome) {
            (None, Outcome::Runs | Outcome::Refused) | (_, Outcome::Refused) => Err(refused(false)),
            (None, _) | (_, Outcome::Vanishes) => Err(refused(true)),
            (Some(worker), Outcome::Runs) => {
                worker.tasks.insert(task.clone(), tag.clone());
                Ok(task)
            }
            (Some(worker), Outcome::RunsUnheard) => {
                worker.tasks.insert(task, tag.clone());
                Err(refused(true))
            }
        };
        self.supervisor.handle_started(self.now, tag, answer);
    }

    fn stop(&mut self, tag: &Tag, node: &NodeId, task: &TaskName) {
        let Some(worker) = self.workers.get_mut(node).filter(|worker| worker.is_connected) else { return };
        if !self.obeys_stops {
            return;
        }
        let kind = if worker.tasks.remove(task).is_some() { EndKind::Killed } else { EndKind::Lost };
        self.tell_end(tag, node, kind);
    }

    fn list(&mut self, node: &NodeId, listing: u64) {
        let worker = self.workers.get(node).filter(|worker| worker.is_connected && self.answers_listings);
        let answer = worker.map(|worker| Listing {
            generation: Generation::from_u64(worker.generation),
            tasks: worker
                .tasks
                .iter()
                .map(|(task, tag)| Found { tag: tag.clone(), task: task.clone(), end: None })
                .collect(),
        });
        self.supervisor.handle_listing(self.now, node, listing, answer);
    }
}
