//! What a node proves itself with: the key pairs of the roles that it may take, and the public keys of both.

use std::fmt;
use std::sync::Arc;

use phalanx_base::{ClusterSeal, Role, SEAL_BYTES};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::cluster::{ClusterId, ClusterNameError, LocalNode};
use super::secret::{KEY_BYTES, Secret, WorkerCredential, expand, pair, public_key, reset_seed};

/// The length of a proof: a signature of Ed25519.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// The length of a key for stateless resets: a block of SHA-256, for HMAC.
const RESET_KEY_BYTES: usize = 64;
/// Sets those keys apart from all others.
const RESET_SALT: &[u8] = b"phalanx/1 stateless reset";
/// Sets sealed messages apart from the proofs of handshakes, which the same keys sign.
const SEAL_LABEL: &[u8] = b"phalanx/1 seal\0";

/// What a node proves itself with, made from a [`Secret`] or a [`WorkerCredential`]. Cheap to clone.
#[derive(Clone)]
pub struct Credential(Arc<Keys>);

struct Keys {
    control: Option<Ed25519KeyPair>,
    worker: Ed25519KeyPair,
    control_reset: Option<Zeroizing<[u8; KEY_BYTES]>>,
    worker_reset: Zeroizing<[u8; KEY_BYTES]>,
    control_public: [u8; KEY_BYTES],
    worker_public: [u8; KEY_BYTES],
}

impl Credential {
    /// Whether the holder can prove that it has this role.
    #[must_use]
    pub fn may_be(&self, role: Role) -> bool {
        match role {
            Role::Control | Role::Operator => self.0.control.is_some(),
            Role::Worker => true,
        }
    }

    /// Signs as a node of this role; `None` when the credential is not enough for it.
    pub(crate) fn sign(&self, role: Role, message: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
        let pair = match role {
            Role::Control | Role::Operator => self.0.control.as_ref()?,
            Role::Worker => &self.0.worker,
        };
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(pair.sign(message).as_ref());
        Some(signature)
    }

    /// Whether a signature was made by a holder of this role's key.
    pub(crate) fn verify(&self, role: Role, message: &[u8], signature: &[u8]) -> bool {
        let public = match role {
            Role::Control | Role::Operator => &self.0.control_public,
            Role::Worker => &self.0.worker_public,
        };
        UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
    }

    /// What seals beacons and their like for a cluster, and checks such seals.
    ///
    /// # Errors
    /// [`ClusterNameError`] says what is wrong with the name.
    pub fn seal(&self, cluster: &str) -> Result<Arc<dyn ClusterSeal>, ClusterNameError> {
        let id = ClusterId::derive(cluster, self)?;
        let context = [SEAL_LABEL, id.as_bytes()].concat();
        Ok(Arc::new(Seal { credential: self.clone(), context }))
    }

    /// The key with which a node says that it does not know a connection (RFC 9000, section 10.3.2). The same after each
    /// start of the node, so that a new process can end the links of the old one; another for each node, so that none
    /// can be made to say it for another.
    pub(crate) fn reset_key(&self, local: &LocalNode) -> Zeroizing<[u8; RESET_KEY_BYTES]> {
        let seed = match (local.role, &self.0.control_reset) {
            (Role::Control, Some(seed)) => seed,
            _ => &self.0.worker_reset,
        };
        let purpose = [local.cluster.as_bytes(), b"\0", local.boot.node.as_str().as_bytes()].concat();
        expand(RESET_SALT, seed.as_slice(), &purpose)
    }

    /// What the cluster's id is derived from.
    pub(crate) fn control_public(&self) -> &[u8; KEY_BYTES] {
        &self.0.control_public
    }

    /// A liar for tests: has the worker's keys only, and signs with them when asked to sign as a control node.
    #[cfg(test)]
    pub(crate) fn impostor(worker: &WorkerCredential) -> Self {
        let honest = Self::from(worker.clone());
        Self(Arc::new(Keys {
            control: Some(pair(&worker.seed)),
            worker: pair(&worker.seed),
            control_reset: None,
            worker_reset: reset_seed(&worker.seed),
            control_public: honest.0.control_public,
            worker_public: honest.0.worker_public,
        }))
    }
}

/// The control key as others may use it: for messages under a label of their own and this cluster's id.
struct Seal {
    credential: Credential,
    context: Vec<u8>,
}

impl ClusterSeal for Seal {
    fn seal(&self, message: &[u8]) -> Option<[u8; SEAL_BYTES]> {
        self.credential.sign(Role::Control, &[&self.context, message].concat())
    }

    fn is_sealed(&self, message: &[u8], seal: &[u8]) -> bool {
        self.credential.verify(Role::Control, &[&self.context, message].concat(), seal)
    }
}

impl From<&Secret> for Credential {
    fn from(secret: &Secret) -> Self {
        let (control_seed, worker_seed) = (secret.control_seed(), secret.worker_seed());
        let (control, worker) = (pair(&control_seed), pair(&worker_seed));
        let (control_public, worker_public) = (public_key(&control), public_key(&worker));
        Self(Arc::new(Keys {
            control: Some(control),
            worker,
            control_reset: Some(reset_seed(&control_seed)),
            worker_reset: reset_seed(&worker_seed),
            control_public,
            worker_public,
        }))
    }
}

impl From<Secret> for Credential {
    fn from(secret: Secret) -> Self {
        Self::from(&secret)
    }
}

impl From<WorkerCredential> for Credential {
    fn from(credential: WorkerCredential) -> Self {
        let worker = pair(&credential.seed);
        let worker_public = public_key(&worker);
        Self(Arc::new(Keys {
            control: None,
            worker,
            control_reset: None,
            worker_reset: reset_seed(&credential.seed),
            control_public: credential.control_public,
            worker_public,
        }))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.may_be(Role::Control) { "control and worker" } else { "worker" };
        write!(f, "Credential({kind})")
    }
}

#[cfg(test)]
mod tests {
    use phalanx_base::{Boot, Generation, NodeId};

    use super::*;
    use crate::SystemEntropy;

    #[test]
    fn a_worker_checks_seals_and_makes_none() {
        let secret = Secret::generate(&SystemEntropy::new());
        let whole = Credential::from(&secret);
        let worker = Credential::from(secret.worker_credential());
        let seal = whole.seal("media").unwrap().seal(b"m").unwrap();
        assert!(worker.seal("media").unwrap().is_sealed(b"m", &seal));
        assert!(!worker.seal("video").unwrap().is_sealed(b"m", &seal), "another cluster's");
        assert!(!worker.seal("media").unwrap().is_sealed(b"n", &seal));
        assert!(!whole.verify(Role::Control, b"m", &seal), "a seal is no proof");
        assert_eq!(worker.seal("media").unwrap().seal(b"m"), None);
        assert!(worker.seal("").is_err());
    }

    #[test]
    fn a_worker_credential_signs_as_worker_only_and_verifies_both() {
        let secret = Secret::generate(&SystemEntropy::new());
        let (whole, worker) = (Credential::from(&secret), Credential::from(secret.worker_credential()));
        assert!(whole.may_be(Role::Control) && whole.may_be(Role::Worker));
        assert!(!worker.may_be(Role::Control) && worker.may_be(Role::Worker));
        assert_eq!(worker.sign(Role::Control, b"m"), None);
        for role in [Role::Control, Role::Worker] {
            let signature = whole.sign(role, b"m").unwrap();
            assert!(worker.verify(role, b"m", &signature));
            assert!(!worker.verify(role, b"n", &signature));
        }
        let signature = worker.sign(Role::Worker, b"m").unwrap();
        assert!(whole.verify(Role::Worker, b"m", &signature));
        assert!(!whole.verify(Role::Control, b"m", &signature), "the two roles have different keys");
        let local = |name: &str, role| LocalNode {
            cluster: "media".into(),
            boot: Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(1) },
            role,
        };
        let key = whole.reset_key(&local("w", Role::Worker));
        assert_eq!(worker.reset_key(&local("w", Role::Worker)), key);
        assert_ne!(whole.reset_key(&local("v", Role::Worker)), key, "each node has its own");
        assert_ne!(whole.reset_key(&local("w", Role::Control)), key, "no worker can make a control node's");
        assert_eq!(format!("{whole:?} {worker:?}"), "Credential(control and worker) Credential(worker)");
    }
}
