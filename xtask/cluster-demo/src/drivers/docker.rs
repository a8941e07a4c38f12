//! Containers at workers, by the driver that runs them.

use std::path::Path;
use std::time::Duration;

use phalanx::{NodeId, SystemEntropy, WorkerBuilder, WorkerHandle};
use phalanx_drivers::docker::{
    Container, Containers, Docker, Exec, Policy, Pull, Run, load_bytes, run as start,
};
use tokio::time::{Instant, interval};

use super::DockerAccess;
use crate::containers::{ContainerErrand, ContainerOutcome, IMAGE, Script};
use crate::demo::AnyError;

/// The largest image archive that a worker takes: some times that of the demo.
const ARCHIVE_BYTES_MAX: u64 = 64 << 20;

/// How long a container may take until it can be stopped, how often it is asked, and how long it has then.
const READY_MAX: Duration = Duration::from_secs(60);
const READY_INTERVAL: Duration = Duration::from_millis(100);
const STOP_GRACE: Duration = Duration::from_secs(30);

/// Lets the demo's image come to a worker, and run there.
pub(super) async fn register(
    builder: WorkerBuilder,
    access: &DockerAccess,
    name: &str,
) -> Result<WorkerBuilder, AnyError> {
    let policy =
        Policy::new(&access.socket).allow_image(IMAGE).allow_archives(ARCHIVE_BYTES_MAX).allow_exec();
    let name: NodeId = name.parse()?;
    let containers = Containers::open(policy, &access.label, &name, &SystemEntropy::new()).await?;
    Ok(builder.job::<Docker>(containers))
}

pub(super) async fn run(worker: WorkerHandle, errand: ContainerErrand) -> Result<ContainerOutcome, String> {
    let done = match errand {
        ContainerErrand::Load(archive) => load(&worker, &archive).await,
        ContainerErrand::Run(script) => run_script(&worker, script).await,
    };
    done.map_err(|error| error.to_string())
}

async fn load(worker: &WorkerHandle, archive: &Path) -> Result<ContainerOutcome, AnyError> {
    load_bytes(worker, tokio::fs::read(archive).await?).await?;
    Ok(ContainerOutcome::Loaded)
}

async fn run_script(worker: &WorkerHandle, script: Script) -> Result<ContainerOutcome, AnyError> {
    let shell = ["sh".to_owned(), "-c".to_owned(), script.shell()];
    let container =
        start(worker, Run::new(IMAGE).pull(Pull::Never).without_output_events().command(shell)).await?;
    if script == Script::Wait {
        wait_until_ready(&container).await?;
        container.stop(STOP_GRACE).await?;
    }
    let mut finished = container.finished().await?;
    let last_line = finished.last_lines.pop().unwrap_or_default();
    Ok(ContainerOutcome::Ended { exit_code: finished.exit_code, last_line })
}

/// Asks inside of the container whether it can be stopped, until it says so.
async fn wait_until_ready(container: &Container) -> Result<(), AnyError> {
    let until = Instant::now() + READY_MAX;
    let mut ticks = interval(READY_INTERVAL);
    let command: Vec<String> = ["test", "-f", "/tmp/ready"].map(str::to_owned).into();
    loop {
        ticks.tick().await;
        let asked = container.exec(Exec { command: command.clone(), ..Exec::default() }).await;
        match asked {
            Ok(output) if output.exit_code == 0 => return Ok(()),
            Ok(_) | Err(_) if Instant::now() < until => {}
            Ok(_) => return Err("the container does not become ready".into()),
            Err(error) => return Err(error.into()),
        }
    }
}
