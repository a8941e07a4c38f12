//! One node of the demo: a control node that takes orders, or a worker that takes none.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use phalanx::{
    ClusterEvent, Control, Environment, FileStore, MemberEvent, NodeId, Placement, Plan, Secret, StaticPeers,
    Worker,
};
use tokio::fs;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, stdin};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::ask::ask;
use crate::digest::{Digest, Digester, File, Summary, Teller, tell};
use crate::drivers;
use crate::errand::Errand;
use crate::options::NodeOptions;
use crate::post;
use crate::process::SECRET_VARIABLE;
use crate::protocol::{Moves, Notice, Order};

type AnyError = Box<dyn Error + Send + Sync>;

const CLUSTER: &str = "demo";
/// How long a node that is to leave waits for its own files to arrive.
const FINISH_PATIENCE: Duration = Duration::from_secs(10);
/// The pieces in which a file is read.
const READ_BYTES: usize = 128 << 10;

pub(crate) async fn run(options: NodeOptions) -> Result<(), AnyError> {
    let secret: Secret = std::env::var(SECRET_VARIABLE)?.parse()?;
    let environment = Environment::real()?.with_store(FileStore::open(&options.store)?);
    if options.is_control {
        run_control(options, &secret, environment).await
    } else {
        run_worker(options, &secret, environment).await
    }
}

async fn run_worker(options: NodeOptions, secret: &Secret, environment: Environment) -> Result<(), AnyError> {
    let builder = Worker::builder(CLUSTER, secret.worker_credential())
        .id(&options.name)
        .listen(&options.listen)
        .discover(StaticPeers::parse(&options.peers)?)
        .job::<Digest>(Digester)
        .environment(environment);
    let worker = drivers::register(builder, &options).await?.start().await?;
    tell(&Notice::Ready);
    // Nobody orders a worker about; the end of its input is the end of its parent.
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(_)) = lines.next_line().await {}
    worker.shutdown().await;
    Ok(())
}

async fn run_control(
    options: NodeOptions,
    secret: &Secret,
    environment: Environment,
) -> Result<(), AnyError> {
    let control = Control::builder(CLUSTER, secret)
        .id(&options.name)
        .listen(&options.listen)
        .discover(StaticPeers::parse(&options.peers)?)
        .expected_controls(options.expected)
        .job::<Digest>(Digester)
        .events::<Digest>(Teller)
        .environment(environment)
        .start()
        .await?;
    tell(&Notice::Ready);
    let (workers, watched) = watch::channel(Vec::new());
    tokio::spawn(tell_events(control.clone()));
    tokio::spawn(tell_cluster(control.clone()));
    tokio::spawn(tell_owners(control.clone(), watched.clone()));
    let asking = tokio::spawn(ask(control.clone(), watched));
    if options.drivers.has_job {
        tokio::spawn(post::tell_job(control.clone()));
    }
    let mut ships: JoinSet<()> = JoinSet::new();
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        while ships.try_join_next().is_some() {}
        match serde_json::from_str(&line)? {
            Order::Workers(names) => {
                let ids: Result<Vec<NodeId>, _> = names.iter().map(|name| name.parse()).collect();
                workers.send_replace(ids?);
            }
            Order::Ship { number, worker, path } => {
                let control = control.clone();
                ships.spawn(async move {
                    let result = ship(&control, &worker, &path).await.map_err(|error| error.to_string());
                    tell(&Notice::Shipped { number, result });
                });
            }
            Order::Errand { number, worker, errand } => {
                ships.spawn(run_errand(control.clone(), number, worker, errand));
            }
            Order::Job { count } => apply_job(&control, count).await,
            Order::Leave => {
                asking.abort();
                // What does not arrive in time is shipped again by the parent.
                let _ = timeout(FINISH_PATIENCE, async { while ships.join_next().await.is_some() {} }).await;
                tell(&Notice::Leaving);
                break;
            }
            Order::Stop => break,
        }
    }
    asking.abort();
    control.shutdown().await;
    Ok(())
}

async fn run_errand(control: Control, number: u64, worker: String, errand: Errand) {
    let result = drivers::run(&control, &worker, errand).await;
    tell(&Notice::Done { number, result });
}

async fn apply_job(control: &Control, count: u32) {
    let result = post::apply(control, count).await.map_err(|error| error.to_string());
    tell(&Notice::JobApplied { result });
}

/// Starts a task for a file, streams the file into it, and waits for what the task says.
async fn ship(control: &Control, worker: &str, path: &Path) -> Result<Summary, AnyError> {
    let worker: NodeId = worker.parse()?;
    let bytes = fs::metadata(path).await?.len();
    let file = File { name: path.display().to_string(), bytes };
    let task = control.worker(&worker).start::<Digest>(file).await?;
    let opened = fs::File::open(path).await?;
    let chunks = stream::try_unfold(opened, |mut file| async move {
        let mut chunk = Vec::with_capacity(READ_BYTES);
        let read = (&mut file).take(READ_BYTES as u64).read_to_end(&mut chunk).await?;
        Ok::<_, std::io::Error>((read > 0).then_some((Bytes::from(chunk), file)))
    });
    let receipt = task.send(chunks).await?;
    let summary = task.output().await?;
    if receipt.bytes != summary.bytes {
        return Err(format!("the receipt says {} bytes, the task {}", receipt.bytes, summary.bytes).into());
    }
    Ok(summary)
}

async fn tell_events(control: Control) {
    let mut events = control.subscribe();
    while let Some(event) = events.next().await {
        match event {
            ClusterEvent::Member(MemberEvent::Down(boot)) => {
                tell(&Notice::Down { node: boot.node.to_string() })
            }
            ClusterEvent::Worker { worker, status, hosted } => {
                tell(&Notice::Worker { worker: worker.to_string(), status, hosted: hosted.is_some() });
            }
            ClusterEvent::Redelivered { count } => tell(&Notice::Redelivered { count }),
            _ => {}
        }
    }
}

async fn tell_cluster(control: Control) {
    let mut cluster = control.cluster();
    loop {
        let view = cluster.borrow_and_update().clone();
        let active: Vec<&NodeId> = view.roster.active().map(|entry| &entry.node).collect();
        let alive = view.members.iter().map(|member| &member.boot.node).filter(|node| view.is_alive(node));
        tell(&Notice::Cluster {
            boot: view.local.to_string(),
            alive: alive.map(ToString::to_string).collect(),
            active: active.iter().map(ToString::to_string).collect(),
        });
        if cluster.changed().await.is_err() {
            return;
        }
    }
}

async fn tell_owners(control: Control, mut workers: watch::Receiver<Vec<NodeId>>) {
    let mut ownership = control.ownership();
    let mut told = Placement::default();
    loop {
        let owners = ownership.borrow_and_update().clone();
        let names = workers.borrow_and_update().clone();
        let acting = names
            .iter()
            .filter_map(|worker| Some((worker.to_string(), owners.acting_owner(worker)?.to_string())))
            .collect();
        let placement = owners.placement();
        let shares =
            placement.owner_nodes().iter().map(|node| (node.to_string(), placement.share(node))).collect();
        tell(&Notice::Owners { acting, shares, moves: moves(&told, placement) });
        told = placement.clone();
        tokio::select! {
            biased;
            changed = ownership.changed() => if changed.is_err() { return },
            changed = workers.changed() => if changed.is_err() { return },
        }
    }
}

fn moves(before: &Placement, after: &Placement) -> Moves {
    // Before the first placement nobody owned anything, and nothing moved.
    if before.owner_nodes().is_empty() || before.owner_nodes() == after.owner_nodes() {
        return Moves::default();
    }
    let plan = Plan::between(before, after);
    Moves { partitions: plan.moves().len(), ideal: plan.ideal() }
}
