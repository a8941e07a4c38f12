//! Whole clusters where UDP swallows everything: their links go over TCP, and all that links carry passes.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use phalanx_base::{NodeStatus, TransportKind};
use phalanx_jobs::{
    EventContext, EventHandler, JobClass, JobHandler, RequestContext, TaskContext, TaskError,
};
use phalanx_transport::{Network, Received, Tcp, TokioNetwork, Transmit, UdpSocket, Writable};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::{Config, Control, Environment, Nothing, Secret, StaticPeers, SystemEntropy, Worker};

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The real network behind a wall that no datagram passes.
#[derive(Debug)]
struct WithoutUdp;

impl Network for WithoutUdp {
    fn bind(&self, listen: SocketAddr) -> io::Result<Arc<dyn UdpSocket>> {
        Ok(Arc::new(Wall(TokioNetwork.bind(listen)?)))
    }

    fn tcp(&self) -> Option<Arc<dyn Tcp>> {
        TokioNetwork.tcp()
    }
}

#[derive(Debug)]
struct Wall(Arc<dyn UdpSocket>);

impl UdpSocket for Wall {
    fn try_send(&self, _: &Transmit<'_>) -> io::Result<()> {
        Ok(())
    }

    fn writable(self: Arc<Self>) -> Writable {
        self.0.clone().writable()
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_recv(cx, buffers, received))?;
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Says back what it is asked, and tells how much was transferred into its tasks.
struct Gauge;

impl JobClass for Gauge {
    const NAME: &'static str = "gauge";
    const VERSION: u32 = 1;
    type Request = String;
    type Reply = String;
    type Task = u64;
    type Output = u64;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = u64;
    type Error = String;
}

struct Gauger;

impl JobHandler<Gauge> for Gauger {
    async fn request(&self, _: RequestContext, text: String) -> Result<String, String> {
        Ok(text)
    }

    async fn task(&self, cx: TaskContext<Gauge>, expected: u64) -> Result<u64, String> {
        let mut transfer = cx.transfer().await.ok_or("it was told to stop")?;
        let mut bytes = 0;
        while let Some(chunk) = transfer.next().await {
            bytes += chunk.map_err(|error| error.to_string())?.len() as u64;
        }
        assert_eq!(bytes, expected);
        cx.emit(bytes).await.map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

struct Heard(mpsc::Sender<u64>);

impl EventHandler<Gauge> for Heard {
    type State = ();

    async fn event(&self, _: &EventContext, _: &mut (), bytes: u64) {
        let _ = self.0.send(bytes).await;
    }

    async fn ended(&self, _: &EventContext, _: &mut (), _: Result<u64, TaskError<String>>) {}
}

fn environment() -> Environment {
    Environment { network: Arc::new(WithoutUdp), ..Environment::real().unwrap() }
}

/// A cluster of two control nodes and a worker, which take links over one transport of those that are left.
async fn everything_passes_over(transport: TransportKind) {
    let mut config = Config::local();
    config.endpoint.listen_tls = transport == TransportKind::Tls;
    config.endpoint.listen_websocket = transport == TransportKind::WebSocket;
    let secret = Secret::generate(&SystemEntropy::new());
    let (sender, mut heard) = mpsc::channel(16);
    let control = async |name, peers: Vec<SocketAddr>| {
        let builder =
            Control::builder("walled", &secret).id(name).listen("127.0.0.1:0").config(config.clone());
        let builder = builder.environment(environment()).events::<Gauge>(Heard(sender.clone()));
        builder.discover(StaticPeers::new(peers)).expected_controls(2).start().await.unwrap()
    };
    let first = control("c0", Vec::new()).await;
    let second = control("c1", vec![first.local_addr()]).await;
    let formed = async {
        while [&first, &second].iter().any(|node| node.cluster().borrow().roster.active().count() < 2) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, formed).await.expect("the control nodes form");
    let worker = Worker::builder("walled", secret.worker_credential()).id("w").listen("127.0.0.1:0");
    let worker = worker.environment(environment()).job::<Gauge>(Gauger).config(config.clone());
    let peers = StaticPeers::new([first.local_addr(), second.local_addr()]);
    let worker = worker.discover(peers).start().await.unwrap();
    timeout(PATIENCE, worker.wait_for(NodeStatus::Ready)).await.expect("the worker has an owner");

    for node in [&first, &second] {
        let handle = node.worker(worker.id());
        assert_eq!(handle.request::<Gauge>("over TCP".into()).await, Ok("over TCP".to_owned()));
        let task = handle.start::<Gauge>(5_000_000).await.unwrap();
        let bytes = vec![7_u8; 5_000_000];
        let receipt = timeout(PATIENCE, task.send_bytes(bytes)).await.expect("a transfer ends").unwrap();
        assert_eq!(receipt.bytes, 5_000_000);
        assert_eq!(timeout(PATIENCE, task.output()).await.expect("a task ends"), Ok(5_000_000));
        assert_eq!(timeout(PATIENCE, heard.recv()).await.expect("an event comes"), Some(5_000_000));
    }
    worker.shutdown().await;
    second.shutdown().await;
    first.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_udp_works_over_tls() {
    everything_passes_over(TransportKind::Tls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_udp_and_tls_works_over_websocket() {
    everything_passes_over(TransportKind::WebSocket).await;
}
