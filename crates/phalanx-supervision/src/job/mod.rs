//! A job under supervision: what was asked for, and its instances.
//!
//! What comes from workers is taken in here; what follows from it is decided in [`reconcile`](crate::reconcile), once for all
//! that came.

mod reports;
mod strays;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use phalanx_base::NodeId;

use crate::event::JobStatus;
use crate::instance::{Instance, Moment};
use crate::name::InstanceName;
use crate::nodes::Nodes;
use crate::placing::Placing;
use crate::reconcile::INSTANCES_MAX;
use crate::record::InstanceRecord;
use crate::rollout::Rollout;
use crate::spec::{Count, JobSpec};
pub(crate) use strays::Strays;

/// What is to become of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is to run.
    Run,
    /// It is not to run now, and its record stays.
    Rest,
    /// It is not to be.
    Go,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) spec: JobSpec,
    pub(crate) placing: Placing,
    pub(crate) is_removed: bool,
    pub(crate) instances: BTreeMap<InstanceName, Instance>,
    pub(crate) strays: Strays,
    /// Workers that are to be asked what they run, as soon as they are there.
    pub(crate) sought: BTreeSet<NodeId>,
    pub(crate) rollout: Option<Rollout>,
    pub(crate) status: JobStatus,
    /// What was last said of those that wait, and when.
    pub(crate) explained: Option<(usize, String, Instant)>,
    /// How often a worker was chosen: a lot for each.
    pub(crate) draws: u64,
    pub(crate) wake_at: Option<Instant>,
}

impl Job {
    pub(crate) fn new(spec: JobSpec) -> Self {
        Self {
            placing: Placing::new(&spec),
            spec,
            is_removed: false,
            instances: BTreeMap::new(),
            strays: Strays::default(),
            sought: BTreeSet::new(),
            rollout: None,
            status: JobStatus::default(),
            explained: None,
            draws: 0,
            wake_at: None,
        }
    }

    /// The job has changed. A rollout that was paused goes on with the new version.
    pub(crate) fn change(&mut self, spec: JobSpec) {
        if spec.task_version > self.spec.task_version {
            self.instances.values_mut().for_each(Instance::forgive);
        }
        self.placing = Placing::new(&spec);
        (self.spec, self.rollout, self.explained) = (spec, None, None);
    }

    /// Somebody else's record of an instance. The newer of two records is the one that counts; what runs by ours is stopped if
    /// that is another attempt, or somewhere else.
    pub(crate) fn adopt(&mut self, record: InstanceRecord, nodes: &Nodes, moment: &mut Moment<'_>) {
        let name = record.instance.clone();
        if let Some(own) = self.instances.get_mut(&name) {
            let newness = |record: &InstanceRecord| (record.attempt, record.revision);
            if newness(&record) <= newness(&own.record) || own.outdo(&record) {
                return;
            }
            if !own.is_same_run(&record) {
                self.abandon(&name, nodes, moment.now);
            }
        } else if self.instances.len() >= INSTANCES_MAX {
            return;
        }
        let lost = record.ended.iter().filter(|ended| ended.may_run);
        self.sought.extend(lost.filter_map(|ended| ended.node.clone()));
        self.instances.insert(name, Instance::adopted(record, &self.spec, moment));
    }

    /// What an instance runs here is not its present attempt any more.
    fn abandon(&mut self, name: &InstanceName, nodes: &Nodes, now: Instant) {
        let Some(own) = self.instances.get(name).filter(|own| own.state().is_live()) else { return };
        let Some(place) = &own.record.place else { return };
        self.sought.insert(place.node.clone());
        if let Some(task) = &place.task {
            let stray = (name.clone(), own.record.attempt, place.node.clone());
            self.strays.add(now, stray, task.clone(), nodes.listings());
        }
    }

    /// When a version is on its way and its supervisor is new, nobody knows which instances were the last ones: all of the new
    /// version have to show their health again.
    pub(crate) fn resume_rollout(&mut self) {
        let spec = &self.spec;
        if !self.instances.values().any(|instance| instance.is_outdated(spec)) {
            return;
        }
        let new = self.instances.values_mut().filter(|one| one.record.task_version == spec.task_version);
        new.for_each(|instance| instance.change = Some(crate::instance::Change::Update));
    }

    pub(crate) fn fate(&self, name: &InstanceName, nodes: &Nodes) -> Fate {
        let is_named = match (name, self.spec.count) {
            (InstanceName::Index(index), Count::Exactly(count)) => *index < count,
            (InstanceName::Node(node), Count::PerNode) => match nodes.node(node) {
                Some(node) => self.placing.matches(node),
                // Nobody has told of the worker yet.
                None => self.instances.get(name).is_some_and(|instance| instance.state().is_live()),
            },
            _ => false,
        };
        match (is_named && !self.is_removed, self.spec.stopped) {
            (true, false) => Fate::Run,
            (true, true) => Fate::Rest,
            (false, _) => Fate::Go,
        }
    }
}
