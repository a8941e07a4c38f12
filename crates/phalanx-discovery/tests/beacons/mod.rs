//! What the tests of multicast share: clusters whose seals are real signatures, and nodes of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use phalanx_base::{Boot, ClusterSeal, Generation, SEAL_BYTES};
use phalanx_discovery::{Announcement, ClusterScope, DiscoverContext, DynDiscover, StrategyAddress};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The key of a cluster, as a control node or a worker holds it.
struct Seal {
    pair: Option<Ed25519KeyPair>,
    public: Vec<u8>,
}

impl ClusterSeal for Seal {
    fn seal(&self, message: &[u8]) -> Option<[u8; SEAL_BYTES]> {
        let signature = self.pair.as_ref()?.sign(message);
        signature.as_ref().try_into().ok()
    }

    fn is_sealed(&self, message: &[u8], seal: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, seal).is_ok()
    }
}

/// A cluster by its id and the seed of its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cluster {
    pub(crate) id: &'static str,
    pub(crate) seed: u8,
}

/// The cluster that most tests are about.
pub(crate) const OURS: Cluster = Cluster { id: "ours", seed: 1 };

impl Cluster {
    /// The context of a node with this cluster's secret, or with a worker's credential only.
    pub(crate) fn context(self, is_worker: bool) -> DiscoverContext {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[self.seed; 32]).expect("any 32 bytes are a seed");
        let public = pair.public_key().as_ref().to_vec();
        let pair = (!is_worker).then_some(pair);
        let scope = ClusterScope { id: self.id.to_owned(), seal: Arc::new(Seal { pair, public }) };
        DiscoverContext::system().with_cluster(scope)
    }
}

/// What a node says.
pub(crate) fn announcement(node: &str, addresses: &str) -> Announcement {
    let boot = Boot { node: node.parse().unwrap(), generation: Generation::from_u64(1) };
    Announcement { boot, addresses: addresses.parse().unwrap() }
}

/// A strategy from its text.
pub(crate) fn strategy(text: &str) -> DynDiscover {
    text.parse::<StrategyAddress>().and_then(StrategyAddress::strategy).expect(text)
}
