//! The real node that is under attack, and what it noticed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phalanx_base::{Boot, Generation, NodeId, Role};
use phalanx_transport::{
    Admit, DialError, Endpoint, EndpointConfig, HandshakeError, Link, LocalNode, Refusal, Seams, Secret,
    SystemEntropy,
};
use tokio::time::timeout;

use crate::raw::Speaker;

/// Long enough for a loaded machine, short enough to fail by.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Remembers whom it was asked about, and what it heard of.
#[derive(Debug, Default)]
pub(crate) struct Door {
    asked: Mutex<u32>,
    heard: Mutex<Vec<HandshakeError>>,
}

impl Admit for Door {
    fn admit(&self, _peer: &Boot, _role: Role) -> Result<(), Refusal> {
        *self.asked.lock().unwrap() += 1;
        Ok(())
    }
    fn refused(&self, _remote: SocketAddr, error: &HandshakeError) {
        self.heard.lock().unwrap().push(error.clone());
    }
}

pub(crate) struct Victim {
    pub(crate) endpoint: Endpoint,
    pub(crate) secret: Secret,
    pub(crate) door: Arc<Door>,
}

pub(crate) fn local(name: &str) -> LocalNode {
    let boot = Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(7) };
    LocalNode { cluster: "media".into(), boot, role: Role::Control }
}

impl Victim {
    pub(crate) fn new() -> Self {
        Self::with(EndpointConfig::default())
    }

    pub(crate) fn with(config: EndpointConfig) -> Self {
        Self::named("victim", &Secret::generate(&SystemEntropy::new()), config)
    }

    pub(crate) fn named(name: &str, secret: &Secret, config: EndpointConfig) -> Self {
        let (door, here) = (Arc::new(Door::default()), "127.0.0.1:0".parse().unwrap());
        let endpoint = Endpoint::bind(config, local(name), secret.into(), here, &Seams::real(), door.clone());
        Self { endpoint: endpoint.unwrap(), secret: secret.clone(), door }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }

    /// Listens while something goes on, and lets nobody in.
    pub(crate) async fn while_listening<T>(&self, work: impl Future<Output = T>) -> T {
        let listen = async {
            tokio::select! {
                biased;
                done = work => done,
                link = self.endpoint.accept() => panic!("let in: {link:?}"),
            }
        };
        timeout(SOON, listen).await.expect("nothing came to an end in time")
    }

    /// Listens until this connection is closed; what was heard then, and whether the stream that the attacker opened
    /// beside the handshake was ever granted.
    pub(crate) async fn refuses(&self, attacker: &Speaker) -> HandshakeError {
        let before = self.heard();
        let second = attacker.connection.open_bi();
        let closed = async {
            tokio::select! {
                biased;
                Ok(_) = second => panic!("a stranger got a second stream"),
                error = attacker.connection.closed() => error,
            }
        };
        self.while_listening(closed).await;
        // The peer may know of the close before the task that closed has said so.
        while self.heard() == before {
            self.while_listening(tokio::task::yield_now()).await;
        }
        self.is_untouched();
        let heard = self.door.heard.lock().unwrap();
        assert_eq!(heard.len(), before + 1, "{heard:?}");
        heard[before].clone()
    }

    /// Dials an attacker, which must not become a link.
    pub(crate) async fn dial_fails(&self, address: SocketAddr) -> DialError {
        let outcome: Result<Link, _> = timeout(SOON, self.endpoint.dial(address)).await.unwrap();
        self.is_untouched();
        outcome.expect_err("an attacker became a link")
    }

    pub(crate) fn heard(&self) -> usize {
        self.door.heard.lock().unwrap().len()
    }

    pub(crate) fn heard_errors(&self) -> Vec<HandshakeError> {
        self.door.heard.lock().unwrap().clone()
    }

    /// Nobody was asked about anybody.
    pub(crate) fn is_untouched(&self) {
        assert_eq!(*self.door.asked.lock().unwrap(), 0, "asked about somebody who is not proved");
    }
}
