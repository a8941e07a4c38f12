//! Jobs and their instances as they stand in the metadata.

use std::collections::BTreeMap;

use bytes::Bytes;
use phalanx_base::NodeId;
use phalanx_metadata::{Key, Rule};
use phalanx_supervision::{InstanceName, InstanceRecord, JobName, JobSpec};
use serde::{Deserialize, Serialize};

use crate::metadata::MetadataHandle;
use crate::tables::{Declared, table};

const JOBS: &str = "jobs";
const INSTANCES: &str = "instances";

/// The tables of this module: whoever writes last wins.
pub(crate) const TABLES: [Declared; 2] = [(JOBS, Rule::LastWriter), (INSTANCES, Rule::LastWriter)];

/// What stands under the name of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stored {
    /// It is to be so.
    Job(JobSpec),
    /// It was so, and is to go.
    Removing(JobSpec),
}

impl Stored {
    pub(crate) fn encode(&self) -> Bytes {
        encode(self)
    }

    pub(crate) fn spec(&self) -> &JobSpec {
        match self {
            Self::Job(spec) | Self::Removing(spec) => spec,
        }
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    postcard::to_stdvec(value)
        .expect("a record is made of numbers, strings and bytes, which always encode")
        .into()
}

/// The key of a job.
pub(crate) fn job_key(name: &JobName) -> Key {
    key(JOBS, name.as_str())
}

/// The key of an instance of a job: no job has a space in its name.
pub(crate) fn instance_key(job: &JobName, instance: &InstanceName) -> Key {
    key(INSTANCES, &format!("{job} {}", instance_text(instance)))
}

fn key(of: &'static str, name: &str) -> Key {
    Key::new(table(of), name)
        .expect("a name of a job and one of a node fit a key, and hold no control character")
}

/// An instance in the words of a worker: no node has a number sign in its name.
pub(crate) fn instance_text(instance: &InstanceName) -> String {
    match instance {
        InstanceName::Index(index) => format!("#{index}"),
        InstanceName::Node(node) => node.to_string(),
    }
}

/// What [`instance_text`] has said.
pub(crate) fn instance_name(text: &str) -> Option<InstanceName> {
    match text.strip_prefix('#') {
        Some(index) => index.parse().ok().map(InstanceName::Index),
        None => NodeId::new(text).ok().map(InstanceName::Node),
    }
}

/// Everything that is written of jobs. What cannot be read, as from a later version of the program, is left alone.
pub(crate) async fn read(
    metadata: &MetadataHandle,
) -> (BTreeMap<JobName, Stored>, BTreeMap<JobName, Vec<InstanceRecord>>) {
    let jobs = metadata.table(table(JOBS)).await.into_iter().filter_map(|(_, value)| {
        let stored: Stored = postcard::from_bytes(&value).ok()?;
        Some((stored.spec().name.clone(), stored))
    });
    let jobs = jobs.collect();
    let mut instances: BTreeMap<JobName, Vec<InstanceRecord>> = BTreeMap::new();
    for (_, value) in metadata.table(table(INSTANCES)).await {
        if let Ok(record) = postcard::from_bytes::<InstanceRecord>(&value) {
            instances.entry(record.job.clone()).or_default().push(record);
        }
    }
    (jobs, instances)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_a_worker_says_of_an_instance_is_understood(index: u32, node in "[a-zA-Z0-9._-]{1,64}") {
            for name in [InstanceName::Index(index), InstanceName::Node(NodeId::new(&node).unwrap())] {
                prop_assert_eq!(instance_name(&instance_text(&name)), Some(name.clone()));
                // The longest names have a key.
                let _ = instance_key(&"j".repeat(JobName::LENGTH_MAX).parse().unwrap(), &name);
            }
        }
    }
}
