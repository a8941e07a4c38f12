//! Hints, true and forged, on real sockets behind a network that can be told to lie and to swallow.

use phalanx_base::{Boot, Generation, Lane, NodeId, Role};
use tokio::time::timeout;

use super::table::QUIET_TIME;
use super::*;
use crate::liar::Liar;
use crate::network::Network;
use crate::{
    AdmitAll, DialError, Endpoint, EndpointConfig, FrameCaps, Link, LinkLost, LocalNode, Seams, Secret,
    StreamError, SystemEntropy, TokioNetwork,
};

const SOON: Duration = Duration::from_secs(8);

fn bind(name: &str, secret: &Secret, network: &dyn Network) -> Endpoint {
    let boot = Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(1) };
    let local = LocalNode { cluster: "media".into(), boot, role: Role::Control };
    let seams = Seams { network, ..Seams::real() };
    let (config, here) = (EndpointConfig::default(), "127.0.0.1:0".parse().unwrap());
    Endpoint::bind(config, local, secret.into(), here, &seams, Arc::new(AdmitAll)).unwrap()
}

/// A node whose network lies, its link to another one, and that one.
struct Scene {
    liar: Liar,
    link: Link,
    peer: Endpoint,
    _node: Endpoint,
    accepted: Link,
}

impl Scene {
    async fn new() -> Self {
        let (liar, secret) = (Liar::new(), Secret::generate(&SystemEntropy::new()));
        let (node, peer) = (bind("a", &secret, &liar), bind("b", &secret, &TokioNetwork));
        let (link, accepted) = tokio::join!(node.dial(peer.local_addr()), peer.accept());
        Self { liar, link: link.unwrap(), peer, _node: node, accepted: accepted.unwrap() }
    }

    fn pings(&self) -> u64 {
        self.link.connection().stats().frame_tx.datagram
    }
}

/// Waits for something that happens soon.
async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.expect("it did not happen in time");
}

#[tokio::test]
async fn a_forged_hint_costs_a_ping_and_nothing_else() {
    let scene = Scene::new().await;
    let acknowledged = scene.link.connection().stats().frame_rx.acks;
    for _ in 0..500 {
        scene.liar.say_dead(scene.peer.local_addr());
    }
    until(|| scene.link.connection().stats().frame_rx.acks > acknowledged).await;
    // Longer than a verdict takes: none comes.
    assert!(timeout(Duration::from_millis(900), scene.link.closed()).await.is_err());
    assert!((1..=2).contains(&scene.pings()), "{} pings", scene.pings());
    // The user of the peer has seen nothing of it.
    scene.link.send_datagram("gossip".into()).unwrap();
    assert_eq!(timeout(SOON, scene.accepted.recv_datagram()).await.unwrap().unwrap(), "gossip");
}

#[tokio::test]
async fn an_answered_hint_is_quiet_for_a_while_and_heard_again_later() {
    let scene = Scene::new().await;
    scene.liar.say_dead(scene.peer.local_addr());
    until(|| scene.pings() == 1).await;
    tokio::time::sleep(PING_TIME + QUIET_TIME).await;
    scene.liar.say_dead(scene.peer.local_addr());
    until(|| scene.pings() == 2).await;
    assert!(!scene.link.is_closed());
}

/// How long a probe of a live peer takes.
const PING_TIME: Duration = probe::PING_INTERVAL_MIN;

#[tokio::test]
async fn a_hint_and_silence_end_the_link_for_everything_on_it() {
    static CAPS: FrameCaps = FrameCaps::new().with(1, 9);
    let scene = Scene::new().await;
    let (mut sender, mut receiver) = scene.link.open(Lane::Request).await.unwrap();
    scene.liar.mute();
    scene.liar.say_dead(scene.peer.local_addr());
    let link = &scene.link;
    let all =
        async { tokio::join!(link.closed(), link.accept(), link.recv_datagram(), receiver.next(&CAPS)) };
    let (closed, accepted, datagram, frame) = timeout(SOON, all).await.expect("the link is lost in time");
    let gone = LinkLost::ProcessGone;
    assert_eq!((closed, accepted.unwrap_err()), (gone.clone(), gone.clone()));
    assert_eq!((datagram, frame), (Err(gone.clone()), Err(StreamError::Link(gone.clone()))));
    assert_eq!(sender.send(1, "x").await, Err(StreamError::Link(gone.clone())));
    assert_eq!(scene.link.open(Lane::Bulk).await.unwrap_err(), gone);
    assert_eq!(scene.link.close_reason(), Some(gone));
}

#[tokio::test]
async fn silence_without_a_hint_and_hints_of_others_end_nothing() {
    let scene = Scene::new().await;
    scene.liar.mute();
    scene.liar.say_dead("127.0.0.1:9".parse().unwrap());
    assert!(timeout(Duration::from_millis(1200), scene.link.closed()).await.is_err());
    assert_eq!(scene.pings(), 0);
}

#[tokio::test]
async fn a_dial_to_a_dead_port_fails_fast_and_a_forged_burst_fails_none() {
    let secret = Secret::generate(&SystemEntropy::new());
    let node = bind("a", &secret, &TokioNetwork);
    let dead = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = node.dial(dead).await.unwrap_err();
    assert!(matches!(error, DialError::Unreachable { address, .. } if address == dead), "{error}");
    assert_eq!(node.evidence().table().lengths(), (0, 0), "nothing remains of it");

    let (liar, peer) = (Liar::new(), bind("b", &secret, &TokioNetwork));
    let forged = bind("c", &secret, &liar);
    let burst = async {
        for _ in 0..100 {
            liar.say_dead(peer.local_addr());
            tokio::task::yield_now().await;
        }
    };
    let (dialled, accepted, ()) = tokio::join!(forged.dial(peer.local_addr()), peer.accept(), burst);
    assert!(dialled.is_ok() && accepted.is_some());
}
