//! A worker that runs programs, as a process of its own: so that it can be killed without a word.
//!
//! Arguments: the cluster's secret, a control node's address, the worker's name, a folder, and `kill` or `keep`.

use std::error::Error;

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn Error>> {
    use std::net::SocketAddr;

    use phalanx::{Secret, StaticPeers, Worker};
    use phalanx_drivers::process::{OnDeath, Policy, Process, Programs, Supervisor, supervise_if_asked};

    supervise_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [secret, address, name, folder, on_death] = arguments.as_slice() else {
        return Err("secret, address, name, folder, and `kill` or `keep`".into());
    };
    let secret: Secret = secret.parse()?;
    let address: SocketAddr = address.parse()?;
    let on_death = if on_death == "keep" { OnDeath::Keep } else { OnDeath::Kill };
    let policy = Policy::new(format!("{folder}/logs"), Supervisor::ThisProgram)
        .allow_program("sh")
        .allow_root(folder)
        .on_death(on_death);
    let programs = Programs::new(policy)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let _worker = Worker::builder(tests::CLUSTER_NAME, secret.worker_credential())
            .id(name)
            .listen("127.0.0.1:0")
            .discover(StaticPeers::new([address]))
            .job::<Process>(programs)
            .start()
            .await?;
        std::future::pending::<()>().await;
        Ok(())
    })
}

#[cfg(not(target_os = "linux"))]
fn main() -> Result<(), Box<dyn Error>> {
    Err("programs run on Linux only".into())
}
