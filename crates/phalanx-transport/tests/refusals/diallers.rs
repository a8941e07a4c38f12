//! Attackers that dial: whatever they say in whatever order, the listening node refuses them.

use phalanx_transport::{End, Handshake, HandshakeError, Step, WireRange};

use crate::raw::{ADMITTED, HELLO, PROOF, Raw, Speaker, VERDICT};
use crate::victim::{Victim, local};

/// How far an attacker goes as an honest dialler would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    Nothing,
    /// The hellos are exchanged.
    Hello,
}

/// A dialler that has been honest so far, and has the secret: only what comes next is wrong. Returns the victim's hello
/// and the proof that would be right.
async fn begin(speaker: &mut Speaker, victim: &Victim, begun: Begun) -> (Handshake, Vec<u8>, Vec<u8>) {
    let mut honest = speaker.honest(End::Dialler, &local("attacker"), &victim.secret);
    if begun == Begun::Nothing {
        return (honest, Vec::new(), Vec::new());
    }
    let hello = honest.poll_transmit().unwrap();
    let theirs = victim
        .while_listening(async {
            speaker.say(&hello).await;
            speaker.hear().await.unwrap()
        })
        .await;
    honest.handle_message(&theirs);
    let proof = honest.poll_transmit().unwrap();
    (honest, theirs, proof)
}

async fn attack(begun: Begun, message: impl Fn(&Handshake, &[u8], &[u8]) -> Vec<u8>) -> HandshakeError {
    let (victim, raw) = (Victim::new(), Raw::new());
    let mut speaker = victim.while_listening(raw.dial(victim.address())).await;
    let (honest, hello, proof) = begin(&mut speaker, &victim, begun).await;
    speaker.say(&message(&honest, &hello, &proof)).await;
    victim.refuses(&speaker).await
}

fn out_of_order(expected: Step, found: Step) -> HandshakeError {
    HandshakeError::OutOfOrder { expected, found }
}

#[tokio::test]
async fn every_wrong_first_message() {
    let due = Step::Hello;
    let zeros = |tag: u8| [vec![tag], vec![0; 64]].concat();
    assert_eq!(attack(Begun::Nothing, |_, _, _| zeros(PROOF)).await, out_of_order(due, Step::Proof));
    assert_eq!(attack(Begun::Nothing, |_, _, _| ADMITTED.to_vec()).await, out_of_order(due, Step::Verdict));
    for garbage in [vec![], vec![HELLO], vec![0], vec![0xff; 300], [vec![HELLO], vec![0xff; 80]].concat()] {
        let error = attack(Begun::Nothing, |_, _, _| garbage.clone()).await;
        assert_eq!(error, HandshakeError::Malformed { expected: due }, "{garbage:?}");
    }
}

#[tokio::test]
async fn every_wrong_second_message() {
    let due = Step::Proof;
    let own_hello = |victim_hello: &[u8]| victim_hello.to_vec();
    // The victim's own hello back to it, or any other hello a second time.
    assert_eq!(attack(Begun::Hello, |_, theirs, _| own_hello(theirs)).await, out_of_order(due, Step::Hello));
    assert_eq!(attack(Begun::Hello, |_, _, _| ADMITTED.to_vec()).await, out_of_order(due, Step::Verdict));
    for garbage in [vec![], vec![PROOF], [vec![PROOF], vec![0; 63]].concat(), vec![0xee; 65]] {
        let error = attack(Begun::Hello, |_, _, _| garbage.clone()).await;
        assert_eq!(error, HandshakeError::Malformed { expected: due }, "{garbage:?}");
    }
}

#[tokio::test]
async fn proofs_that_prove_nothing() {
    let noise = [vec![PROOF], vec![7; 64]].concat();
    assert_eq!(attack(Begun::Hello, |_, _, _| noise.clone()).await, HandshakeError::WrongSecret);
    // The right proof with one bit changed.
    let changed = |_: &Handshake, _: &[u8], proof: &[u8]| {
        let mut proof = proof.to_vec();
        proof[40] ^= 1;
        proof
    };
    assert_eq!(attack(Begun::Hello, changed).await, HandshakeError::WrongSecret);
}

/// The proof of an earlier connection of the same honest node to the same victim, with the same hello.
#[tokio::test]
async fn a_recorded_proof_is_worth_nothing_later() {
    let (victim, raw) = (Victim::new(), Raw::new());
    let mut first = victim.while_listening(raw.dial(victim.address())).await;
    let (_, _, recorded) = begin(&mut first, &victim, Begun::Hello).await;
    let mut second = victim.while_listening(raw.dial(victim.address())).await;
    begin(&mut second, &victim, Begun::Hello).await;
    second.say(&recorded).await;
    assert_eq!(victim.refuses(&second).await, HandshakeError::WrongSecret);
}

#[tokio::test]
async fn a_version_that_nobody_speaks() {
    let (victim, raw) = (Victim::new(), Raw::new());
    let mut speaker = victim.while_listening(raw.dial(victim.address())).await;
    let mut hello = speaker.honest(End::Dialler, &local("attacker"), &victim.secret).poll_transmit().unwrap();
    // The range of versions is what a hello begins with.
    (hello[1], hello[2]) = (7, 9);
    speaker.say(&hello).await;
    let theirs = WireRange { min: 7, max: 9 };
    let error = HandshakeError::Version { ours: WireRange::SUPPORTED, theirs };
    assert_eq!(victim.refuses(&speaker).await, error);
}

/// The victim's own name and boot, as if it had dialled itself.
#[tokio::test]
async fn a_dialler_that_says_to_be_the_victim_itself() {
    let (victim, raw) = (Victim::new(), Raw::new());
    let mut speaker = victim.while_listening(raw.dial(victim.address())).await;
    let hello = speaker.honest(End::Dialler, &local("victim"), &victim.secret).poll_transmit().unwrap();
    speaker.say(&hello).await;
    assert_eq!(victim.refuses(&speaker).await, HandshakeError::Myself);
}

/// Somebody who speaks TLS but not our protocol does not even get a stream.
#[tokio::test]
async fn another_application_protocol() {
    let (victim, raw) = (Victim::new(), Raw::speaking(b"h3"));
    let outcome = victim.while_listening(raw.try_dial(victim.address())).await;
    assert!(outcome.is_err());
    assert_eq!(victim.heard(), 0, "a scanner is not worth a word");
}

/// What comes after the verdict on the handshake's stream is never read, and harms nobody.
#[tokio::test]
async fn messages_after_the_end_change_nothing() {
    let (victim, raw) = (Victim::new(), Raw::new());
    let attack = async {
        let mut speaker = raw.dial(victim.address()).await;
        let honest = speaker.honest(End::Dialler, &local("peer"), &victim.secret);
        speaker.prove(honest).await;
        for late in [&[VERDICT, 1, 1][..], ADMITTED, &[HELLO]] {
            speaker.say(late).await;
        }
        speaker
    };
    let (speaker, link) = tokio::join!(attack, victim.endpoint.accept());
    let link = link.unwrap();
    assert_eq!(link.peer().boot, local("peer").boot);
    let _stream = link.open(phalanx_base::Lane::Control).await.unwrap();
    assert!(!link.is_closed() && speaker.connection.close_reason().is_none());
}
