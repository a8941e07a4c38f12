//! Why the Kubernetes API gave no answer, and what to do about it.

use std::time::Duration;

use crate::http::HttpError;

/// Why an option of [`Kubernetes`](crate::Kubernetes) is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubernetesError {
    /// A name that Kubernetes itself would refuse.
    #[error("{text:?} is no name of a {what}: 1 to 63 of a-z, 0-9 and '-', not at an end")]
    Name {
        /// What it should name.
        what: &'static str,
        /// What was given.
        text: String,
    },
    /// An empty selector would find every Pod of the namespace; a long one is none.
    #[error("a label selector has 1 to 1,024 bytes, such as app=phalanx; this one has {bytes}")]
    Selector {
        /// How long it is.
        bytes: usize,
    },
    /// A word that is none of the choices.
    #[error("write {expected}")]
    Word {
        /// The words that there are.
        expected: &'static str,
    },
    /// The API server is not reached by HTTPS, or the text is no URL.
    #[error("{text:?} is no API server: write https://host:port; the token is sent over TLS only")]
    Server {
        /// What was given.
        text: String,
    },
}

/// Why a request had no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    #[error("{0}; outside of a cluster give api, ca-file, token-file and namespace")]
    SetUp(String),
    #[error("no answer from the Kubernetes API at {server}: {reason}")]
    Unreachable { server: String, reason: String },
    #[error(
        "the Kubernetes API refused the token (401): check token-file, and that the service account still exists"
    )]
    Unauthorized,
    #[error(
        "the service account may not {verb} {resource} in namespace {namespace}: bind it to a Role with apiGroups: \
         [{group:?}], resources: [{resource:?}], verbs: [\"list\", \"watch\"] (the server says: {message})"
    )]
    Forbidden {
        verb: &'static str,
        resource: &'static str,
        group: &'static str,
        namespace: String,
        message: String,
    },
    /// A resource version or a page that the server has forgotten.
    #[error("the Kubernetes API has forgotten this version (410): list anew")]
    Gone,
    #[error("the Kubernetes API is busy ({status}): {message}")]
    Busy { status: u16, asked: Option<Duration>, message: String },
    #[error("the Kubernetes API answers {status}: {message}")]
    Status { status: u16, message: String },
    #[error("the Kubernetes API at {server} answers what cannot be read: {reason}; is it one?")]
    Garbled { server: String, reason: String },
}

impl ApiError {
    /// How long the server asks to wait.
    pub(super) fn asked(&self) -> Option<Duration> {
        match self {
            Self::Busy { asked, .. } => *asked,
            _ => None,
        }
    }

    /// The failure of a transfer from this server.
    pub(super) fn transfer(server: &str, error: HttpError) -> Self {
        let server = server.to_owned();
        match error {
            HttpError::TooLong { .. } => Self::Garbled { server, reason: error.to_string() },
            HttpError::File { .. } | HttpError::Client(_) => Self::SetUp(error.to_string()),
            HttpError::Transfer(reason) if reason.contains("peer certificate") => {
                Self::Unreachable { server, reason: format!("{reason}; ca-file does not vouch for it") }
            }
            HttpError::Transfer(reason) => Self::Unreachable { server, reason },
        }
    }
}
