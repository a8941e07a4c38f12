//! A peer whose process is killed: its host says so, and the link is lost long before silence would prove it. The peer
//! is this same program, started again.

// Helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use phalanx_base::{Boot, Generation, NodeId, Role};
use phalanx_transport::{
    AdmitAll, CloseReason, DialError, Endpoint, EndpointConfig, LinkLost, LocalNode, Seams, Secret,
    SystemEntropy,
};
use tokio::time::Instant;

/// Tells this program to be the peer, with the secret as its value.
const BE_THE_PEER: &str = "PHALANX_TEST_PEER_SECRET";
/// Sooner than silence would have ended the link. The front page promises two seconds; the figures are printed, since how
/// fast it is says something about a loaded machine too.
const LOST_WITHIN: Duration = Duration::from_secs(8);

/// So many links to one process: each is lost for itself.
const LINKS: usize = 20;

fn bind(name: &str, secret: &Secret, listen: &str) -> Endpoint {
    let boot = Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(1) };
    let local = LocalNode { cluster: "media".into(), boot, role: Role::Control };
    let (config, listen) = (EndpointConfig::default(), listen.parse().unwrap());
    Endpoint::bind(config, local, secret.into(), listen, &Seams::real(), Arc::new(AdmitAll)).unwrap()
}

/// The peer: says where it listens, and holds every link until it is killed. As an ordinary test it does nothing.
#[tokio::test]
async fn peer() {
    let Ok(secret) = std::env::var(BE_THE_PEER) else { return };
    let endpoint = bind("b", &secret.parse().unwrap(), "127.0.0.1:0");
    println!("\nlistening {}", endpoint.local_addr());
    std::io::stdout().flush().unwrap();
    let mut links = Vec::new();
    while let Some(link) = endpoint.accept().await {
        links.push(link);
    }
}

/// Killed at the latest when it is dropped.
struct Peer {
    child: Child,
    address: SocketAddr,
}

impl Peer {
    fn start(secret: &Secret) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["peer", "--exact", "--nocapture"])
            .env(BE_THE_PEER, secret.expose())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening ").and_then(|address| address.parse().ok()))
            .unwrap();
        Self { child, address }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test]
async fn a_killed_process_is_noticed_without_a_word_to_say() {
    let secret = Secret::generate(&SystemEntropy::new());
    let (node, mut peer) = (bind("a", &secret, "127.0.0.1:0"), Peer::start(&secret));
    let mut links = Vec::new();
    for _ in 0..LINKS {
        links.push(node.dial(peer.address).await.unwrap());
    }
    // Idle for a while, so that nothing is on its way that could tell.
    assert!(tokio::time::timeout(Duration::from_millis(1500), links[0].closed()).await.is_err());
    peer.kill();
    let killed = Instant::now();
    for link in &links {
        assert_eq!(link.closed().await, LinkLost::ProcessGone);
    }
    let took = killed.elapsed();
    println!("{LINKS} links lost {took:?} after the kill");
    assert!(took <= LOST_WITHIN, "{took:?}");
    // And who dials it is told at once.
    let dialled = Instant::now();
    let error = node.dial(peer.address).await.unwrap_err();
    println!("a dial failed after {:?}", dialled.elapsed());
    assert!(matches!(error, DialError::Unreachable { .. }), "{error}");
}

/// Nobody says that the port is dead, since it is not. The new process has the key of the old one for that.
#[tokio::test]
async fn a_process_that_starts_anew_on_the_same_port_ends_the_links_of_the_old_one() {
    let secret = Secret::generate(&SystemEntropy::new());
    let (node, mut peer) = (bind("a", &secret, "127.0.0.1:0"), Peer::start(&secret));
    let link = node.dial(peer.address).await.unwrap();
    peer.kill();
    let _anew = bind("b", &secret, &peer.address.to_string());
    let killed = Instant::now();
    let lost = link.closed().await;
    println!("lost {:?} after the restart", killed.elapsed());
    assert_eq!(lost, LinkLost::Reset);
    assert!(killed.elapsed() <= LOST_WITHIN, "{:?}", killed.elapsed());
    node.close(CloseReason::Shutdown);
}
