//! A carrier of one's own: clusters where no UDP gets through. Every datagram travels in a TCP connection to a relay, as in a
//! VPN, and the relay passes it on. Two clusters share the relay and even have the same addresses, none of which exists on
//! any machine; in the end the relay says what has travelled by it.
//!
//! The carrier replaces `Environment::network` and nothing else. What it carries is encrypted from end to end and
//! authenticated, it may be lost or come twice: so the relay needs not be trusted, and reads nothing but the addresses.
//!
//! ```text
//! cargo run -p examples --bin custom_carrier
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use phalanx::{
    Control, Environment, JobClass, JobHandler, Network, NodeStatus, Nothing, RequestContext, Secret,
    StaticPeers, SystemEntropy, Worker,
};
use phalanx_transport::{Received, Transmit, UdpSocket, Writable};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The clusters, and the number that keeps them apart in the relay.
const CLUSTERS: [(u32, &str); 2] = [(1, "harbour"), (2, "station")];

/// Where the nodes of each cluster believe to be: addresses of their own world.
const ATHENS: &str = "10.77.0.1:7000";
const SPARTA: &str = "10.77.0.2:7000";
const CAMERA: &str = "10.77.0.9:7000";

/// How many datagrams wait at each place before more are lost, as in the queue of a network card.
const WAITING_MAX: usize = 1_024;

/// How long the program waits for a cluster to form.
const PATIENCE: Duration = Duration::from_secs(30);

/// A datagram on its way.
#[derive(Serialize, Deserialize)]
struct Packet {
    from: SocketAddr,
    to: SocketAddr,
    contents: Bytes,
}

/// The carrier: sockets whose datagrams travel over TCP to the relay.
struct Tunnel {
    relay: SocketAddr,
    cluster: u32,
}

impl Network for Tunnel {
    fn bind(&self, listen: SocketAddr) -> io::Result<Arc<dyn UdpSocket>> {
        let connection = std::net::TcpStream::connect(self.relay)?;
        connection.set_nonblocking(true)?;
        connection.set_nodelay(true)?;
        let (reader, writer) = TcpStream::from_std(connection)?.into_split();
        let (send, outgoing) = mpsc::channel(WAITING_MAX);
        let (arrived, incoming) = mpsc::channel(WAITING_MAX);
        let hello = postcard::to_stdvec(&(self.cluster, listen)).map_err(io::Error::other)?;
        send.try_send(hello).map_err(io::Error::other)?;
        tokio::spawn(write_frames(writer, outgoing));
        tokio::spawn(async move { read_frames(reader, |frame| drop(arrived.try_send(frame))).await });
        Ok(Arc::new(TunnelSocket { local: listen, outgoing: send, incoming: Mutex::new(incoming) }))
    }
}

/// One end of a tunnel. The connection ends with it.
#[derive(Debug)]
struct TunnelSocket {
    local: SocketAddr,
    outgoing: mpsc::Sender<Vec<u8>>,
    /// Read by one task only, as the trait says.
    incoming: Mutex<mpsc::Receiver<Vec<u8>>>,
}

impl UdpSocket for TunnelSocket {
    /// What finds no room is lost, as UDP would lose it: so it can always be written.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let contents = Bytes::copy_from_slice(transmit.contents);
        let packet = Packet { from: self.local, to: transmit.destination, contents };
        let _ = self.outgoing.try_send(postcard::to_stdvec(&packet).map_err(io::Error::other)?);
        Ok(())
    }

    fn writable(self: Arc<Self>) -> Writable {
        Box::pin(std::future::ready(Ok(())))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> Poll<io::Result<usize>> {
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(buffer), Some(received)) = (buffers.first_mut(), received.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        loop {
            let Some(frame) = ready!(incoming.poll_recv(cx)) else {
                // An error would end the node, which goes on without a network as any other node does.
                return Poll::Pending;
            };
            let Ok(Packet { from, contents, .. }) = postcard::from_bytes(&frame) else { continue };
            let Some(room) = buffer.get_mut(..contents.len()) else { continue };
            room.copy_from_slice(&contents);
            let bytes = contents.len();
            *received = Received { source: from, bytes, segment_bytes: bytes, ..Received::default() };
            return Poll::Ready(Ok(1));
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// Frames on a TCP connection: two bytes of length, then the contents.
async fn write_frames(mut writer: OwnedWriteHalf, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        let Ok(length) = u16::try_from(frame.len()) else { continue };
        let written = [&length.to_be_bytes(), frame.as_slice()].concat();
        if writer.write_all(&written).await.is_err() {
            break;
        }
    }
}

async fn read_frames(mut reader: OwnedReadHalf, mut take: impl FnMut(Vec<u8>)) {
    while let Some(frame) = read_frame(&mut reader).await {
        take(frame);
    }
}

async fn read_frame(reader: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut frame = vec![0; usize::from(reader.read_u16().await.ok()?)];
    reader.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

/// A way through the relay: which cluster, from where, to where.
type Way = (u32, SocketAddr, SocketAddr);

/// The relay: whose tunnel ends where, and what has travelled by it.
#[derive(Clone, Default)]
struct Relay(Arc<Mutex<Switch>>);

#[derive(Default)]
struct Switch {
    ends: BTreeMap<(u32, SocketAddr), mpsc::Sender<Vec<u8>>>,
    /// Datagrams and bytes, and how many found nobody or no room.
    travelled: BTreeMap<Way, (u64, u64, u64)>,
}

impl Relay {
    fn lock(&self) -> MutexGuard<'_, Switch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(self.clone().serve_one(connection));
        }
    }

    /// Serves the tunnel of one node. The first frame says which cluster, and which address.
    async fn serve_one(self, connection: TcpStream) {
        let (mut reader, writer) = connection.into_split();
        let Some(hello) = read_frame(&mut reader).await else { return };
        let Ok(end) = postcard::from_bytes::<(u32, SocketAddr)>(&hello) else { return };
        let (send, outgoing) = mpsc::channel(WAITING_MAX);
        self.lock().ends.insert(end, send);
        tokio::spawn(write_frames(writer, outgoing));
        read_frames(reader, |frame| self.pass(end, frame)).await;
        self.lock().ends.remove(&end);
    }

    /// Passes a datagram on within its cluster. A node can only send in its own name.
    fn pass(&self, (cluster, from): (u32, SocketAddr), frame: Vec<u8>) {
        let Ok(packet) = postcard::from_bytes::<Packet>(&frame) else { return };
        let Switch { ends, travelled } = &mut *self.lock();
        let (datagrams, bytes, lost) = travelled.entry((cluster, from, packet.to)).or_default();
        *datagrams += 1;
        *bytes += packet.contents.len() as u64;
        let end = ends.get(&(cluster, packet.to)).filter(|_| packet.from == from);
        *lost += u64::from(end.is_none_or(|end| end.try_send(frame).is_err()));
    }
}

/// The contract of a camera.
struct Camera;

impl JobClass for Camera {
    const NAME: &'static str = "camera";
    const VERSION: u32 = 1;
    type Request = ();
    type Reply = String;
    type Task = Nothing;
    type Output = Nothing;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = Nothing;
    type Error = Nothing;
}

/// The worker's half.
struct Lens(&'static str);

impl JobHandler<Camera> for Lens {
    async fn request(&self, cx: RequestContext, (): ()) -> Result<String, Nothing> {
        Ok(format!("a picture of the {} by {}", self.0, cx.worker()))
    }
}

/// A cluster whose nodes know each other by addresses that only the relay understands.
struct Cluster {
    athens: Control,
    sparta: Control,
    camera: Worker,
}

impl Cluster {
    async fn start(relay: SocketAddr, number: u32, name: &'static str) -> Result<Self, Box<dyn Error>> {
        let mut environment = Environment::real()?;
        environment.network = Arc::new(Tunnel { relay, cluster: number });
        let secret = Secret::generate(&SystemEntropy::new());
        let control = |id: &str, listen: &str, peers: StaticPeers| {
            let builder = Control::builder(name, &secret).id(id).listen(listen).discover(peers);
            builder.expected_controls(2).environment(environment.clone()).start()
        };
        let athens = control("athens", ATHENS, SPARTA.parse()?).await?;
        let sparta = control("sparta", SPARTA, ATHENS.parse()?).await?;
        let camera = Worker::builder(name, secret.worker_credential())
            .id("camera")
            .listen(CAMERA)
            .discover(format!("{ATHENS},{SPARTA}").parse::<StaticPeers>()?)
            .environment(environment)
            .job::<Camera>(Lens(name))
            .start()
            .await?;
        timeout(PATIENCE, camera.wait_for(NodeStatus::Ready)).await?;
        Ok(Self { athens, sparta, camera })
    }

    async fn shutdown(self) {
        self.camera.shutdown().await;
        self.sparta.shutdown().await;
        self.athens.shutdown().await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("warn").init();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    let relay = Relay::default();
    tokio::spawn(relay.clone().serve(listener));
    println!("the relay is at {at}, over TCP");

    let mut clusters = Vec::new();
    for (number, name) in CLUSTERS {
        let cluster = Cluster::start(at, number, name).await?;
        // Both are asked, so that one of them has to ask the other one.
        for control in [&cluster.athens, &cluster.sparta] {
            let picture = control.worker(cluster.camera.id()).request::<Camera>(()).await?;
            assert_eq!(picture, format!("a picture of the {name} by camera"), "the clusters are apart");
            println!("{name}: {} at {} has got {picture}", control.id(), control.local_addr());
        }
        clusters.push(cluster);
    }
    for cluster in clusters {
        cluster.shutdown().await;
    }

    println!("\nwhat has travelled by the relay:");
    for ((number, from, to), (datagrams, bytes, lost)) in &relay.lock().travelled {
        println!(
            "  cluster {number}: {from:<15} -> {to:<15} {datagrams:>4} datagrams, {bytes:>6} bytes, {lost} lost"
        );
    }
    let carried = |number| relay.lock().travelled.keys().filter(|(of, ..)| *of == number).count();
    assert!(CLUSTERS.iter().all(|(number, _)| carried(*number) >= 4), "nothing went another way");
    Ok(())
}
