//! How the program ends: one number for scripts, one line for people.

use std::fmt;
use std::io;
use std::process::ExitCode;

use phalanx_operator::{AskError, ConnectError, FailureKind};

/// What the exit code says. Scripts count on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was not done.
    Failed = 1,
    /// It was asked for wrongly, or the configuration is wrong. Nothing was tried.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// Nobody answers.
    Unreachable = 4,
    /// Whoever answers does not let this user in.
    Denied = 5,
}

/// Why the program ends, where it is not well.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }

    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Whether somebody may answer a little later.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.exit == Exit::Unreachable
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let exit = match &error {
            ConnectError::NoNode { .. } | ConnectError::Lost(_) => Exit::Unreachable,
            ConnectError::Denied { .. } => Exit::Denied,
            ConnectError::System { .. } => Exit::Failed,
            ConnectError::Network(error) => of_network(error),
        };
        Self::new(exit, error)
    }
}

fn of_network(error: &phalanx::OperatorError) -> Exit {
    use phalanx::{ConnectError, OperatorError};
    use phalanx_transport::DialError;
    match error {
        OperatorError::NoAddress => Exit::Usage,
        OperatorError::Start(_) => Exit::Failed,
        OperatorError::Connect(ConnectError::Dial { error, .. }) => match error {
            DialError::WrongSecret | DialError::WrongCluster { .. } | DialError::RoleNotProven { .. } => {
                Exit::Denied
            }
            _ => Exit::Unreachable,
        },
        OperatorError::Connect(_) => Exit::Unreachable,
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let exit = match &error {
            AskError::Failed(failure) => match failure.kind {
                FailureKind::NotFound => Exit::NotFound,
                FailureKind::Busy => Exit::Unreachable,
                FailureKind::Refused | FailureKind::ControlOnly | FailureKind::NotUnderstood => Exit::Failed,
            },
            AskError::Broken(_) | AskError::Closed | AskError::TimedOut => Exit::Unreachable,
            AskError::Wire(_) | AskError::Unexpected => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(error)
    }
}
