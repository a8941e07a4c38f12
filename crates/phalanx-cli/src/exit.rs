//! How the program ends: one number for scripts, one line for people.

use std::fmt;
use std::io;
use std::process::ExitCode;

#[cfg(any(feature = "process", feature = "docker"))]
use phalanx::TaskError;
use phalanx::{CallError, Reason};
use phalanx_operator::{AskError, ConnectError, FailureKind};

/// What the exit code says. Scripts count on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was not done.
    Failed,
    /// It was asked for wrongly, or the configuration is wrong. Nothing was tried.
    Usage,
    /// There is no such thing.
    NotFound,
    /// Nobody answers.
    Unreachable,
    /// Whoever answers does not let this user in.
    Denied,
    /// A program that ran elsewhere has ended with this code: it becomes that of this program.
    #[cfg(any(feature = "process", feature = "docker"))]
    Program(u8),
}

impl Exit {
    fn number(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unreachable => 4,
            Self::Denied => 5,
            #[cfg(any(feature = "process", feature = "docker"))]
            Self::Program(code) => code,
        }
    }
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
        ExitCode::from(self.exit.number())
    }

    /// Whether the code is that of another program.
    #[cfg(any(feature = "process", feature = "docker"))]
    pub(crate) fn is_of_program(&self) -> bool {
        matches!(self.exit, Exit::Program(_))
    }

    /// The same words with another code.
    #[cfg(any(feature = "process", feature = "docker"))]
    pub(crate) fn with(self, exit: Exit) -> Self {
        Self { exit, ..self }
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

/// What a job class says of its own failures.
pub(crate) trait OwnWord {
    /// In words that say what to do.
    fn words(&self) -> String;
}

impl OwnWord for phalanx::Nothing {
    fn words(&self) -> String {
        "it failed".to_owned()
    }
}

#[cfg(feature = "kv")]
impl OwnWord for phalanx_drivers::kv::KvError {
    fn words(&self) -> String {
        self.to_string()
    }
}

#[cfg(feature = "process")]
impl OwnWord for phalanx_drivers::process::ProcessError {
    fn words(&self) -> String {
        self.to_string()
    }
}

#[cfg(feature = "docker")]
impl OwnWord for phalanx_drivers::docker::DockerError {
    fn words(&self) -> String {
        self.to_string()
    }
}

#[cfg(feature = "wasm")]
impl OwnWord for phalanx_drivers::wasm::WasmError {
    fn words(&self) -> String {
        self.to_string()
    }
}

impl<E: OwnWord> From<CallError<E>> for Failure {
    fn from(error: CallError<E>) -> Self {
        let words = match &error {
            CallError::Failed(own) => own.words(),
            CallError::Aborted(reason) => format!("the call was ended on the worker: {reason}"),
            CallError::NotExecuted(reason) => format!("it was not done: {reason}"),
            CallError::Unknown(reason) => format!("nobody can say whether it was done: {reason}"),
        };
        match &error {
            CallError::Failed(_) => Self::failed(words),
            CallError::Aborted(reason) | CallError::NotExecuted(reason) | CallError::Unknown(reason) => {
                Self::new(of_reason(reason), words)
            }
        }
    }
}

#[cfg(feature = "docker")]
impl From<phalanx_drivers::docker::ImageError> for Failure {
    fn from(error: phalanx_drivers::docker::ImageError) -> Self {
        match error {
            phalanx_drivers::docker::ImageError::Start(error) => error.into(),
            phalanx_drivers::docker::ImageError::Task(error) => error.into(),
        }
    }
}

#[cfg(any(feature = "process", feature = "docker"))]
impl<E: OwnWord> From<TaskError<E>> for Failure {
    fn from(error: TaskError<E>) -> Self {
        match &error {
            TaskError::Failed(own) => Self::failed(own.words()),
            TaskError::Aborted(reason) | TaskError::Unknown(reason) => Self::new(of_reason(reason), &error),
            _ => Self::failed(error),
        }
    }
}

/// What a reason of the job layer means to a script.
fn of_reason(reason: &Reason) -> Exit {
    match reason {
        Reason::NotFound | Reason::NoSuchTask => Exit::NotFound,
        Reason::NotConnected
        | Reason::NotHosted
        | Reason::OwnerUnreachable(_)
        | Reason::LinkLost
        | Reason::DeadlineExceeded
        | Reason::Busy(_) => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(error)
    }
}
