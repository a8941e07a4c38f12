//! Which cluster: the name that people give it, and the id that nodes derive.

use std::fmt;

use phalanx_base::{Boot, Role};

use super::credential::Credential;
use super::secret::expand;
use super::text::base32;

/// Why a text cannot be the name of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterNameError {
    /// It is empty.
    #[error("the cluster has no name: give it 1 to {} characters", CLUSTER_NAME_BYTES_MAX)]
    Empty,
    /// It has more than [`CLUSTER_NAME_BYTES_MAX`] bytes.
    #[error("a cluster name of {length} bytes is longer than {}", CLUSTER_NAME_BYTES_MAX)]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It holds a character that no cluster name may have.
    #[error("{found:?} at byte {at} of a cluster name: only a-z, A-Z, 0-9, '.', '_' and '-' are allowed")]
    Forbidden {
        /// The character.
        found: char,
        /// Its position in bytes.
        at: usize,
    },
}

/// The longest name of a cluster: it travels in every hello.
pub const CLUSTER_NAME_BYTES_MAX: usize = 64;

/// Checks the name of a cluster: 1 to 64 of `a-z A-Z 0-9 . _ -`, the characters of a node id, so that a name that a
/// stranger sends can be logged as it is.
pub(crate) fn check_name(name: &str) -> Result<(), ClusterNameError> {
    if name.is_empty() {
        return Err(ClusterNameError::Empty);
    }
    if name.len() > CLUSTER_NAME_BYTES_MAX {
        return Err(ClusterNameError::TooLong { length: name.len() });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name.char_indices().find(|(_, c)| !allowed(*c)) {
        Some((at, found)) => Err(ClusterNameError::Forbidden { found, at }),
        None => Ok(()),
    }
}

/// What this node says of itself to every peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalNode {
    /// The name of the cluster: 1 to 64 of `a-z A-Z 0-9 . _ -`, checked by [`Endpoint::bind`](crate::Endpoint::bind).
    pub cluster: String,
    /// Which node, and which start of it.
    pub boot: Boot,
    /// What it is for; its credential must allow that.
    pub role: Role,
}

/// The id of a cluster: derived from its name and the control nodes' public key, never founded, so that nodes which
/// start apart are two halves of one cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId([u8; ClusterId::BYTES]);

impl ClusterId {
    /// Its length in bytes.
    pub const BYTES: usize = 16;

    /// The id of the cluster that has this name and lets this credential in.
    ///
    /// # Errors
    /// [`ClusterNameError`] says what is wrong with the name.
    pub fn derive(cluster: &str, credential: &Credential) -> Result<Self, ClusterNameError> {
        check_name(cluster)?;
        Ok(Self(*expand(b"phalanx/1 cluster id", credential.control_public(), cluster.as_bytes())))
    }

    /// As bytes, for storage.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// From stored bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base32(&self.0))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Secret, SystemEntropy};

    #[test]
    fn the_id_depends_on_name_and_secret_only() {
        let (secret, other) =
            (Secret::generate(&SystemEntropy::new()), Secret::generate(&SystemEntropy::new()));
        let id = ClusterId::derive("media", &Credential::from(&secret)).unwrap();
        assert_eq!(ClusterId::derive("media", &Credential::from(secret.worker_credential())), Ok(id));
        assert_ne!(ClusterId::derive("video", &Credential::from(&secret)), Ok(id));
        assert_ne!(ClusterId::derive("media", &Credential::from(&other)), Ok(id));
        assert_eq!(ClusterId::from_bytes(*id.as_bytes()), id);
        assert_eq!(id.to_string().len(), 26);
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(check_name(""), Err(ClusterNameError::Empty));
        assert_eq!(check_name(&"x".repeat(65)), Err(ClusterNameError::TooLong { length: 65 }));
        assert_eq!(check_name("a\nb"), Err(ClusterNameError::Forbidden { found: '\n', at: 1 }));
        assert_eq!(check_name("media-2.eu_west"), Ok(()));
    }
}
