//! Jobs: tasks that the cluster keeps at the number that was asked for.
//!
//! What was asked for, and what became of it, stands in the metadata of all control nodes; each job is supervised by one of
//! them, and by another one when that is lost.

mod acting;
mod records;
mod supervising;
mod workers;

use std::sync::Arc;

use phalanx_base::Entropy;
use phalanx_jobs::wire::TaskId;
use phalanx_jobs::{ControlService, JobClass};
use phalanx_membership::ClusterView;
use phalanx_placement::Class;
use phalanx_supervision::{Count, InstanceRecord, JobName, JobSpec, JobStatus, SpecError};
use tokio::sync::{mpsc, watch};

use crate::cluster::Ownership;
use crate::event_log::EventLog;
use crate::metadata::{MetadataHandle, SetError};
use records::Stored;
pub(crate) use records::TABLES;
pub(crate) use supervising::Supervising;

/// How many workers that will not come back wait to be forgotten.
const FORGOTTEN_MAX: usize = 64;

/// A job as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What was asked for.
    pub spec: JobSpec,
    /// Its instances, in the order of their names, as whoever supervises it has written down last.
    pub instances: Vec<InstanceRecord>,
    /// Whether it was removed, and its tasks are about to end.
    pub is_being_removed: bool,
}

impl Job {
    /// How many of its instances run.
    #[must_use]
    pub fn running(&self) -> usize {
        let runs = |record: &&InstanceRecord| record.state == phalanx_supervision::InstanceState::Running;
        self.instances.iter().filter(runs).count()
    }

    /// How many there are to be; `None` for one on each matching node.
    #[must_use]
    pub fn desired(&self) -> Option<u32> {
        match self.spec.count {
            _ if self.spec.stopped => Some(0),
            Count::Exactly(count) => Some(count),
            Count::PerNode => None,
        }
    }

    /// How it is as a whole, by what is written down.
    #[must_use]
    pub fn status(&self) -> JobStatus {
        use phalanx_supervision::InstanceState::{Running, Succeeded};
        let is = |state| self.instances.iter().filter(|record| record.state == state).count();
        let live = self.instances.iter().filter(|record| record.state.is_live()).count();
        let wanted = self.desired().map_or(self.instances.len(), |count| count as usize);
        match () {
            () if self.spec.stopped && live == 0 => JobStatus::Stopped,
            () if wanted > 0 && is(Succeeded) >= wanted => JobStatus::Complete,
            () if is(Running) + is(Succeeded) >= wanted && wanted > 0 => JobStatus::Placed,
            () if self.instances.iter().any(|record| !record.ended.is_empty()) => JobStatus::Degraded,
            () => JobStatus::Placing,
        }
    }
}

/// Why a job was not changed. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobChangeError {
    /// There is no such job.
    #[error("there is no job {0}: `job ls` lists those that there are")]
    NotFound(JobName),
    /// It was removed, and its tasks have not ended yet.
    #[error("job {0} was removed, and its tasks end: wait until it is gone, or take another name")]
    BeingRemoved(JobName),
    /// It cannot be.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// It cannot be written down: too large, or the metadata of this node is full, or its clock is far behind.
    #[error("the job cannot be written down: {0}")]
    NotWritten(String),
}

impl From<SetError> for JobChangeError {
    fn from(error: SetError) -> Self {
        Self::NotWritten(error.to_string())
    }
}

/// The jobs of a cluster, by any control node. Cheap to clone.
///
/// A change is written here and reaches the other control nodes a moment later; two changes of one job at one time at two
/// control nodes leave the later one.
#[derive(Clone)]
pub struct Jobs(Arc<Inner>);

struct Inner {
    metadata: MetadataHandle,
    forgotten: mpsc::Sender<phalanx_base::NodeId>,
}

/// What supervising needs of a control node.
pub(crate) struct Surroundings {
    pub(crate) service: ControlService,
    pub(crate) ownership: watch::Receiver<Ownership>,
    pub(crate) view: watch::Receiver<Arc<ClusterView>>,
    pub(crate) log: EventLog,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Jobs {
    /// The jobs of a cluster, and the work of supervising this node's share of them.
    pub(crate) fn new(metadata: MetadataHandle, around: Surroundings) -> (Self, Supervising) {
        let (forgotten, forgets) = mpsc::channel(FORGOTTEN_MAX);
        let supervising = Supervising::new(metadata.clone(), around, forgets);
        (Self(Arc::new(Inner { metadata, forgotten })), supervising)
    }

    /// A job of a class, with the usual policies: change what should be otherwise, then [`apply`](Self::apply) it.
    ///
    /// # Errors
    /// [`SpecError`] when the task is too large for a job, or does not encode.
    pub fn spec<C: JobClass>(name: JobName, task: &C::Task, count: Count) -> Result<JobSpec, SpecError> {
        // What does not encode has no length that would fit.
        let body = postcard::to_stdvec(task).map_err(|_| SpecError::Body { length: usize::MAX })?;
        let class = Class { name: C::NAME.to_owned(), version: C::VERSION };
        let spec = JobSpec::new(name, class, body.into(), count);
        spec.check()?;
        Ok(spec)
    }

    /// The task of an instance's present attempt, by the name that its worker knows it by; `None` while it has none.
    #[must_use]
    pub fn task(record: &InstanceRecord) -> Option<TaskId> {
        acting::task_of(record.place.as_ref()?.task.as_ref()?)
    }

    /// Makes a job, or changes the one of that name to this; what its versions are follows from what is there. Says what was
    /// written. Dropping the future may leave it done or not.
    ///
    /// # Errors
    /// [`JobChangeError`]; nothing has changed.
    pub async fn apply(&self, spec: JobSpec) -> Result<JobSpec, JobChangeError> {
        let spec = match self.stored(&spec.name).await {
            Some(Stored::Removing(_)) => return Err(JobChangeError::BeingRemoved(spec.name)),
            Some(Stored::Job(previous)) => spec.after(&previous),
            None => JobSpec { version: 1, task_version: 1, ..spec },
        };
        spec.check()?;
        self.0.metadata.set(records::job_key(&spec.name), Stored::Job(spec.clone()).encode()).await?;
        Ok(spec)
    }

    /// Changes one thing of a job, as [`apply`](Self::apply) does.
    ///
    /// # Errors
    /// [`JobChangeError`]; nothing has changed.
    pub async fn change(
        &self,
        name: &JobName,
        change: impl FnOnce(&mut JobSpec) + Send,
    ) -> Result<JobSpec, JobChangeError> {
        match self.stored(name).await {
            None => Err(JobChangeError::NotFound(name.clone())),
            Some(Stored::Removing(_)) => Err(JobChangeError::BeingRemoved(name.clone())),
            Some(Stored::Job(mut spec)) => {
                change(&mut spec);
                spec.name = name.clone();
                self.apply(spec).await
            }
        }
    }

    /// Removes a job: its tasks are stopped, and then it is forgotten.
    ///
    /// # Errors
    /// [`JobChangeError`]; nothing has changed.
    pub async fn remove(&self, name: &JobName) -> Result<(), JobChangeError> {
        match self.stored(name).await {
            None => Err(JobChangeError::NotFound(name.clone())),
            Some(Stored::Removing(_)) => Ok(()),
            Some(Stored::Job(spec)) => {
                Ok(self.0.metadata.set(records::job_key(name), Stored::Removing(spec).encode()).await?)
            }
        }
    }

    /// Every job, in the order of their names, as this control node knows them.
    pub async fn list(&self) -> Vec<Job> {
        let (jobs, mut instances) = records::read(&self.0.metadata).await;
        let with_instances = |(name, stored): (JobName, Stored)| {
            let (spec, is_being_removed) = match stored {
                Stored::Job(spec) => (spec, false),
                Stored::Removing(spec) => (spec, true),
            };
            let mut instances = instances.remove(&name).unwrap_or_default();
            instances.sort_by(|a, b| a.instance.cmp(&b.instance));
            Job { spec, instances, is_being_removed }
        };
        jobs.into_iter().map(with_instances).collect()
    }

    /// One job, as this control node knows it.
    pub async fn job(&self, name: &JobName) -> Option<Job> {
        self.list().await.into_iter().find(|job| job.spec.name == *name)
    }

    /// Changes whenever this control node has learnt anything of jobs.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.metadata.changes()
    }

    /// A worker will not come back: what ran there is lost for good.
    pub(crate) fn forget(&self, worker: phalanx_base::NodeId) {
        // A wish that finds no room is repeated by the person whose it is.
        let _ = self.0.forgotten.try_send(worker);
    }

    async fn stored(&self, name: &JobName) -> Option<Stored> {
        let (jobs, _) = records::read(&self.0.metadata).await;
        jobs.into_iter().find(|(job, _)| job == name).map(|(_, stored)| stored)
    }
}
