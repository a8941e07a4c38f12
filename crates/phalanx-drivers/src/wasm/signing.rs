//! Who says that a module may run: an Ed25519 signature over its purpose, its name, its version, its hash and its length.
//!
//! What is signed begins with a purpose that nothing else here has, and each part of unknown length follows its length. So a
//! signature is good for one content under one name and version, and for nothing else; and it can be checked before the
//! first byte of the module has come.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use bytes::Bytes;
use phalanx_base::Entropy;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::class::Announced;
use super::error::WasmError;
use super::names;

/// Begins all that is signed. Another kind of message gets another purpose.
const PURPOSE: &[u8] = b"phalanx wasm module 1\0";

/// The public half of a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SignerKey(pub [u8; 32]);

/// A key that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A public key is 64 hexadecimal digits.
    #[error("a public key is 64 hexadecimal digits")]
    NotHexadecimal,
    /// It is no Ed25519 key in PKCS #8.
    #[error(
        "it is no Ed25519 private key in PKCS #8, as `openssl genpkey -algorithm ed25519 -outform der` makes"
    )]
    NotPkcs8,
}

impl fmt::Display for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for SignerKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(KeyError::NotHexadecimal);
        }
        let mut key = [0; 32];
        for (at, byte) in key.iter_mut().enumerate() {
            *byte =
                u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| KeyError::NotHexadecimal)?;
        }
        Ok(Self(key))
    }
}

/// A signature, and whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleSignature {
    /// The key that a worker has to know.
    pub key: SignerKey,
    /// The signature, 64 bytes.
    pub signature: Bytes,
}

/// A private key that signs modules. It has no place at a worker.
pub struct Signer(Ed25519KeyPair);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.key()).finish()
    }
}

impl Signer {
    /// The key of this seed: 32 secret random bytes (RFC 8032).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a seed of Ed25519"))
    }

    /// A key that there was not before, and its seed: keep that secret, and [`Signer::from_seed`] gives the key again.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> (Self, [u8; 32]) {
        let mut seed = [0; 32];
        entropy.fill(&mut seed);
        (Self::from_seed(&seed), seed)
    }

    /// The key in a file of other tools, in PKCS #8 (DER).
    ///
    /// # Errors
    /// [`KeyError::NotPkcs8`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self).map_err(|_| KeyError::NotPkcs8)
    }

    /// The public half, for [`WasmPolicy::allow_signer`](super::WasmPolicy::allow_signer).
    #[must_use]
    pub fn key(&self) -> SignerKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        SignerKey(key)
    }

    /// Signs a module under a name and a version.
    ///
    /// # Errors
    /// [`WasmError::Name`].
    pub fn sign(
        &self,
        module: &str,
        version: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<SignedModule, WasmError> {
        let mut unsigned = SignedModule::unsigned(module, version, bytes)?;
        let signature = Bytes::copy_from_slice(self.0.sign(&message(&unsigned.announced)).as_ref());
        unsigned.announced.signature = Some(ModuleSignature { key: self.key(), signature });
        Ok(unsigned)
    }
}

/// A module that is ready to be pushed. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedModule {
    /// What a worker is told first.
    pub announced: Announced,
    /// Its bytes.
    pub bytes: Bytes,
}

impl SignedModule {
    /// A module without a signature: for one that was made elsewhere, to be put into `announced`.
    ///
    /// # Errors
    /// [`WasmError::Name`].
    pub fn unsigned(module: &str, version: &str, bytes: impl Into<Bytes>) -> Result<Self, WasmError> {
        names::check(module, version)?;
        let bytes = bytes.into();
        let announced = Announced {
            module: module.to_owned(),
            version: version.to_owned(),
            blake3: *blake3::hash(&bytes).as_bytes(),
            bytes: bytes.len() as u64,
            signature: None,
        };
        Ok(Self { announced, bytes })
    }
}

/// What is signed.
fn message(announced: &Announced) -> Vec<u8> {
    let mut message = PURPOSE.to_vec();
    for name in [&announced.module, &announced.version] {
        message.extend_from_slice(&(name.len() as u64).to_le_bytes());
        message.extend_from_slice(name.as_bytes());
    }
    message.extend_from_slice(&announced.blake3);
    message.extend_from_slice(&announced.bytes.to_le_bytes());
    message
}

/// Whether the signature is one of this key over all that is announced.
pub(super) fn verify(announced: &Announced, signature: &ModuleSignature) -> Result<(), WasmError> {
    let key = UnparsedPublicKey::new(&ED25519, signature.key.0);
    key.verify(&message(announced), &signature.signature).map_err(|_| WasmError::BadSignature)
}

/// The key of an error, which is said to whoever has sent it.
pub(super) fn unknown(key: &SignerKey) -> WasmError {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{key}");
    WasmError::UnknownKey { key: text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signed(module: &str, version: &str, bytes: &[u8]) -> Announced {
        let signer = Signer::from_seed(&[7; 32]);
        signer.sign(module, version, bytes.to_vec()).unwrap().announced
    }

    fn check(announced: &Announced) -> Result<(), WasmError> {
        verify(announced, announced.signature.as_ref().unwrap())
    }

    #[test]
    fn a_signature_is_good_for_one_content_under_one_name() {
        let announced = signed("greet", "1", b"bytes");
        assert_eq!(check(&announced), Ok(()));
        let changes: [fn(&mut Announced); 7] = [
            |it| it.module = "greeted".into(),
            |it| it.version = "2".into(),
            |it| (it.module, it.version) = ("gree".into(), "t1".into()),
            |it| it.blake3[0] ^= 1,
            |it| it.bytes += 1,
            |it| it.signature.as_mut().unwrap().key = Signer::from_seed(&[8; 32]).key(),
            |it| it.signature.as_mut().unwrap().signature.clear(),
        ];
        for change in changes {
            let mut other = announced.clone();
            change(&mut other);
            assert_eq!(check(&other), Err(WasmError::BadSignature), "{other:?}");
        }
    }

    #[test]
    fn keys_are_read_as_they_are_shown() {
        let key = Signer::from_seed(&[1; 32]).key();
        assert_eq!(key.to_string().parse(), Ok(key));
        for text in ["", "00", "zz", &"0".repeat(63), &"+0".repeat(32), &"ä".repeat(32)] {
            assert_eq!(text.parse::<SignerKey>(), Err(KeyError::NotHexadecimal));
        }
        assert_eq!(Signer::from_pkcs8(b"no key").err(), Some(KeyError::NotPkcs8));
        // As openssl writes it: the seed behind a fixed head (RFC 8410).
        let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        der.extend_from_slice(&[1; 32]);
        assert_eq!(Signer::from_pkcs8(&der).unwrap().key(), key);
        assert!(!format!("{:?}", Signer::from_seed(&[1; 32])).contains("01010101"));
    }

    proptest! {
        #[test]
        fn two_that_differ_are_never_signed_alike(
            one in ("[a-c]{1,4}", "[a-c]{1,4}", 0_u8..2, 0_u64..2),
            other in ("[a-c]{1,4}", "[a-c]{1,4}", 0_u8..2, 0_u64..2),
        ) {
            let announced = |(module, version, hash, bytes): (String, String, u8, u64)| Announced {
                module, version, blake3: [hash; 32], bytes, signature: None,
            };
            let (one, other) = (announced(one), announced(other));
            prop_assert_eq!(one == other, message(&one) == message(&other));
        }
    }
}
