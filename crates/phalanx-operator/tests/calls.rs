//! Work through a gateway: a program that is no node has the typed handles that a control node has.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use phalanx::{
    CallError, CallOptions, Config, Control, JobClass, JobHandler, NodeId, NodeStatus, Nothing, Reason,
    RequestContext, Secret, Signal, StaticPeers, SystemEntropy, TaskContext, TaskError, TaskHandle,
    TransferError, Worker,
};
use phalanx_operator::{AskError, Calls, Client, FailureKind, Operated, Server, Socket};
use tokio::time::timeout;

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Adds numbers; as a task, those that it is told, and the length of what it is sent. Asked for bytes, it gives as many as its
/// sum says.
struct Sum;

impl JobClass for Sum {
    const NAME: &'static str = "sum";
    const VERSION: u32 = 1;
    type Request = (u64, u64);
    type Reply = u64;
    type Task = u64;
    type Output = u64;
    type Command = u64;
    type CommandReply = u64;
    type Event = Nothing;
    type Error = String;
}

impl JobHandler<Sum> for Sum {
    async fn request(&self, cx: RequestContext, (a, b): (u64, u64)) -> Result<u64, String> {
        if a == u64::MAX {
            let () = std::future::pending().await;
        }
        drop(cx);
        a.checked_add(b).ok_or_else(|| "too much".to_owned())
    }

    async fn task(&self, cx: TaskContext<Sum>, first: u64) -> Result<u64, String> {
        let mut sum = first;
        loop {
            tokio::select! {
                biased;
                Some(mut transfer) = cx.transfer() => {
                    while let Some(chunk) = transfer.next().await {
                        sum += chunk.map_err(|error| error.to_string())?.len() as u64;
                    }
                }
                Some(mut transfer) = cx.outgoing() => {
                    let bytes = transfer.note().repeat(sum as usize);
                    // Whoever has asked may be gone.
                    if transfer.send(bytes.into()).await.is_ok() {
                        let _ = transfer.finish().await;
                    }
                }
                signal = cx.recv() => match signal {
                    Some(Signal::Command(0, reply)) => {
                        reply.send(Ok(sum)).await;
                        return Ok(sum);
                    }
                    Some(Signal::Command(number, reply)) => {
                        sum += number;
                        reply.send(Ok(sum)).await;
                    }
                    Some(Signal::Status(_)) => {}
                    Some(Signal::Stop { .. }) | None => return Err("stopped".to_owned()),
                },
            }
        }
    }
}

struct Cluster {
    folder: tempfile::TempDir,
    secret: Secret,
    controls: Vec<Control>,
    worker: Worker,
    _servers: Vec<Server>,
}

impl Cluster {
    /// Two control nodes and a worker: for one of the two the call goes on to the other.
    async fn start() -> Self {
        let secret = Secret::generate(&SystemEntropy::new());
        let folder = tempfile::tempdir().unwrap();
        let (mut controls, mut servers) = (Vec::<Control>::new(), Vec::new());
        for name in ["control-1", "control-2"] {
            let builder = Control::builder("media", &secret).id(name).listen("127.0.0.1:0");
            let peers: Vec<_> = controls.iter().map(Control::local_addr).collect();
            let builder = builder.discover(StaticPeers::new(peers)).config(Config::local());
            let control = builder.start().await.unwrap();
            let socket = Socket::bind(folder.path().join(format!("{name}.sock"))).await.unwrap();
            servers.push(Server::start(&control, Some(socket)));
            controls.push(control);
        }
        let worker = Worker::builder("media", secret.worker_credential())
            .id("worker-1")
            .listen("127.0.0.1:0")
            .discover(StaticPeers::new([controls[0].local_addr()]))
            .config(Config::local())
            .job::<Sum>(Sum)
            .start()
            .await
            .unwrap();
        timeout(PATIENCE, worker.wait_for(NodeStatus::Ready)).await.unwrap();
        Self { folder, secret, controls, worker, _servers: servers }
    }

    async fn by_socket(&self, control: usize) -> Calls {
        let path = self.folder.path().join(format!("{}.sock", self.controls[control].id()));
        Client::connect_socket(path).await.unwrap().calls().await.unwrap()
    }

    async fn by_network(&self, control: usize) -> Calls {
        let address = self.controls[control].local_addr().into();
        let client = Client::connect_network("media", &self.secret, &[address]).await.unwrap();
        client.calls().await.unwrap()
    }
}

fn worker() -> NodeId {
    NodeId::new("worker-1").unwrap()
}

async fn work(calls: &Calls) {
    let worker = calls.worker(worker());
    assert_eq!(worker.request::<Sum>((2, 3)).await, Ok(5));
    assert_eq!(worker.request::<Sum>((u64::MAX - 1, 2)).await, Err(CallError::Failed("too much".into())));
    let short = CallOptions { deadline: Duration::from_millis(100), ..CallOptions::default() };
    let late = worker.clone().with(short).request::<Sum>((u64::MAX, 0)).await.unwrap_err();
    assert_eq!(late, CallError::Aborted(Reason::DeadlineExceeded));

    let task: TaskHandle<Sum> = worker.start::<Sum>(1).await.unwrap();
    assert_eq!(task.command(2).await, Ok(3));
    let sent = task.send_bytes(vec![7; 3 << 20]).await.unwrap();
    assert_eq!(sent.bytes, 3 << 20);
    let mut fetch = task.fetch("n").await.unwrap();
    let mut got = Vec::new();
    while let Some(chunk) = fetch.next().await {
        got.extend_from_slice(&chunk.unwrap());
    }
    assert!(got == vec![b'n'; 3 + (3 << 20)] && fetch.receipt().unwrap().bytes == 3 + (3 << 20));
    // One that is dropped in the middle is over for the task, which goes on.
    let mut dropped = task.fetch("n").await.unwrap();
    assert!(!dropped.next().await.unwrap().unwrap().is_empty());
    drop(dropped);
    assert_eq!(task.command(0).await, Ok(3 + (3 << 20)));
    assert_eq!(task.output().await, Ok(3 + (3 << 20)));
    assert_eq!(task.command(1).await, Err(CallError::NotExecuted(Reason::TaskEnded)));
    let late = [task.send_bytes("late").await.err(), task.fetch("n").await.err()];
    let ended = Some(TransferError::Refused(Reason::TaskEnded));
    assert_eq!(late, [ended.clone(), ended]);

    let task: TaskHandle<Sum> = worker.start::<Sum>(1).await.unwrap();
    assert!(worker.tasks().await.unwrap().iter().any(|running| running.task == *task.id()));
    task.stop(Duration::from_secs(5)).await.unwrap();
    assert_eq!(task.output().await, Err(TaskError::Failed("stopped".into())));

    let nobody = calls.worker(NodeId::new("nobody").unwrap()).request::<Sum>((1, 1)).await;
    assert_eq!(nobody, Err(CallError::NotExecuted(Reason::NotFound)));
}

#[tokio::test]
async fn typed_work_goes_through_any_control_node_by_socket_and_network() {
    let cluster = Cluster::start().await;
    for control in [0, 1] {
        timeout(2 * PATIENCE, work(&cluster.by_socket(control).await)).await.unwrap();
        timeout(2 * PATIENCE, work(&cluster.by_network(control).await)).await.unwrap();
    }
}

/// A worker remembers 1,024 callers, and programs must not be among them.
#[tokio::test]
async fn a_worker_takes_calls_of_any_number_of_programs() {
    let cluster = Cluster::start().await;
    for number in 0..1_100 {
        let calls = cluster.by_socket(0).await;
        assert_eq!(calls.worker(worker()).request::<Sum>((number, 1)).await, Ok(number + 1));
    }
}

#[tokio::test]
async fn a_call_that_was_dropped_is_cancelled_and_a_lost_gateway_fails_every_call() {
    let cluster = Cluster::start().await;
    let calls = cluster.by_network(0).await;
    let waiting = calls.worker(worker());
    assert!(timeout(Duration::from_millis(200), waiting.request::<Sum>((u64::MAX, 0))).await.is_err());
    assert_eq!(waiting.request::<Sum>((1, 1)).await, Ok(2), "the others go on");

    let asked = tokio::spawn(async move { waiting.request::<Sum>((u64::MAX, 0)).await });
    let after = calls.worker(worker());
    // The second answer says that the first question has been read.
    assert_eq!(after.request::<Sum>((1, 1)).await, Ok(2));
    cluster.controls[0].shutdown().await;
    drop(cluster);
    let lost = timeout(PATIENCE, asked).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(lost, CallError::Unknown(_) | CallError::Aborted(_)), "{lost:?}");
    assert!(timeout(PATIENCE, after.request::<Sum>((1, 1))).await.unwrap().is_err());
}

#[tokio::test]
async fn a_worker_is_no_gateway() {
    let cluster = Cluster::start().await;
    let path = cluster.folder.path().join("worker.sock");
    let operated = Operated::Worker { worker: cluster.worker.clone(), cluster: "media".into() };
    let _server = Server::start(operated, Some(Socket::bind(&path).await.unwrap()));
    let refused = Client::connect_socket(&path).await.unwrap().calls().await.map(drop).unwrap_err();
    let kind = |error: &AskError| match error {
        AskError::Failed(failure) => Some(failure.kind),
        _ => None,
    };
    assert_eq!(kind(&refused), Some(FailureKind::ControlOnly), "{refused}");
}

#[tokio::test]
async fn a_job_is_made_looked_at_and_removed() {
    use phalanx::{Count, JobName, Jobs};
    let cluster = Cluster::start().await;
    let path = cluster.folder.path().join("control-1.sock");
    let mut client = Client::connect_socket(path).await.unwrap();
    let name: JobName = "sums".parse().unwrap();
    let spec = Jobs::spec::<Sum>(name.clone(), &7, Count::PerNode).unwrap();
    let applied = client.apply_job(spec.clone()).await.unwrap();
    assert_eq!(client.apply_job(spec).await.unwrap().version, applied.version + 1);
    let runs = async {
        loop {
            let details = client.job(name.clone()).await.unwrap();
            if details.status == "placed" && details.instances.len() == 1 {
                return (details, client.jobs().await.unwrap());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (details, listed) = timeout(PATIENCE, runs).await.unwrap();
    assert_eq!(details.instances[0].place.as_ref().unwrap().node, worker());
    assert_eq!((listed[0].running, listed[0].desired, listed[0].class.as_str()), (1, None, "sum/1"));
    client.remove_job(name.clone()).await.unwrap();
    let gone = async {
        loop {
            match client.job(name.clone()).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => return error,
            }
        }
    };
    let gone = timeout(PATIENCE, gone).await.unwrap();
    assert!(matches!(gone, AskError::Failed(failure) if failure.kind == FailureKind::NotFound));
}
