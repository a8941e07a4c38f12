//! Somebody in the middle, with a TLS session to each of two honest nodes, who passes on every message untouched. Both
//! proofs are genuine; each is bound to another session.

use phalanx_transport::{EndpointConfig, HandshakeError, Secret, SystemEntropy};

use crate::raw::{Raw, Speaker};
use crate::victim::Victim;

/// Passes messages both ways until one side ends.
async fn relay(mut a: Speaker, mut b: Speaker) -> usize {
    let mut passed = 0;
    // The order of the handshake: two messages from the dialler, each answered.
    while let Some(message) = a.hear().await {
        b.say(&message).await;
        passed += 1;
        let Some(answer) = b.hear().await else { break };
        a.say(&answer).await;
        passed += 1;
    }
    passed
}

#[tokio::test]
async fn proofs_do_not_pass_through_a_relay() {
    let secret = Secret::generate(&SystemEntropy::new());
    let dialler = Victim::named("dialler", &secret, EndpointConfig::default());
    let listener = Victim::named("listener", &secret, EndpointConfig::default());
    let middle = Raw::new();
    let attack = async {
        let to_listener = middle.dial(listener.address()).await;
        relay(middle.accept().await, to_listener).await
    };
    let both = async { tokio::join!(dialler.dial_fails(middle.address()), attack) };
    let (_error, passed) = listener.while_listening(both).await;
    assert_eq!(passed, 3, "two hellos and the dialler's proof");
    while listener.heard() == 0 {
        listener.while_listening(tokio::task::yield_now()).await;
    }
    listener.is_untouched();
    assert_eq!(listener.heard_errors(), [HandshakeError::WrongSecret]);
}
