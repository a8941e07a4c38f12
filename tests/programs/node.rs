//! A node as a process of its own, to be killed: a control node that operators may ask, or a worker for stories.
//!
//! Arguments: `control` or `worker`, the cluster's secret, the node's name, where it is reached (`-` for where it listens),
//! the control nodes' addresses with commas between them, and a folder. The first line of its output is the address where
//! it listens. It ends when its input does, so that it never outlives whoever has started it.

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use phalanx::{Address, Config, Control, Secret, StaticPeers, SystemEntropy, Worker};
use phalanx_operator::{Server, Socket};
use tests::{CLUSTER_NAME, Story, Teller};
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, secret, name, reached, peers, folder] = arguments.as_slice() else {
        return Err("role, secret, name, where it is reached, addresses, and a folder".into());
    };
    let filter = tracing_subscriber::EnvFilter::from_env("PHALANX_LOG");
    tracing_subscriber::fmt().with_ansi(false).with_env_filter(filter).with_writer(std::io::stderr).init();
    let secret: Secret = secret.parse()?;
    let peers = peers.split(',').map(str::parse).collect::<Result<Vec<SocketAddr>, _>>()?;
    let folder = Path::new(folder);
    if role == "control" {
        let mut builder = Control::builder(CLUSTER_NAME, &secret)
            .id(name)
            .listen("127.0.0.1:0")
            .discover(StaticPeers::new(peers))
            .expected_controls(3)
            .config(Config::local());
        if reached != "-" {
            builder = builder.advertise([reached.parse::<Address>()?]);
        }
        let control = builder.start().await?;
        let socket = Socket::bind(folder.join(format!("{name}.sock"))).await?;
        let _server = Server::start(&control, Some(socket));
        run(control.local_addr()).await
    } else {
        let builder = Worker::builder(CLUSTER_NAME, secret.worker_credential())
            .id(name)
            .listen("127.0.0.1:0")
            .discover(StaticPeers::new(peers))
            .config(Config::local())
            .job::<Story>(Teller::default());
        let worker = with_drivers(builder, folder)?.start().await?;
        run(worker.local_addr()).await
    }
}

fn with_drivers(
    builder: phalanx::WorkerBuilder,
    folder: &Path,
) -> Result<phalanx::WorkerBuilder, Box<dyn Error>> {
    use phalanx_drivers::kv::{Kv, KvLimits, KvStore};
    let builder = builder.job::<Kv>(KvStore::new(KvLimits::default(), &SystemEntropy::new()));
    #[cfg(unix)]
    let builder = {
        use phalanx_drivers::files::{Access, FileServer, Files, FilesPolicy};
        let policy = FilesPolicy::new().root("data", folder, Access::ReadWrite);
        builder.job::<Files>(FileServer::open(&policy)?)
    };
    Ok(builder)
}

async fn run(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut output = std::io::stdout();
    writeln!(output, "{address}")?;
    output.flush()?;
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    Ok(())
}
