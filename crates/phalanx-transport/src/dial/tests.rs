//! Dials where UDP does not get through.

use super::*;
use crate::endpoint::{Endpoint, EndpointConfig};
use crate::liar::Liar;
use crate::{AdmitAll, CloseReason, LinkLost, LocalNode, Seams, Secret, SystemEntropy};
use phalanx_base::{Boot, Generation, NodeId, Role};

/// Two nodes whose UDP sockets swallow everything.
struct Scene {
    a: Endpoint,
    b: Endpoint,
    liar: Liar,
}

fn scene(config: EndpointConfig) -> Scene {
    let (secret, liar) = (Secret::generate(&SystemEntropy::new()), Liar::new());
    liar.mute();
    let bind = |name| {
        let boot = Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(1) };
        let local = LocalNode { cluster: "media".into(), boot, role: Role::Control };
        let (here, seams) = ("127.0.0.1:0".parse().unwrap(), Seams { network: &liar, ..Seams::real() });
        Endpoint::bind(config, local, (&secret).into(), here, &seams, Arc::new(AdmitAll)).unwrap()
    };
    Scene { a: bind("a"), b: bind("b"), liar }
}

impl Scene {
    /// Dials, and says how long it took.
    async fn dial(&self) -> (Result<Link, DialError>, Duration) {
        let begin = Instant::now();
        let dial = self.a.dial(self.b.local_addr());
        // Kept: a link that is dropped at once may be closed before the dialler has read the verdict.
        let mut accepted = Vec::new();
        let accept = async {
            while let Some(link) = self.b.accept().await {
                accepted.push(link);
            }
        };
        let outcome = tokio::select! {
            biased;
            outcome = dial => outcome,
            () = accept => unreachable!("it is not closed"),
        };
        (outcome, begin.elapsed())
    }
}

#[tokio::test]
async fn tls_gets_through_where_udp_is_blocked_and_comes_first_the_next_time() {
    let scene = scene(EndpointConfig::default());
    let (link, first) = scene.dial().await;
    assert_eq!(link.unwrap().transport(), Some(TransportKind::Tls));
    assert!(first >= HEAD_START, "QUIC had {first:?} for itself");
    let (link, second) = scene.dial().await;
    assert_eq!(link.unwrap().transport(), Some(TransportKind::Tls));
    assert!(second < HEAD_START, "it took {second:?} though TLS is known to get through");
    scene.liar.unmute();
    scene.a.dialler().proven(scene.b.local_addr(), TransportKind::Quic);
    let (link, _) = scene.dial().await;
    assert_eq!(link.unwrap().transport(), Some(TransportKind::Quic));
}

#[tokio::test]
async fn websocket_gets_through_where_nothing_else_does() {
    let scene = scene(EndpointConfig { listen_tls: false, ..EndpointConfig::default() });
    let (link, _) = scene.dial().await;
    assert_eq!(link.unwrap().transport(), Some(TransportKind::WebSocket));
}

#[tokio::test]
async fn nobody_who_listens_for_nothing_is_reached() {
    let config = EndpointConfig {
        listen_tls: false,
        listen_websocket: false,
        dial_timeout: Duration::from_secs(2),
        ..EndpointConfig::default()
    };
    let (error, _) = scene(config).dial().await;
    assert!(matches!(error, Err(DialError::Unreachable { .. } | DialError::TimedOut)), "{error:?}");
}

#[tokio::test]
async fn what_a_peer_says_ends_the_dial_over_each_transport() {
    let scene = scene(EndpointConfig::default());
    let address = scene.b.local_addr();
    let other = Scene { b: scene.b.clone(), ..self::scene(EndpointConfig::default()) };
    assert_eq!(other.dial().await.0.unwrap_err(), DialError::WrongSecret);
    let mut links = Vec::new();
    for transport in [TransportKind::Tls, TransportKind::WebSocket] {
        let dial = scene.a.dial_over(address, transport);
        let (link, accepted) = tokio::join!(dial, scene.b.accept());
        let (link, accepted) = (link.unwrap(), accepted.unwrap());
        assert_eq!((link.transport(), accepted.transport()), (Some(transport), Some(transport)));
        links.push((link, accepted));
    }
    assert!(scene.b.close_flushed(CloseReason::Shutdown, Duration::from_secs(5)).await);
    for (link, _) in links {
        assert_eq!(link.closed().await, LinkLost::ClosedByPeer(CloseReason::Shutdown));
    }
    scene.b.wait_idle().await;
    assert!(std::net::TcpListener::bind(address).is_ok(), "the port is free");
}

#[tokio::test]
async fn a_port_that_is_taken_for_tcp_is_an_error_that_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let boot = Boot { node: NodeId::new("a").unwrap(), generation: Generation::from_u64(1) };
    let local = LocalNode { cluster: "media".into(), boot, role: Role::Control };
    let secret = Secret::generate(&SystemEntropy::new());
    let here = taken.local_addr().unwrap();
    let bind = |config| {
        Endpoint::bind(config, local.clone(), (&secret).into(), here, &Seams::real(), Arc::new(AdmitAll))
    };
    let error = bind(EndpointConfig::default()).unwrap_err();
    assert!(error.to_string().contains("for TCP"), "{error}");
    let off = EndpointConfig { listen_tls: false, listen_websocket: false, ..EndpointConfig::default() };
    assert!(bind(off).is_ok());
}
