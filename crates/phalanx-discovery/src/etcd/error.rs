//! Why etcd gave no answer, and what to do about it.

use crate::http::HttpError;

/// Why an option of [`Etcd`](crate::Etcd) is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EtcdError {
    /// There must be a member to ask, and not a whole data centre.
    #[error("give 1 to {} members of etcd, as host:port", super::ENDPOINTS_MAX)]
    Endpoints,
    /// A prefix that is no path.
    #[error("{text:?} is no prefix: write /phalanx or /a/b, of a-z A-Z 0-9 . _ - up to {max} bytes", max = super::key::PREFIX_BYTES_MAX)]
    Prefix {
        /// What was given.
        text: String,
    },
}

/// Why a request had no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    #[error("{0}")]
    SetUp(String),
    #[error("no member of etcd answers: {0}")]
    Unreachable(String),
    #[error("etcd wants a user: give user and password-file")]
    NoUser,
    #[error("etcd refuses the user: {0}; check user and the content of password-file")]
    Unauthorized(String),
    #[error(
        "the user of etcd may not {verb} {key}: `etcdctl role grant-permission ROLE --prefix=true readwrite {key}`"
    )]
    Forbidden { verb: &'static str, key: String },
    #[error("etcd answers {status}: {message}")]
    Refused { status: u16, message: String },
    #[error("the lease could not be renewed before it ran out: {0}")]
    LeaseLost(String),
    #[error("only a node of a cluster can be announced: the context names none")]
    NoCluster,
}

impl From<HttpError> for AskError {
    fn from(error: HttpError) -> Self {
        Self::SetUp(error.to_string())
    }
}
