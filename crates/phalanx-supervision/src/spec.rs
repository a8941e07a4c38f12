//! A job: what its user asked for.

use std::time::Duration;

use bytes::Bytes;
use phalanx_placement::{Class, Preferences, Requirements};
use serde::{Deserialize, Serialize};

use crate::name::JobName;
use crate::policy::{LostPolicy, PolicyError, RestartPolicy, UpdatePolicy, checked};

/// How many instances a job has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Count {
    /// So many, wherever there is place: indexes from 0 on.
    Exactly(u32),
    /// One on each node that meets the requirements, as nodes come and go.
    PerNode,
}

/// A job: the desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its name.
    pub name: JobName,
    /// Raised with each change; of two specs of one job the greater version is the newer one.
    pub version: u64,
    /// The version in which what runs was last changed. Instances that were started for an earlier one are replaced; a change
    /// that leaves it as it is, such as of the count, replaces none. [`after`](Self::after) sets both.
    pub task_version: u64,
    /// The class of its tasks, which a worker must have.
    pub class: Class,
    /// What each task is given, as the class encodes it.
    pub body: Bytes,
    /// How many there are to be.
    pub count: Count,
    /// What a worker must meet. Its class and purpose are the job's.
    pub requirements: Requirements,
    /// Which worker is the best.
    pub preferences: Preferences,
    /// What follows an end.
    pub restart: RestartPolicy,
    /// What follows the loss of a worker.
    pub on_lost: LostPolicy,
    /// How a new version replaces the old one.
    pub update: UpdatePolicy,
    /// How long a task that is told to stop has to end by itself.
    pub stop_grace: Duration,
    /// Whether it is to have no task for now. Its instances stay in the records.
    pub stopped: bool,
}

/// Why a job is refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The body is longer than [`JobSpec::BODY_BYTES_MAX`].
    #[error(
        "a job's body of {length} bytes is longer than {}: let its tasks fetch what is large",
        JobSpec::BODY_BYTES_MAX
    )]
    Body {
        /// Its length in bytes.
        length: usize,
    },
    /// The class has a name that no class has.
    #[error("a class name of {length} bytes: give it 1 to {}", JobSpec::CLASS_NAME_BYTES_MAX)]
    Class {
        /// Its length in bytes.
        length: usize,
    },
    /// Selectors, labels and excluded nodes together are longer than [`JobSpec::PLACEMENT_BYTES_MAX`].
    #[error(
        "the placement has {length} bytes of text, more than {}: say it shorter",
        JobSpec::PLACEMENT_BYTES_MAX
    )]
    Placement {
        /// Their length in bytes.
        length: usize,
    },
    /// The count is above [`JobSpec::INSTANCES_MAX`].
    #[error("{count} instances are more than {}: make several jobs of it", JobSpec::INSTANCES_MAX)]
    Count {
        /// How many were asked for.
        count: u32,
    },
    /// The task's version is greater than the spec's.
    #[error("task version {task_version} is after version {version}: make changes by `JobSpec::after`")]
    Versions {
        /// The spec's.
        version: u64,
        /// The task's.
        task_version: u64,
    },
    /// A policy cannot be.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl JobSpec {
    /// The greatest length of a body in bytes: a whole spec fits into 64 KiB, as what is replicated to all control nodes must.
    pub const BODY_BYTES_MAX: usize = 32 << 10;
    /// The greatest length of a class name in bytes, as job classes have it.
    pub const CLASS_NAME_BYTES_MAX: usize = 64;
    /// The greatest length of all texts of the placement together, for the same reason.
    pub const PLACEMENT_BYTES_MAX: usize = 16 << 10;
    /// The most instances of one job: one on each worker of the largest cluster.
    pub const INSTANCES_MAX: u32 = 100_000;
    /// How long a task has to end by itself if nothing is said.
    pub const STOP_GRACE: Duration = Duration::from_secs(30);

    /// A job with the usual policies, in its first version.
    #[must_use]
    pub fn new(name: JobName, class: Class, body: Bytes, count: Count) -> Self {
        Self {
            name,
            version: 1,
            task_version: 1,
            class,
            body,
            count,
            requirements: Requirements::default(),
            preferences: Preferences::default(),
            restart: RestartPolicy::default(),
            on_lost: LostPolicy::default(),
            update: UpdatePolicy::default(),
            stop_grace: Self::STOP_GRACE,
            stopped: false,
        }
    }

    /// This job as a change of a previous one: with the next version, and, if other tasks are to run (another class or body, or
    /// it was stopped and is not any more), with a new version of the task.
    #[must_use]
    pub fn after(self, previous: &Self) -> Self {
        let version = previous.version.saturating_add(1);
        let is_same_task =
            self.class == previous.class && self.body == previous.body && (self.stopped || !previous.stopped);
        let task_version = if is_same_task { previous.task_version } else { version };
        Self { version, task_version, ..self }
    }

    /// Whether it is within all limits.
    ///
    /// # Errors
    /// The first [`SpecError`].
    pub fn check(&self) -> Result<(), SpecError> {
        if self.body.len() > Self::BODY_BYTES_MAX {
            return Err(SpecError::Body { length: self.body.len() });
        }
        let length = self.class.name.len();
        if length == 0 || length > Self::CLASS_NAME_BYTES_MAX {
            return Err(SpecError::Class { length });
        }
        let length = self.placement_bytes();
        if length > Self::PLACEMENT_BYTES_MAX {
            return Err(SpecError::Placement { length });
        }
        if let Count::Exactly(count) = self.count
            && count > Self::INSTANCES_MAX
        {
            return Err(SpecError::Count { count });
        }
        let (version, task_version) = (self.version, self.task_version);
        if task_version > version {
            return Err(SpecError::Versions { version, task_version });
        }
        self.restart.check()?;
        self.on_lost.check()?;
        self.update.check()?;
        checked("the time to stop", self.stop_grace)?;
        Ok(())
    }

    fn placement_bytes(&self) -> usize {
        let class = self.requirements.class.as_ref().map_or(0, |class| class.name.len());
        let excluded: usize = self.requirements.excluded.iter().map(|node| node.as_str().len()).sum();
        let affinities = self.preferences.affinities().iter();
        let affinities: usize = affinities.map(|affinity| affinity.selector.to_string().len()).sum();
        let spreads = self.preferences.spreads().iter();
        let spreads: usize = spreads.map(|spread| spread.label.to_string().len()).sum();
        self.requirements.selector.to_string().len() + class + excluded + affinities + spreads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> JobSpec {
        let class = Class { name: "shop.web".into(), version: 1 };
        JobSpec::new("web".parse().unwrap(), class, Bytes::from_static(b"8080"), Count::Exactly(3))
    }

    #[test]
    fn a_change_of_what_runs_raises_the_tasks_version() {
        let first = spec();
        let scaled = JobSpec { count: Count::Exactly(5), ..first.clone() }.after(&first);
        assert_eq!((scaled.version, scaled.task_version), (2, 1));
        let changed = JobSpec { body: Bytes::from_static(b"8081"), ..scaled.clone() }.after(&scaled);
        assert_eq!((changed.version, changed.task_version), (3, 3));
        let stopped = JobSpec { stopped: true, ..changed.clone() }.after(&changed);
        assert_eq!((stopped.version, stopped.task_version), (4, 3));
        let started = JobSpec { stopped: false, ..stopped.clone() }.after(&stopped);
        assert_eq!((started.version, started.task_version), (5, 5), "all of it starts anew");
    }

    #[test]
    fn limits_are_said() {
        assert_eq!(spec().check(), Ok(()));
        let long = JobSpec { body: Bytes::from(vec![0; JobSpec::BODY_BYTES_MAX + 1]), ..spec() };
        assert_eq!(long.check(), Err(SpecError::Body { length: 32_769 }));
        let nameless = JobSpec { class: Class { name: String::new(), version: 1 }, ..spec() };
        assert_eq!(nameless.check(), Err(SpecError::Class { length: 0 }));
        let many = JobSpec { count: Count::Exactly(100_001), ..spec() };
        assert_eq!(many.check(), Err(SpecError::Count { count: 100_001 }));
        let endless = JobSpec { stop_grace: Duration::MAX, ..spec() };
        assert_eq!(endless.check(), Err(SpecError::Policy(PolicyError::TooLong("the time to stop"))));
        let word = format!("a{}", "b".repeat(60));
        let selector: phalanx_placement::Selector = vec![word; 60].join(" && ").parse().unwrap();
        let preferences = (0..5)
            .fold(Preferences::default(), |preferences, _| preferences.prefer(selector.clone(), 1).unwrap());
        let wordy = JobSpec { preferences, ..spec() };
        assert!(matches!(wordy.check(), Err(SpecError::Placement { .. })));
    }

    #[test]
    fn the_largest_spec_fits_where_it_is_kept() {
        let selector = format!("a{}", "b".repeat(60));
        let mut largest = spec();
        largest.body = Bytes::from(vec![7; JobSpec::BODY_BYTES_MAX]);
        largest.requirements.selector = vec![selector; 60].join(" && ").parse().unwrap();
        assert_eq!(largest.check(), Ok(()));
        let bytes = postcard::to_stdvec(&largest).unwrap();
        assert!(bytes.len() < 64 << 10, "{}", bytes.len());
        assert_eq!(postcard::from_bytes::<JobSpec>(&bytes), Ok(largest));
    }
}
