//! What a stranger may take of a node before its proof: time, bytes, places.

use std::net::SocketAddr;
use std::time::Duration;

use phalanx_transport::{
    DialError, End, EndpointConfig, HandshakeError, MESSAGE_BYTES_MAX, Secret, Step, SystemEntropy,
};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::raw::Raw;
use crate::victim::{SOON, Victim, local};

/// The real limit is 3 s; the same code with a shorter one.
const SHORT: Duration = Duration::from_millis(300);

fn short() -> EndpointConfig {
    EndpointConfig { handshake_timeout: SHORT, ..EndpointConfig::default() }
}

#[test]
fn the_limits_are_what_the_front_page_says() {
    let config = EndpointConfig::default();
    assert_eq!(config.handshake_timeout, Duration::from_secs(3));
    assert_eq!((config.half_open_max, config.half_open_unchecked_max), (256, 128));
    assert_eq!(MESSAGE_BYTES_MAX, 4096);
}

/// No stream; a stream without a byte; half a length; half a hello; a hello and no proof.
#[tokio::test]
async fn a_dialler_that_stalls_at_any_step_is_cut_in_time() {
    for step in 0..5 {
        let (victim, raw) = (Victim::with(short()), Raw::new());
        let began = Instant::now();
        let mut speaker = victim.while_listening(raw.dial(victim.address())).await;
        let hello = speaker.honest(End::Dialler, &local("staller"), &victim.secret).poll_transmit().unwrap();
        match step {
            0 => {}
            1 => speaker.send.write_all(&[]).await.unwrap(),
            2 => speaker.send.write_all(&[9]).await.unwrap(),
            3 => speaker.send.write_all(&[hello.len() as u8, 0, hello[0], hello[1]]).await.unwrap(),
            _ => speaker.say(&hello).await,
        }
        assert_eq!(victim.refuses(&speaker).await, HandshakeError::TimedOut, "step {step}");
        let took = began.elapsed();
        assert!(took >= SHORT && took < 10 * SHORT, "step {step}: {took:?}");
    }
}

/// Nothing at all; a hello and no proof; a proof and no verdict.
#[tokio::test]
async fn a_listener_that_stalls_at_any_step_is_given_up_in_time() {
    for honest_messages in 0..3 {
        let (victim, raw) = (Victim::with(short()), Raw::new());
        let listen = async {
            let mut speaker = raw.accept().await;
            let mut honest = speaker.honest(End::Acceptor, &local("staller"), &victim.secret);
            for _ in 0..honest_messages {
                honest.handle_message(&speaker.hear().await.unwrap());
                let _ = honest.poll_event();
                honest.handle_admission(Ok(()));
                speaker.say(&honest.poll_transmit().unwrap()).await;
            }
            speaker.connection.closed().await
        };
        let began = Instant::now();
        let (error, _) = tokio::join!(victim.dial_fails(raw.address()), listen);
        assert_eq!(error, DialError::TimedOut, "after {honest_messages} messages");
        assert!(began.elapsed() < EndpointConfig::default().dial_timeout);
    }
}

/// One byte too many is refused by its length alone: not one byte of the message is sent. The longest is read.
#[tokio::test]
async fn a_message_above_its_cap_is_refused_unread() {
    let malformed = HandshakeError::Malformed { expected: Step::Hello };
    for length in [MESSAGE_BYTES_MAX + 1, u16::MAX.into()] {
        let (victim, raw) = (Victim::new(), Raw::new());
        let mut speaker = victim.while_listening(raw.dial(victim.address())).await;
        speaker.send.write_all(&(length as u16).to_le_bytes()).await.unwrap();
        assert_eq!(victim.refuses(&speaker).await, malformed, "{length}");
    }
    // A later version may say more in its hello, up to the cap.
    let (victim, raw) = (Victim::new(), Raw::new());
    let mut speaker = victim.while_listening(raw.dial(victim.address())).await;
    let mut hello = speaker.honest(End::Dialler, &local("later"), &victim.secret).poll_transmit().unwrap();
    hello.resize(MESSAGE_BYTES_MAX, 0);
    let answer = victim.while_listening(async {
        speaker.say(&hello).await;
        speaker.hear().await
    });
    assert!(answer.await.is_some(), "it is answered by a hello");
}

/// Carries one packet to a node, and nothing back: whoever dials through it takes a place once, and never gets to TLS. Says
/// when the packet is on its way. The port stays taken, so that nobody else answers at it.
async fn one_packet(to: SocketAddr) -> (SocketAddr, oneshot::Receiver<()>) {
    let here = "127.0.0.1:0";
    let (entry, exit) = (UdpSocket::bind(here).await.unwrap(), UdpSocket::bind(here).await.unwrap());
    let address = entry.local_addr().unwrap();
    let (first, carried) = oneshot::channel();
    tokio::spawn(async move {
        let mut packet = [0; 2048];
        let bytes = entry.recv(&mut packet).await.unwrap();
        exit.send_to(&packet[..bytes], to).await.unwrap();
        first.send(()).unwrap();
        while entry.recv(&mut packet).await.is_ok() {}
    });
    (address, carried)
}

/// Whoever does not even finish TLS has a place for as long as everybody else, and not longer.
#[tokio::test]
async fn a_dialler_that_never_gets_to_tls_gives_its_place_back() {
    let secret = Secret::generate(&SystemEntropy::new());
    // Long enough that two packets which are there together are judged together, however busy the machine is.
    let timeout = Duration::from_secs(2);
    let config = EndpointConfig { half_open_max: 1, handshake_timeout: timeout, ..EndpointConfig::default() };
    let victim = Victim::named("victim", &secret, config);
    let friend = Victim::named("friend", &secret, EndpointConfig::default());
    let (address, carried) = one_packet(victim.address()).await;
    let raw = Raw::new();
    let began = Instant::now();
    let friend_dials = async {
        carried.await.unwrap();
        let first = friend.endpoint.dial(victim.address()).await;
        assert_eq!(first.unwrap_err(), DialError::Busy, "the stranger was there before");
        loop {
            match friend.endpoint.dial(victim.address()).await {
                Ok(_) => return,
                Err(DialError::Busy) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let accept = async {
        let mut held = Vec::new();
        while let Some(link) = victim.endpoint.accept().await {
            held.push(link);
        }
    };
    tokio::select! {
        biased;
        outcome = raw.try_dial(address) => panic!("nothing comes back, and yet: {outcome:?}"),
        () = accept => panic!("the endpoint was closed"),
        () = friend_dials => {}
        () = tokio::time::sleep(SOON) => panic!("its place never came back"),
    }
    assert!(began.elapsed() >= timeout);
    assert_eq!(victim.heard(), 0, "a peer without TLS is not worth a word");
}

/// Strangers take all places, and the next one is sent away; when their time is over there is room again.
#[tokio::test]
async fn places_of_the_half_open_are_bounded_and_come_back() {
    let secret = Secret::generate(&SystemEntropy::new());
    let places = 5;
    let config = EndpointConfig {
        half_open_max: places,
        half_open_unchecked_max: 2,
        handshake_timeout: Duration::from_secs(1),
        ..EndpointConfig::default()
    };
    let (victim, raw) = (Victim::named("victim", &secret, config), Raw::new());
    let friend = Victim::named("friend", &secret, EndpointConfig::default());
    let mut strangers = Vec::new();
    for _ in 0..places {
        // From the third on each has to show its address first.
        strangers.push(victim.while_listening(raw.try_dial(victim.address())).await.unwrap());
    }
    let refused = victim.while_listening(friend.endpoint.dial(victim.address())).await;
    assert_eq!(refused.unwrap_err(), DialError::Busy);
    let all_cut = async {
        for stranger in &strangers {
            stranger.closed().await;
        }
    };
    victim.while_listening(all_cut).await;
    while victim.heard() < places {
        victim.while_listening(tokio::task::yield_now()).await;
    }
    victim.is_untouched();
    let (dialled, accepted) = tokio::join!(friend.endpoint.dial(victim.address()), victim.endpoint.accept());
    assert!(dialled.is_ok() && accepted.is_some());
}
