//! A worker that runs containers, as a process of its own: so that it can be killed without a word.
//!
//! Arguments: the cluster's secret, a control node's address, the worker's name, the daemon's socket, and `remove` or `report`.

use std::error::Error;

#[cfg(unix)]
fn main() -> Result<(), Box<dyn Error>> {
    use std::net::SocketAddr;

    use phalanx::{NodeId, Secret, StaticPeers, SystemEntropy, Worker};
    use phalanx_drivers::docker::{Containers, Docker, OnOrphans, Policy};

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [secret, address, name, socket, on_orphans] = arguments.as_slice() else {
        return Err("secret, address, name, socket, and `remove` or `report`".into());
    };
    let secret: Secret = secret.parse()?;
    let address: SocketAddr = address.parse()?;
    let on_orphans = if on_orphans == "report" { OnOrphans::Report } else { OnOrphans::Remove };
    let policy = Policy::new(socket).allow_image("busybox").allow_archives(64 << 20).on_orphans(on_orphans);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let id: NodeId = name.parse()?;
        let containers = Containers::open(policy, tests::CLUSTER_NAME, &id, &SystemEntropy::new()).await?;
        let _worker = Worker::builder(tests::CLUSTER_NAME, secret.worker_credential())
            .id(name)
            .listen("127.0.0.1:0")
            .discover(StaticPeers::new([address]))
            .job::<Docker>(containers)
            .start()
            .await?;
        std::future::pending::<()>().await;
        Ok(())
    })
}

#[cfg(not(unix))]
fn main() -> Result<(), Box<dyn Error>> {
    Err("containers run on Unix only".into())
}
