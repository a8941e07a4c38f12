//! What a person hands to a node so that it is let in: the cluster secret, or the worker's half of it.
//!
//! HKDF (RFC 5869, SHA-256) makes two Ed25519 key pairs of the secret, one for each role. Whoever has the secret has
//! both; a worker may be given its own pair and the public key of the other only, so that a stolen worker cannot
//! pose as a control node. A key that both share could not prove that to another worker.

use std::fmt;
use std::str::FromStr;

use phalanx_base::Entropy;
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::password::{self, PasswordError};
use super::text::{self, SecretTextError};

/// The length of a seed and of a public key of Ed25519.
pub(crate) const KEY_BYTES: usize = 32;

/// What sets these keys apart from all others that might be derived from the same bytes.
const SALT: &[u8] = b"phalanx/1 cluster secret";

/// The cluster secret: 128 bits, random or made of a password. Whoever has it may be any node of the cluster, in either role.
///
/// Its text form ([`Secret::expose`], parsed by [`FromStr`]) has a prefix and a checksum. `Debug` shows nothing of
/// it, there is no `Display`, and its bytes are wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; Secret::BYTES]>);

impl Secret {
    /// Its length in bytes.
    pub const BYTES: usize = 16;
    /// How its text form starts.
    pub const PREFIX: &'static str = "phalanx-secret-";

    /// A new secret.
    ///
    /// ```
    /// # use phalanx_transport::{Secret, SystemEntropy};
    /// let secret = Secret::generate(&SystemEntropy::new());
    /// let again: Secret = secret.expose().parse()?;
    /// assert_eq!(again.expose(), secret.expose());
    /// assert_eq!(format!("{secret:?}"), "Secret(..)");
    /// # Ok::<(), phalanx_transport::SecretTextError>(())
    /// ```
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        entropy.fill(bytes.as_mut_slice());
        Self(bytes)
    }

    /// The secret that every node makes of the same cluster name and the same password. Takes 64 MiB and some tenths
    /// of a second, on the calling thread: do it once, at start, and never for what comes from the network.
    ///
    /// A secret of [`generate`](Self::generate) is better where it can be handed out: it cannot be guessed at any price.
    /// White space around the password does not count.
    ///
    /// ```
    /// # use phalanx_transport::{PasswordError, Secret};
    /// assert_eq!(
    ///     Secret::from_password("media", "letmein").unwrap_err(),
    ///     PasswordError::TooShort { characters: 7 }
    /// );
    /// ```
    ///
    /// # Errors
    /// [`PasswordError`]: a password that can be guessed, or a name that no cluster may have.
    pub fn from_password(cluster: &str, password: &str) -> Result<Self, PasswordError> {
        password::secret_from_password(cluster, password)
    }

    pub(super) fn from_bytes(bytes: Zeroizing<[u8; Self::BYTES]>) -> Self {
        Self(bytes)
    }

    /// The text form, to be kept where only the cluster's nodes can read it.
    #[must_use]
    pub fn expose(&self) -> String {
        text::encode(Self::PREFIX, self.0.as_slice())
    }

    /// What a node may be given that must never be a control node.
    #[must_use]
    pub fn worker_credential(&self) -> WorkerCredential {
        WorkerCredential { seed: self.worker_seed(), control_public: public_key(&pair(&self.control_seed())) }
    }

    pub(super) fn control_seed(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        self.derive(b"control role key")
    }

    pub(super) fn worker_seed(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        self.derive(b"worker role key")
    }

    fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
        expand(SALT, self.0.as_slice(), purpose)
    }
}

impl FromStr for Secret {
    type Err = SecretTextError;
    fn from_str(text: &str) -> Result<Self, SecretTextError> {
        text::decode(Self::PREFIX, text).map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The worker's key pair and the control nodes' public key: enough to work, not enough to control.
///
/// Its text form has a prefix and a checksum. `Debug` shows nothing of it, and its private part is wiped when it is
/// dropped.
#[derive(Clone)]
pub struct WorkerCredential {
    pub(super) seed: Zeroizing<[u8; KEY_BYTES]>,
    pub(super) control_public: [u8; KEY_BYTES],
}

impl WorkerCredential {
    /// How its text form starts.
    pub const PREFIX: &'static str = "phalanx-worker-";

    /// The text form, to be kept where only the worker can read it.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut bytes = Zeroizing::new([0; 2 * KEY_BYTES]);
        bytes[..KEY_BYTES].copy_from_slice(self.seed.as_slice());
        bytes[KEY_BYTES..].copy_from_slice(&self.control_public);
        text::encode(Self::PREFIX, bytes.as_slice())
    }
}

impl FromStr for WorkerCredential {
    type Err = SecretTextError;
    fn from_str(text: &str) -> Result<Self, SecretTextError> {
        let bytes = text::decode::<{ 2 * KEY_BYTES }>(Self::PREFIX, text)?;
        let (mut seed, mut control_public) = (Zeroizing::new([0; KEY_BYTES]), [0; KEY_BYTES]);
        seed.copy_from_slice(&bytes[..KEY_BYTES]);
        control_public.copy_from_slice(&bytes[KEY_BYTES..]);
        Ok(Self { seed, control_public })
    }
}

impl fmt::Debug for WorkerCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkerCredential(..)")
    }
}

/// What a node's key for stateless resets is derived from: the seed of its role, so that a node which starts anew has the
/// same key, with the whole secret or without.
pub(super) fn reset_seed(role_seed: &[u8; KEY_BYTES]) -> Zeroizing<[u8; KEY_BYTES]> {
    expand(SALT, role_seed, b"stateless reset key")
}

/// HKDF-SHA-256 (RFC 5869): salt and input key material, then `N` bytes for one purpose.
pub(super) fn expand<const N: usize>(salt: &[u8], material: &[u8], purpose: &[u8]) -> Zeroizing<[u8; N]> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = Zeroizing::new([0; N]);
    Salt::new(HKDF_SHA256, salt)
        .extract(material)
        .expand(&[purpose], Length(N))
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .expect("HKDF-SHA-256 makes up to 8,160 bytes, and we ask for 64 at most");
    out
}

/// The key pair of a seed.
pub(super) fn pair(seed: &[u8; KEY_BYTES]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a seed of Ed25519 (RFC 8032)")
}

/// The public key of a key pair.
pub(super) fn public_key(pair: &Ed25519KeyPair) -> [u8; KEY_BYTES] {
    let mut public = [0; KEY_BYTES];
    public.copy_from_slice(pair.public_key().as_ref());
    public
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    #[test]
    fn text_forms_survive_and_are_not_confused() {
        let secret = Secret::generate(&SystemEntropy::new());
        let worker = secret.worker_credential();
        let again: Secret = secret.expose().parse().unwrap();
        assert_eq!(again.expose(), secret.expose());
        assert_eq!(again.worker_credential().expose(), worker.expose());
        assert_eq!(worker.expose().parse::<WorkerCredential>().unwrap().expose(), worker.expose());
        assert!(worker.expose().parse::<Secret>().is_err());
        assert!(secret.expose().parse::<WorkerCredential>().is_err());
    }

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::generate(&SystemEntropy::new());
        assert_eq!(format!("{secret:?} {:?}", secret.worker_credential()), "Secret(..) WorkerCredential(..)");
    }

    /// The derivation is part of the wire format: nodes of two versions must make the same keys. These come from
    /// another implementation of HKDF and Ed25519.
    #[test]
    fn keys_are_pinned() {
        let secret = Secret(Zeroizing::new([7; 16]));
        assert_eq!(secret.expose(), "phalanx-secret-a4dqobyha4dqobyha4dqobyha6k5wroa");
        assert_eq!(
            secret.worker_credential().expose(),
            concat!(
                "phalanx-worker-pfkzwlcvjzsz7gkxfsb77sw2lpbli7hxyrpahgyd22htuh7sso5j5nl",
                "bbqz4gsbpqho6yk4jickja3lnomfwvbrxxqnzvqgv7bojifrk2x2qu"
            )
        );
    }
}
