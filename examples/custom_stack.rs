//! Membership and placement without the facade: four control nodes gossip over plain UDP sockets, each computes who owns
//! which worker, and when one of them is killed the ring moves no more than it must.
//!
//! ```text
//! cargo run -p examples --bin custom_stack
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use phalanx_base::{Address, Boot, Generation, NodeId};
use phalanx_membership::driver::{DatagramSocket, Incoming, MembershipHandle, drive};
use phalanx_membership::{Channel, Config, LocalMember, Membership};
use phalanx_placement::{Placement, Plan};
use serde::{Deserialize, Serialize};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

const CONTROLS: [&str; 4] = ["anna", "bela", "cleo", "dora"];
const WORKERS: [&str; 6] = ["camera-1", "camera-2", "camera-3", "lathe", "printer", "robot"];

/// The largest packet that UDP can carry.
const PACKET_BYTES_MAX: usize = 65_507;

/// How long the program waits for the cluster to agree.
const PATIENCE: Duration = Duration::from_secs(60);

/// What goes over the wire.
#[derive(Serialize, Deserialize)]
enum Packet {
    /// The sender is this boot; answered in kind where it was not known.
    Hello(Boot),
    Datagram(Bytes),
    /// Whole and in order by promise. On a loopback interface a UDP packet is; elsewhere this belongs on a stream.
    Sync(Bytes),
}

/// A UDP socket that knows its peers by their addresses. A real one would authenticate them. UDP has no links that can be
/// lost, so it never says `Incoming::Unreachable`: only the probes of membership find the dead.
struct Loopback {
    socket: UdpSocket,
    local: Boot,
    /// Changed when a hello comes, read for each packet.
    peers: Mutex<BTreeMap<NodeId, SocketAddr>>,
}

impl Loopback {
    fn peers(&self) -> MutexGuard<'_, BTreeMap<NodeId, SocketAddr>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As well as it can: what the socket does not take is dropped, as a datagram may be.
    fn send_packet(&self, to: SocketAddr, packet: &Packet) {
        if let Ok(bytes) = postcard::to_stdvec(packet) {
            let _ = self.socket.try_send_to(&bytes, to);
        }
    }

    /// Makes sense of a packet; `None` where it says nothing to membership.
    fn take_in(&self, sender: SocketAddr, packet: &[u8]) -> Option<Incoming> {
        let known = self.peers().iter().find(|(_, at)| **at == sender).map(|(node, _)| node.clone());
        match (postcard::from_bytes(packet).ok()?, known) {
            (Packet::Hello(peer), None) => {
                self.peers().insert(peer.node.clone(), sender);
                self.send_packet(sender, &Packet::Hello(self.local.clone()));
                Some(Incoming::Reachable { peer, address: Some(sender.into()) })
            }
            (Packet::Datagram(bytes), Some(from)) => Some(Incoming::Datagram { from, bytes }),
            (Packet::Sync(bytes), Some(from)) => Some(Incoming::Sync { from, bytes }),
            _ => None,
        }
    }
}

impl DatagramSocket for Loopback {
    fn send(&self, to: &NodeId, channel: Channel, payload: Bytes) {
        let Some(at) = self.peers().get(to).copied() else { return };
        self.send_packet(
            at,
            &match channel {
                Channel::Datagram => Packet::Datagram(payload),
                Channel::Sync => Packet::Sync(payload),
            },
        );
    }

    async fn recv(&self) -> Option<Incoming> {
        let mut packet = vec![0; PACKET_BYTES_MAX];
        loop {
            let (length, sender) = self.socket.recv_from(&mut packet).await.ok()?;
            if let Some(incoming) = self.take_in(sender, &packet[..length]) {
                return Some(incoming);
            }
        }
    }
}

/// A running control node.
struct Node {
    name: NodeId,
    address: SocketAddr,
    membership: MembershipHandle,
    driver: JoinHandle<()>,
}

impl Node {
    /// Starts a control node that says hello to those that are there.
    async fn start(name: &str, seed: u64, others: &[Node]) -> Result<Self, Box<dyn Error>> {
        let boot = Boot { node: name.parse()?, generation: Generation::from_u64(1) };
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let local = LocalMember::new(boot.clone(), Address::from(address).into());
        let config = Config { gone_after: Duration::from_secs(2), ..Config::local() };
        let core = Membership::new(config, local, seed, Instant::now().into_std())?;
        let socket = Loopback { socket, local: boot.clone(), peers: Mutex::default() };
        socket.socket.writable().await?;
        for other in others {
            socket.send_packet(other.address, &Packet::Hello(boot.clone()));
        }
        let (membership, driver) = drive(core, socket);
        let driver = tokio::spawn(driver);
        membership.activate().await?;
        Ok(Self { name: boot.node, address, membership, driver })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("warn").init();
    let mut nodes = Vec::new();
    for (seed, name) in (1..).zip(CONTROLS) {
        nodes.push(Node::start(name, seed, &nodes).await?);
    }
    let before = agreed(&nodes).await?;
    print(&before, &before)?;

    let killed = nodes.pop().ok_or("four are more than none")?;
    println!("\n{} is killed", killed.name);
    let start = Instant::now();
    killed.driver.abort();
    let after = agreed(&nodes).await?;
    println!("{:.1} s later the others have given it up\n", start.elapsed().as_secs_f64());
    print(&after, &before)?;

    let plan = Plan::between(&before, &after);
    let (moves, ideal) = (plan.moves().len(), plan.ideal());
    println!("\n{moves} partitions have moved; {ideal} were {}'s and had to", killed.name);
    assert_eq!(ideal, before.share(&killed.name), "what the killed node owned has to move");
    assert_eq!(plan.moved_from(&killed.name).count(), ideal, "all of it has moved");
    assert!(moves as f64 <= 1.15 * ideal as f64, "and hardly anything else");

    for node in nodes {
        node.membership.leave().await?;
        node.driver.await?;
    }
    Ok(())
}

/// Waits until each node sees these as owners, and no other, and prints whom it sees alive. Each computes the placement
/// for itself, and nobody asks anybody about it.
async fn agreed(nodes: &[Node]) -> Result<Placement, Box<dyn Error>> {
    let mut placements = Vec::new();
    for node in nodes {
        let mut view = node.membership.view();
        let agrees = view.wait_for(|view| view.roster.active().count() == nodes.len());
        let view = timeout(PATIENCE, agrees).await??;
        let alive = view.members.iter().filter(|member| member.liveness.is_alive());
        let alive: Vec<&str> = alive.map(|member| member.boot.node.as_str()).collect();
        println!("{} sees alive: {}", node.name, alive.join(", "));
        placements.push(Placement::compute(&view.roster));
    }
    let first = placements.pop().ok_or("there is no node to ask")?;
    let same = |other: &Placement| Plan::between(other, &first).is_empty();
    assert!(placements.iter().all(same), "equal rosters give equal owners");
    Ok(first)
}

/// Prints who owns what, and what of it somebody else owned before.
fn print(placement: &Placement, before: &Placement) -> Result<(), Box<dyn Error>> {
    for node in placement.owner_nodes() {
        println!("  {node:<5} owns {:>5} partitions", placement.share(node));
    }
    for name in WORKERS {
        let worker: NodeId = name.parse()?;
        let (Some(was), Some(is)) = (before.owner_of(&worker), placement.owner_of(&worker)) else { continue };
        let moved = if was.node == is.node { String::new() } else { format!(", before {}", was.node) };
        println!("  {name:<9} belongs to {}{moved}", is.node);
    }
    Ok(())
}
