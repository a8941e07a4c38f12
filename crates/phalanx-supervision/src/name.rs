//! How jobs, their instances and the attempts at them are called.
//!
//! A name says which; the attempt fences. Both together are the *tag* that a task carries to its worker, so that a listing of
//! the worker says what runs there, to whoever supervises the job by then.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use phalanx_base::NodeId;
use serde::{Deserialize, Serialize};

/// The name of a job: 1 to 128 of `a-z A-Z 0-9 . _ - /`, unique in the cluster. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobName(Arc<str>);

/// Why a text is not a [`JobName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty, or longer than [`JobName::LENGTH_MAX`].
    #[error("a job's name of {length} bytes: give it 1 to {}", JobName::LENGTH_MAX)]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// It holds a character that no name may have.
    #[error("{found:?} at byte {at} of a job's name: only a-z, A-Z, 0-9, '.', '_', '-' and '/' are allowed")]
    Forbidden {
        /// The character.
        found: char,
        /// Its position in bytes.
        at: usize,
    },
}

impl JobName {
    /// The greatest length in bytes: the name is in the tag of each of its tasks.
    pub const LENGTH_MAX: usize = 128;

    /// Checks a name and takes it.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong and where.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() || name.len() > Self::LENGTH_MAX {
            return Err(NameError::Length { length: name.len() });
        }
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        match name.char_indices().find(|(_, c)| !is_allowed(*c)) {
            Some((at, found)) => Err(NameError::Forbidden { found, at }),
            None => Ok(Self(name.into())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobName {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl TryFrom<String> for JobName {
    type Error = NameError;
    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(&name)
    }
}

impl From<JobName> for String {
    fn from(name: JobName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which instance of a job: by a number, or by the node that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum InstanceName {
    /// Of a job with so many instances: from 0 on.
    Index(u32),
    /// Of a job with one on each node.
    Node(NodeId),
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Node(node) => write!(f, "[{node}]"),
        }
    }
}

/// The number of a start of an instance, wherever it is: it grows with each, and what carries a lower one is stale. The first
/// is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt(pub u64);

impl Attempt {
    /// The first attempt.
    pub const FIRST: Self = Self(1);

    /// The attempt after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which attempt at which instance of which job: what a task carries to its worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag {
    /// The job.
    pub job: JobName,
    /// Its instance.
    pub instance: InstanceName,
    /// The attempt at it.
    pub attempt: Attempt,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}#{}", self.job, self.instance, self.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refusals_say_where() {
        assert_eq!(JobName::new(""), Err(NameError::Length { length: 0 }));
        assert_eq!(JobName::new("a b"), Err(NameError::Forbidden { found: ' ', at: 1 }));
        let tag = Tag {
            job: "web/front".parse().unwrap(),
            instance: InstanceName::Index(3),
            attempt: Attempt::FIRST.next(),
        };
        assert_eq!(tag.to_string(), "web/front[3]#2");
    }

    proptest! {
        #[test]
        fn serde_refuses_what_the_parser_refuses(text in "[a-z /]{0,9}|.{0,140}") {
            let bytes = postcard::to_stdvec(&text).unwrap();
            prop_assert_eq!(postcard::from_bytes::<JobName>(&bytes).ok(), text.parse().ok());
        }
    }
}
