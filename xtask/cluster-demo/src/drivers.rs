//! The node's half of errands: workers register the drivers that the demo was asked to show, and control nodes ask them. What
//! this program was built without is refused by the parent before any node starts.

#[cfg(all(feature = "docker", unix))]
mod docker;
#[cfg(feature = "wasm")]
mod wasm;

use std::path::PathBuf;
use std::time::Duration;

use phalanx::{Control, NodeId, WorkerBuilder, WorkerHandle};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::demo::AnyError;
use crate::errand::{Errand, Outcome};
use crate::options::NodeOptions;
use crate::post::{Keeper, Post};

/// How long an errand may take: on a slow disk a container needs seconds.
const ERRAND_MAX: Duration = Duration::from_secs(90);

/// What nodes are started with beside what every node needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Drivers {
    /// Whether there is a job.
    pub(crate) has_job: bool,
    /// The public key of whoever signs modules.
    pub(crate) module_key: Option<String>,
    pub(crate) docker: Option<DockerAccess>,
}

/// Where containers run, and by which word the daemon knows those of this demo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DockerAccess {
    pub(crate) socket: PathBuf,
    pub(crate) label: String,
}

/// Gives a worker the handlers that it needs.
pub(crate) async fn register(
    mut builder: WorkerBuilder,
    options: &NodeOptions,
) -> Result<WorkerBuilder, AnyError> {
    if options.drivers.has_job {
        builder = builder.job::<Post>(Keeper);
    }
    #[cfg(feature = "wasm")]
    if let Some(key) = &options.drivers.module_key {
        builder = wasm::register(builder, key, &options.store)?;
    }
    #[cfg(all(feature = "docker", unix))]
    if let Some(access) = &options.drivers.docker {
        builder = docker::register(builder, access, &options.name).await?;
    }
    Ok(builder)
}

/// Does an errand at a worker.
pub(crate) async fn run(control: &Control, worker: &str, errand: Errand) -> Result<Outcome, String> {
    let id: NodeId = worker.parse().map_err(|error| format!("{worker}: {error}"))?;
    let done = timeout(ERRAND_MAX, at(control.worker(&id), errand)).await;
    done.unwrap_or_else(|_| Err(format!("it is not done after {ERRAND_MAX:?}")))
}

async fn at(worker: WorkerHandle, errand: Errand) -> Result<Outcome, String> {
    match errand {
        #[cfg(feature = "wasm")]
        Errand::Module(errand) => wasm::run(worker, errand).await.map(Outcome::Module),
        #[cfg(all(feature = "docker", unix))]
        Errand::Container(errand) => docker::run(worker, errand).await.map(Outcome::Container),
        #[cfg(not(all(feature = "wasm", feature = "docker", unix)))]
        _ => Err(format!("{}: this program was built without that driver", worker.id())),
    }
}
