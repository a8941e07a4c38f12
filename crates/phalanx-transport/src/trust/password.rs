//! A secret made of a password that people remember, for clusters whose nodes cannot be given a file.
//!
//! Whoever gets a node to dial him, or dials one and is patient, holds a signature to guess against. 128 random bits stand
//! that; a password does not by itself, so that each guess is made expensive: argon2id (RFC 9106) with the second
//! recommended choice of its section 4, 64 MiB and three passes. It runs once at start and never for what comes from the
//! network.
//!
//! The salt is a fixed label and the cluster's name, since every node must make the same secret of the same words without
//! asking anybody. So two clusters of one name and one password have one secret, and a table of guesses can be made in
//! advance for a name: give the cluster a name of its own.

use argon2::{Algorithm, Argon2, Params, Version};
use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::cluster::{ClusterNameError, check_name};
use super::secret::Secret;

/// The fewest characters of a password. Three guesses a second and core are possible at this cost: twelve random letters
/// stand that for ever, eight (2^38) would fall to a thousand cores in two years.
pub const PASSWORD_CHARACTERS_MIN: usize = 12;
/// The most bytes. More adds nothing to 128 bits, and is a file given by mistake.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// What one guess costs in memory.
const MEMORY_KIB: u32 = 64 * 1024;
/// How often that memory is gone through.
const PASSES: u32 = 3;
/// One lane: with more, whoever has more cores than we gains.
const LANES: u32 = 1;
/// Sets this salt apart from any other use of the cluster's name.
const SALT_LABEL: &[u8] = b"phalanx/1 password\0";

/// Why no secret was made of a password. Never holds any part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It is too short.
    #[error("a password of {characters} characters can be guessed: take {} or more", PASSWORD_CHARACTERS_MIN)]
    TooShort {
        /// How many characters it has, white space around it not counted.
        characters: usize,
    },
    /// It is longer than [`PASSWORD_BYTES_MAX`].
    #[error("a password of {bytes} bytes is longer than {}", PASSWORD_BYTES_MAX)]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It repeats a few characters.
    #[error("a password of {distinct} different characters can be guessed: take {} or more", DISTINCT_MIN)]
    TooUniform {
        /// How many different characters it has.
        distinct: usize,
    },
    /// The name of the cluster is not valid.
    #[error(transparent)]
    Cluster(#[from] ClusterNameError),
    /// The system does not give the memory.
    #[error("64 MiB of memory are needed to make a secret of a password, and are not to be had")]
    Memory,
}

/// The fewest different characters: `aaaaaaaaaaaa` is not twelve letters long to who guesses.
const DISTINCT_MIN: usize = 5;

pub(super) fn secret_from_password(cluster: &str, password: &str) -> Result<Secret, PasswordError> {
    check_name(cluster)?;
    // A line end that an editor left at the end of a file is not part of the password.
    let password = password.trim();
    check_password(password)?;
    let salt = digest(&SHA256, &[SALT_LABEL, cluster.as_bytes()].concat());
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(Secret::BYTES))
        .expect("these four numbers are within what RFC 9106 allows");
    let mut bytes = Zeroizing::new([0; Secret::BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt.as_ref(), bytes.as_mut_slice())
        .map_err(|_| PasswordError::Memory)?;
    Ok(Secret::from_bytes(bytes))
}

fn check_password(password: &str) -> Result<(), PasswordError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::TooLong { bytes: password.len() });
    }
    let characters = password.chars().count();
    if characters < PASSWORD_CHARACTERS_MIN {
        return Err(PasswordError::TooShort { characters });
    }
    let distinct = password.chars().collect::<std::collections::BTreeSet<_>>().len();
    if distinct < DISTINCT_MIN {
        return Err(PasswordError::TooUniform { distinct });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClusterId, Credential};

    /// Part of the wire format: nodes of two versions must make the same keys of the same words. The secret was also made
    /// by the reference implementation of argon2; the id stands for the control nodes' public key.
    #[test]
    fn keys_are_pinned() {
        let secret = Secret::from_password("media", "correct horse battery staple").unwrap();
        assert_eq!(secret.expose(), "phalanx-secret-i6ne6lvh5wz7mxk5ihlbu5sipl7hhruh");
        let id = ClusterId::derive("media", &Credential::from(&secret)).unwrap();
        assert_eq!(id.to_string(), "xcm4qdcjhf4j4l2fybrpihjvl4");
    }

    #[test]
    fn name_and_password_both_count_and_white_space_around_does_not() {
        let make = |name: &str, password: &str| Secret::from_password(name, password).unwrap().expose();
        let secret = make("media", "correct horse battery");
        assert_eq!(make("media", " correct horse battery\n"), secret);
        assert_ne!(make("video", "correct horse battery"), secret);
        assert_ne!(make("media", "correct horse batterz"), secret);
    }

    #[test]
    fn what_can_be_guessed_is_refused_and_not_repeated() {
        let refused = |name: &str, password: &str| Secret::from_password(name, password).unwrap_err();
        assert_eq!(refused("media", "elevenchars"), PasswordError::TooShort { characters: 11 });
        assert_eq!(refused("media", "          short       "), PasswordError::TooShort { characters: 5 });
        assert_eq!(refused("media", "éééééé"), PasswordError::TooShort { characters: 6 });
        assert_eq!(refused("media", "abababababababab"), PasswordError::TooUniform { distinct: 2 });
        assert_eq!(refused("media", &"abcdefgh".repeat(129)), PasswordError::TooLong { bytes: 1032 });
        assert_eq!(
            refused("", "correct horse battery"),
            PasswordError::Cluster(crate::ClusterNameError::Empty)
        );
    }
}
