//! Who may take part: the secret, what is derived from it, and what a node says of itself.

mod cluster;
mod credential;
mod password;
mod secret;
mod text;

pub(crate) use cluster::check_name;
pub use cluster::{CLUSTER_NAME_BYTES_MAX, ClusterId, ClusterNameError, LocalNode};
pub use credential::Credential;
pub(crate) use credential::SIGNATURE_BYTES;
pub use password::{PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN, PasswordError};
pub use secret::{Secret, WorkerCredential};
pub use text::SecretTextError;
