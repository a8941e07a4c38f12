//! A container is removed when its task is over, however that comes.

use std::time::Duration;

use bollard::Docker as Api;
use bollard::errors::Error;
use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptions, RemoveContainerOptionsBuilder,
};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::daemon::is_absent;

/// How often the removal of a container is tried, a second apart: a daemon that is restarted is back by then. What is left
/// is found at the worker's next start.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// How often the daemon may say that there is no such container, where it may still be making it.
const ABSENT_TRIES: u32 = 3;

/// Sees to it that nothing runs on. Dropped before [`Removal::now`] it does so in the background.
#[derive(Debug)]
pub(super) struct Removal {
    api: Api,
    name: String,
    keeps: bool,
    is_due: bool,
    /// Of the worker's program: the threads of tasks end with the worker.
    runtime: Handle,
}

impl Removal {
    /// To be made before the container is, since nobody knows when the daemon makes it.
    pub(super) fn new(api: &Api, name: &str, keeps: bool, runtime: &Handle) -> Self {
        Self { api: api.clone(), name: name.to_owned(), keeps, is_due: true, runtime: runtime.clone() }
    }

    /// A container whose end was seen is removed, or stays where it is kept. Where that fails, it goes on in the background.
    pub(super) async fn now(mut self) {
        if self.keeps || remove(&self.api, &self.name).await.is_ok() {
            self.is_due = false;
        }
    }

    /// One that never ran is removed, even where it was to be kept.
    pub(super) async fn of_failed(mut self) {
        self.keeps = false;
        self.now().await;
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if !self.is_due {
            return;
        }
        // Where the process ends too, what is left is found at its next start.
        let (api, name, keeps) = (self.api.clone(), std::mem::take(&mut self.name), self.keeps);
        self.runtime.spawn(async move { persist(&api, &name, keeps).await });
    }
}

async fn persist(api: &Api, name: &str, keeps: bool) {
    let mut absent = 0;
    for _ in 0..TRIES {
        match if keeps { kill(api, name).await } else { remove(api, name).await } {
            Ok(Was::There) => return,
            Ok(Was::Absent) if absent == ABSENT_TRIES => return,
            Ok(Was::Absent) => absent += 1,
            Err(error) => tracing::warn!(container = name, %error, "a container is not removed yet"),
        }
        sleep(PAUSE).await;
    }
    tracing::warn!(
        container = name,
        "a container is left behind: it is looked at when this worker starts again"
    );
}

/// What was removed.
enum Was {
    There,
    Absent,
}

async fn kill(api: &Api, name: &str) -> Result<Was, Error> {
    let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
    match api.kill_container(name, Some(options)).await {
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 409, .. }) => Ok(Was::There),
        Err(error) if is_absent(&error) => Ok(Was::Absent),
        Err(error) => Err(error),
    }
}

async fn remove(api: &Api, name: &str) -> Result<Was, Error> {
    match api.remove_container(name, Some(with_all())).await {
        // In the second case somebody is at it already.
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 409, .. }) => Ok(Was::There),
        Err(error) if is_absent(&error) => Ok(Was::Absent),
        Err(error) => Err(error),
    }
}

/// Killed first where it runs, and with the volumes that have no name.
pub(super) fn with_all() -> RemoveContainerOptions {
    RemoveContainerOptionsBuilder::new().force(true).v(true).build()
}
