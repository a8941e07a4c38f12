//! Randomness from the seed: for the nodes, and for TLS, whose keys would else come from the operating system.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use phalanx_base::Entropy;
use phalanx_transport::TlsProvider;
use rustls::NamedGroup;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup,
};
use x25519_dalek::{PublicKey, StaticSecret};

/// A stream of random bytes of its own for each purpose, so that one more draw here changes nothing there.
pub(crate) fn stream(seed: u64, purpose: &str) -> fastrand::Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(purpose.as_bytes());
    let hash = hasher.finalize();
    let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash is longer than eight bytes");
    fastrand::Rng::with_seed(u64::from_le_bytes(*first))
}

/// A node's source of randomness.
pub(crate) struct SeededEntropy(Mutex<fastrand::Rng>);

impl SeededEntropy {
    pub(crate) fn new(random: fastrand::Rng) -> Self {
        Self(Mutex::new(random))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}

thread_local! {
    // TLS wants its sources for ever, and a simulation has one thread: so there is one for all of its nodes.
    static TLS_RANDOM: RefCell<fastrand::Rng> = const { RefCell::new(fastrand::Rng::with_seed(0)) };
}

fn draw(bytes: &mut [u8]) {
    TLS_RANDOM.with_borrow_mut(|random| random.fill(bytes));
}

/// The cryptography of a simulation that begins now on this thread: ring's ciphers and signatures, with keys from the seed.
pub(crate) fn tls(seed: u64) -> TlsProvider {
    TLS_RANDOM.set(stream(seed, "tls"));
    let ring = rustls::crypto::ring::default_provider();
    TlsProvider::new(CryptoProvider { secure_random: &Seeded, kx_groups: vec![&Seeded], ..ring })
}

#[derive(Debug)]
struct Seeded;

impl SecureRandom for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        draw(bytes);
        Ok(())
    }
}

impl SupportedKxGroup for Seeded {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        let mut key = [0; 32];
        draw(&mut key);
        let secret = StaticSecret::from(key);
        Ok(Box::new(Exchange { public: PublicKey::from(&secret), secret }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// A key exchange by X25519 (RFC 7748).
struct Exchange {
    secret: StaticSecret,
    public: PublicKey,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, rustls::Error> {
        let peer: [u8; 32] = peer.try_into().map_err(|_| rustls::PeerMisbehaved::InvalidKeyShare)?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer));
        Ok(SharedSecret::from(&shared.as_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}
