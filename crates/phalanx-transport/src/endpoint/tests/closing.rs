//! Ends that lose nothing, and leave nothing behind.

use super::*;
use crate::liar::Liar;

/// A node behind a network that can fall silent, its link to another one, and a stream of it in use.
struct Scene {
    liar: Liar,
    link: Link,
    sender: FrameSender,
    _held: (Endpoint, Endpoint, Link),
}

async fn scene() -> Scene {
    let (liar, secret) = (Liar::new(), secret());
    let prover = prover(local("media", "a", Role::Control), &secret, Arc::new(AdmitAll));
    let seams = Seams { network: &liar, ..Seams::real() };
    let a = Endpoint::bind_unchecked(EndpointConfig::default(), prover, here(), &seams).unwrap();
    let b = bind(local("media", "b", Role::Control), &secret);
    let (dialled, accepted) = tokio::join!(a.dial(b.local_addr()), b.accept());
    let link = dialled.unwrap();
    let (sender, _receiver) = link.open(Lane::Bulk).await.unwrap();
    Scene { liar, link, sender, _held: (a, b, accepted.unwrap()) }
}

/// Nobody says that anything has arrived: the flush is cut in time.
#[tokio::test]
async fn a_flush_ends_in_time() {
    let Scene { liar, link, mut sender, _held } = scene().await;
    liar.mute();
    sender.send(1, "unheard").await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(!link.close_flushed(CloseReason::Shutdown, Duration::from_millis(200)).await);
    assert!((Duration::from_millis(200)..Duration::from_secs(8)).contains(&began.elapsed()));
    assert_eq!(link.close_reason(), Some(LinkLost::ClosedHere(CloseReason::Shutdown)));
}

#[tokio::test]
async fn a_flush_that_is_given_up_closes_at_once() {
    let Scene { liar, link, mut sender, _held } = scene().await;
    liar.mute();
    sender.send(1, "unheard").await.unwrap();
    tokio::select! {
        biased;
        _ = link.close_flushed(CloseReason::Duplicate, Duration::from_secs(60)) => panic!("nobody answers"),
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(link.close_reason(), Some(LinkLost::ClosedHere(CloseReason::Duplicate)));
}

/// A node stops with work in its streams, and its port is free for the next one while this one's handles still live.
#[tokio::test]
async fn an_endpoint_that_closes_flushes_every_link_and_frees_its_port() {
    static CAPS: FrameCaps = FrameCaps::new().with(1, 1_000_000);
    let secret = secret();
    let a = bind(local("media", "a", Role::Control), &secret);
    let mut held = Vec::new();
    for name in ["b", "c", "d"] {
        let peer = bind(local("media", name, Role::Control), &secret);
        let (dialled, accepted) = tokio::join!(a.dial(peer.local_addr()), peer.accept());
        let (link, at_peer) = (dialled.unwrap(), accepted.unwrap());
        let (mut sender, receiver) = link.open(Lane::Event).await.unwrap();
        sender.send(1, vec![3; 500_000]).await.unwrap();
        let (_, _reply, asked) = at_peer.accept().await.unwrap();
        held.push((link, sender, receiver, peer, at_peer, asked));
    }
    assert!(a.close_flushed(CloseReason::Shutdown, Duration::from_secs(20)).await);
    assert_eq!(a.dial(here()).await.unwrap_err(), DialError::Closed);
    for (link, .., asked) in &mut held {
        assert_eq!(link.close_reason(), Some(LinkLost::ClosedHere(CloseReason::Shutdown)));
        let frame = asked.next(&CAPS).await.unwrap().unwrap();
        assert_eq!(frame.body.len(), 500_000);
    }
    a.wait_idle().await;
    let again = std::net::UdpSocket::bind(a.local_addr());
    assert!(again.is_ok(), "{again:?}");
}
