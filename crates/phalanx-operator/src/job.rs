//! Jobs, as lists and details show them.

use phalanx::{InstanceRecord, Job as Known, JobName, JobSpec};
use serde::{Deserialize, Serialize};

use crate::tell::job_status;
use crate::wire::REPLY_BYTES_MAX;

/// The most bytes of instances that are told at one time: half of what a frame holds.
const INSTANCES_BYTES_MAX: usize = REPLY_BYTES_MAX / 2;

/// One job, in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLine {
    /// Its name.
    pub name: JobName,
    /// How often it was changed.
    pub version: u64,
    /// The class of its tasks, as `name/version`.
    pub class: String,
    /// How many tasks it is to have; `None` for one on each node that matches.
    pub desired: Option<u32>,
    /// How many run.
    pub running: u32,
    /// How it is, in a word.
    pub status: String,
}

/// Everything that is known of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDetails {
    /// What was asked for.
    pub spec: JobSpec,
    /// How it is, in a word.
    pub status: String,
    /// Its instances, in the order of their names, as far as they fit.
    pub instances: Vec<InstanceRecord>,
    /// How many more there are.
    pub more: u32,
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn status(job: &Known) -> String {
    let status = if job.is_being_removed { "removing" } else { job_status(job.status()) };
    status.to_owned()
}

impl From<&Known> for JobLine {
    fn from(job: &Known) -> Self {
        Self {
            name: job.spec.name.clone(),
            version: job.spec.version,
            class: format!("{}/{}", job.spec.class.name, job.spec.class.version),
            desired: job.desired(),
            running: count(job.running()),
            status: status(job),
        }
    }
}

impl From<Known> for JobDetails {
    fn from(job: Known) -> Self {
        let status = status(&job);
        let all = job.instances.len();
        let mut bytes = 0;
        let fits = |record: &InstanceRecord| {
            bytes += postcard::to_stdvec(record).map_or(0, |encoded| encoded.len());
            bytes <= INSTANCES_BYTES_MAX
        };
        let instances: Vec<InstanceRecord> = job.instances.into_iter().take_while(fits).collect();
        Self { spec: job.spec, status, more: count(all - instances.len()), instances }
    }
}
