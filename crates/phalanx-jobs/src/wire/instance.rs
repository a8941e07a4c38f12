//! One attempt of one instance of a job: the name under which a supervisor starts a task, and by which a worker fences it.
//!
//! A task's id names one start and nothing more. Whoever keeps a job alive starts the same thing again and again, perhaps
//! from another control node that does not know what the last one did; the attempt is what puts these starts in an order.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name of a job, in bytes: it travels with each start and each listing.
pub const JOB_NAME_BYTES_MAX: usize = 128;

/// The longest name of an instance, in bytes: a number, or the name of a node.
pub const INSTANCE_NAME_BYTES_MAX: usize = 64;

/// One attempt of one instance of a job. Attempts of an instance are numbered by whoever supervises it, each greater than
/// all before, wherever they ran.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Instance {
    job: String,
    name: String,
    attempt: u64,
}

/// Why a job or an instance cannot be called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstanceError {
    /// The job's name is empty, too long, or has a control character in it.
    #[error("the name of a job has 1 to {JOB_NAME_BYTES_MAX} bytes and no control character")]
    Job,
    /// The instance's name is empty, too long, or has a control character in it.
    #[error("the name of an instance has 1 to {INSTANCE_NAME_BYTES_MAX} bytes and no control character")]
    Name,
}

/// What travels, before it is checked.
#[derive(Deserialize)]
struct Parts {
    job: String,
    name: String,
    attempt: u64,
}

impl TryFrom<Parts> for Instance {
    type Error = InstanceError;

    fn try_from(parts: Parts) -> Result<Self, InstanceError> {
        Self::new(parts.job, parts.name, parts.attempt)
    }
}

impl Instance {
    /// The attempt of this number, of the instance of this name, of a job.
    ///
    /// # Errors
    /// [`InstanceError`] says which name is empty, too long, or holds a control character.
    pub fn new(job: impl Into<String>, name: impl Into<String>, attempt: u64) -> Result<Self, InstanceError> {
        let (job, name) = (job.into(), name.into());
        if !is_name(&job, JOB_NAME_BYTES_MAX) {
            return Err(InstanceError::Job);
        }
        if !is_name(&name, INSTANCE_NAME_BYTES_MAX) {
            return Err(InstanceError::Name);
        }
        Ok(Self { job, name, attempt })
    }

    /// The job.
    #[must_use]
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Which of its instances, by number or by node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of the attempt.
    #[must_use]
    pub fn attempt(&self) -> u64 {
        self.attempt
    }
}

fn is_name(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control)
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{}", self.job, self.name, self.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_printable() {
        let instance = Instance::new("web", "0", 3).unwrap();
        assert_eq!(instance.to_string(), "web/0#3");
        let longest = Instance::new("j".repeat(JOB_NAME_BYTES_MAX), "n".repeat(INSTANCE_NAME_BYTES_MAX), 0);
        assert!(longest.is_ok());
        assert_eq!(Instance::new("", "0", 1), Err(InstanceError::Job));
        assert_eq!(Instance::new("j".repeat(JOB_NAME_BYTES_MAX + 1), "0", 1), Err(InstanceError::Job));
        assert_eq!(Instance::new("web", "a\nb", 1), Err(InstanceError::Name));
        assert_eq!(
            Instance::new("web", "n".repeat(INSTANCE_NAME_BYTES_MAX + 1), 1),
            Err(InstanceError::Name)
        );
    }

    #[test]
    fn what_travels_is_checked_too() {
        let decode = |job: &str, name: &str| {
            postcard::from_bytes::<Instance>(&postcard::to_stdvec(&(job, name, 7_u64)).unwrap())
        };
        assert_eq!(decode("web", "0"), Ok(Instance::new("web", "0", 7).unwrap()));
        assert!(decode("web", "").is_err());
        assert!(decode(&"j".repeat(JOB_NAME_BYTES_MAX + 1), "0").is_err());
    }
}
