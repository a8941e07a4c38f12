//! The daemon behind the socket: connecting, and what its answers mean.

use std::path::Path;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker as Api};

use super::error::{DockerError, shortened};

/// How long the daemon may take to begin an answer, in seconds: it works on a slow disk.
const ANSWER_MAX_S: u64 = 120;

/// Connects, and agrees on a version with the daemon. Each later call dials anew where it has to, so that the value lives
/// through restarts of the daemon.
pub(super) async fn connect(socket: &Path) -> Result<Api, DockerError> {
    let path = socket.to_string_lossy();
    let api = Api::connect_with_unix(&path, ANSWER_MAX_S, API_DEFAULT_VERSION).map_err(failed)?;
    api.negotiate_version().await.map_err(failed)
}

/// What the daemon's answer, or the lack of one, means.
pub(super) fn failed(error: Error) -> DockerError {
    match error {
        Error::DockerResponseServerError { status_code, message } => answered(status_code, &message),
        Error::DockerStreamError { error } => answered(500, &error),
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } | Error::APIVersionParseError {} => {
            DockerError::Api { status: 200, text: format!("an answer that is not understood: {error}") }
        }
        other => DockerError::DaemonAbsent(shortened(&other.to_string())),
    }
}

fn answered(status: u16, text: &str) -> DockerError {
    let text = shortened(text);
    if text.contains("no space left on device") || text.contains("disk quota exceeded") {
        return DockerError::NoSpace(text);
    }
    DockerError::Api { status, text }
}

/// Whether the daemon says that there is no such thing.
pub(super) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_meanings() {
        let server = |status_code, message: &str| {
            failed(Error::DockerResponseServerError { status_code, message: message.to_owned() })
        };
        assert!(matches!(server(500, "write x: no space left on device"), DockerError::NoSpace(_)));
        assert_eq!(server(409, "busy"), DockerError::Api { status: 409, text: "busy".into() });
        assert!(matches!(failed(Error::RequestTimeoutError), DockerError::DaemonAbsent(_)));
        let absent = Error::SocketNotFoundError("/no/socket".into());
        assert!(matches!(failed(absent), DockerError::DaemonAbsent(text) if text.contains("/no/socket")));
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_named_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = connect(&folder.path().join("docker.sock")).await.unwrap_err();
        assert!(matches!(error, DockerError::DaemonAbsent(_)), "{error:?}");
    }
}
