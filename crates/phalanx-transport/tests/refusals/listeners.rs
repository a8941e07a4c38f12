//! Attackers that listen: a node that dials them learns in time that they are none of its own.

use phalanx_transport::{DialError, End, Handshake, HandshakeError, Step};

use crate::raw::{ADMITTED, HELLO, PROOF, Raw, Speaker};
use crate::victim::{Victim, local};

/// What a listening attacker has of an honest handshake when it goes wrong.
struct Scene {
    speaker: Speaker,
    honest: Handshake,
    /// What the victim has said.
    hello: Vec<u8>,
    proof: Vec<u8>,
}

/// Plays an honest listener for so many messages, then says what the test wants, and keeps the connection.
async fn attack(honest_messages: usize, message: impl Fn(&mut Scene) -> Vec<u8>) -> DialError {
    let (victim, raw) = (Victim::new(), Raw::new());
    let listen = async {
        let mut speaker = raw.accept().await;
        let mut honest = speaker.honest(End::Acceptor, &local("attacker"), &victim.secret);
        let hello = speaker.hear().await.unwrap();
        honest.handle_message(&hello);
        let mut proof = Vec::new();
        if honest_messages > 0 {
            speaker.say(&honest.poll_transmit().unwrap()).await;
            proof = speaker.hear().await.unwrap();
            honest.handle_message(&proof);
        }
        let _ = honest.poll_event();
        honest.handle_admission(Ok(()));
        if honest_messages > 1 {
            speaker.say(&honest.poll_transmit().unwrap()).await;
        }
        let mut scene = Scene { speaker, honest, hello, proof };
        let wrong = message(&mut scene);
        scene.speaker.say(&wrong).await;
        scene.speaker.connection.closed().await;
    };
    let (error, ()) = tokio::join!(victim.dial_fails(raw.address()), listen);
    error
}

fn protocol(error: HandshakeError) -> DialError {
    DialError::Protocol(error)
}

fn out_of_order(expected: Step, found: Step) -> DialError {
    protocol(HandshakeError::OutOfOrder { expected, found })
}

#[tokio::test]
async fn every_wrong_first_message() {
    let noise = [vec![PROOF], vec![7; 64]].concat();
    assert_eq!(attack(0, |_| noise.clone()).await, out_of_order(Step::Hello, Step::Proof));
    assert_eq!(attack(0, |_| ADMITTED.to_vec()).await, out_of_order(Step::Hello, Step::Verdict));
    // The victim's own hello.
    assert_eq!(attack(0, |scene| scene.hello.clone()).await, DialError::Myself);
    for garbage in [vec![], vec![HELLO], vec![0xff; 200]] {
        let error = attack(0, |_| garbage.clone()).await;
        assert_eq!(error, protocol(HandshakeError::Malformed { expected: Step::Hello }), "{garbage:?}");
    }
}

#[tokio::test]
async fn every_wrong_second_message() {
    // A verdict before the proof must not be believed, whatever it says.
    for verdict in [ADMITTED, &[3, 1, 0, 9]] {
        let error = attack(1, |_| verdict.to_vec()).await;
        assert_eq!(error, out_of_order(Step::Proof, Step::Verdict));
    }
    assert_eq!(attack(1, |scene| scene.hello.clone()).await, out_of_order(Step::Proof, Step::Hello));
    // The victim's own proof back to it; noise; the right proof with one bit changed.
    assert_eq!(attack(1, |scene| scene.proof.clone()).await, DialError::WrongSecret);
    assert_eq!(attack(1, |_| [vec![PROOF], vec![7; 64]].concat()).await, DialError::WrongSecret);
    let changed = |scene: &mut Scene| {
        let mut proof = scene.honest.poll_transmit().unwrap();
        proof[64] ^= 0x80;
        proof
    };
    assert_eq!(attack(1, changed).await, DialError::WrongSecret);
}

#[tokio::test]
async fn every_wrong_third_message() {
    let due = Step::Verdict;
    assert_eq!(attack(2, |scene| scene.proof.clone()).await, out_of_order(due, Step::Proof));
    assert_eq!(attack(2, |scene| scene.hello.clone()).await, out_of_order(due, Step::Hello));
    for garbage in [vec![3], vec![3, 9], [ADMITTED, &[0]].concat()] {
        let error = attack(2, |_| garbage.clone()).await;
        assert_eq!(error, protocol(HandshakeError::Malformed { expected: due }), "{garbage:?}");
    }
}

#[tokio::test]
async fn another_application_protocol() {
    let (victim, raw) = (Victim::new(), Raw::speaking(b"h3"));
    let (error, accepted) = tokio::join!(victim.dial_fails(raw.address()), raw.try_accept());
    assert!(matches!(error, DialError::Lost(_)) && accepted.is_err(), "{error}");
}
