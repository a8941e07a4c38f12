//! A worker that runs programs, as a process of its own: so that it can be killed without a word.
//!
//! Arguments: the cluster's secret, a control node's address, the worker's name, a folder, and `kill` or `keep`: whether programs
//! may be kept; and perhaps a control group. A line on its standard input is an order to stop.

use std::error::Error;

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn Error>> {
    use std::net::SocketAddr;

    use phalanx::{Secret, StaticPeers, Worker};
    use phalanx_drivers::process::{Policy, Process, Programs, Supervisor, supervise_if_asked};

    supervise_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [secret, address, name, folder, keeping, group @ ..] = arguments.as_slice() else {
        return Err("secret, address, name, folder, and `kill` or `keep`".into());
    };
    let secret: Secret = secret.parse()?;
    let address: SocketAddr = address.parse()?;
    let mut policy =
        Policy::new(format!("{folder}/logs"), Supervisor::ThisProgram).allow_program("sh").allow_root(folder);
    if keeping == "keep" {
        policy = policy.allow_keeping();
    }
    if let Some(group) = group.first() {
        policy = policy.cgroup(group);
    }
    let programs = Programs::new(policy)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let worker = Worker::builder(tests::CLUSTER_NAME, secret.worker_credential())
            .id(name)
            .listen("127.0.0.1:0")
            .discover(StaticPeers::new([address]))
            .job::<Process>(programs)
            .start()
            .await?;
        let read = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        if read.await?? == 0 {
            std::future::pending::<()>().await;
        }
        worker.shutdown().await;
        Ok(())
    })
}

#[cfg(not(target_os = "linux"))]
fn main() -> Result<(), Box<dyn Error>> {
    Err("programs run on Linux only".into())
}
