//! The worker's process.

use std::net::SocketAddr;

use phalanx::{NodeStatus, Secret, StaticPeers, Worker};

use super::class::{Load, Loader};
use super::{CLUSTER, WORKER};
use crate::Failure;
use crate::client::{input_ends, say};

/// Starts it. `arguments` are the secret, the addresses of the control nodes with commas between them, and a folder for
/// files, or `-`. It says who hosts it.
pub(crate) async fn worker(arguments: &[&str]) -> Result<(), Failure> {
    let [secret, addresses, folder] = arguments else {
        return Err("a worker needs a secret, addresses, and a folder".into());
    };
    let secret: Secret = secret.parse()?;
    let addresses = addresses.split(',').map(str::parse).collect::<Result<Vec<SocketAddr>, _>>()?;
    let builder = Worker::builder(CLUSTER, secret.worker_credential())
        .id(WORKER)
        .listen("127.0.0.1:0")
        .discover(StaticPeers::new(addresses))
        .job::<Load>(Loader);
    let worker = with_files(builder, folder)?.start().await?;
    worker.wait_for(NodeStatus::Ready).await;
    let owner = worker.owner().ok_or("the worker has no owner")?;
    say(owner.as_str())?;
    input_ends().await
}

#[cfg(unix)]
fn with_files(builder: phalanx::WorkerBuilder, folder: &str) -> Result<phalanx::WorkerBuilder, Failure> {
    use phalanx_drivers::files::{Access, FileServer, Files, FilesPolicy};
    if folder == "-" {
        return Ok(builder);
    }
    let policy = FilesPolicy::new().root(super::ROOT, folder, Access::ReadWrite);
    Ok(builder.job::<Files>(FileServer::open(&policy)?))
}

#[cfg(not(unix))]
fn with_files(builder: phalanx::WorkerBuilder, _: &str) -> Result<phalanx::WorkerBuilder, Failure> {
    Ok(builder)
}
