//! What the daemon is asked about one container that has been started, and told to do with it.

use std::pin::Pin;
use std::time::Duration;

use bollard::Docker as Api;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerState, ContainerWaitResponse};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use futures_util::Stream;
use tokio::time::timeout;

use super::daemon::failed;
use super::error::DockerError;

/// How long a short order to the daemon may take: then the next one is tried.
pub(super) const ORDER_MAX: Duration = Duration::from_secs(10);

/// What a container writes.
pub(super) type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

/// The daemon's one word when it ends.
pub(super) type Exit = Pin<Box<dyn Stream<Item = Result<ContainerWaitResponse, Error>> + Send>>;

/// A container, and how it is told to stop.
#[derive(Debug, Clone)]
pub(super) struct Orders {
    pub(super) api: Api,
    /// As this worker has named it.
    pub(super) container: String,
    pub(super) stop_signal: String,
}

/// What a daemon that is back says of a container.
pub(super) enum Attached {
    Runs(Output),
    Ended(Box<ContainerState>),
}

/// Attaches to the output of a container, from now on.
pub(super) async fn attach(api: &Api, container: &str) -> Result<Output, Error> {
    let options = AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true).build();
    Ok(api.attach_container(container, Some(options)).await?.output)
}

impl Orders {
    /// Its end, however long ago.
    pub(super) fn exit(&self) -> Exit {
        let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
        Box::pin(self.api.wait_container(&self.container, Some(options)))
    }

    /// Attaches to it again, if it still runs.
    pub(super) async fn attach_again(&self) -> Result<Attached, Error> {
        let state = self.state().await?;
        if state.running == Some(true) {
            return attach(&self.api, &self.container).await.map(Attached::Runs);
        }
        Ok(Attached::Ended(Box::new(state)))
    }

    /// How it is now.
    pub(super) async fn state(&self) -> Result<ContainerState, Error> {
        let inspected = self.api.inspect_container(&self.container, None::<InspectContainerOptions>).await?;
        Ok(inspected.state.unwrap_or_default())
    }

    /// Sends it a signal, by name or number.
    pub(super) async fn kill(&self, signal: &str) -> Result<(), DockerError> {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        match timeout(ORDER_MAX, self.api.kill_container(&self.container, Some(options))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Error::DockerResponseServerError { status_code: 409, .. })) => {
                Err(DockerError::NotRunning)
            }
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(DockerError::DaemonAbsent("no answer".to_owned())),
        }
    }
}
