//! The text form of secret bytes: a prefix that says what it is, base32, and a checksum against typing errors.
//!
//! Base32 of RFC 4648 in lower case without padding, because a person may have to read it out. The checksum is the
//! start of SHA-256 over prefix and bytes, so that one kind of secret is never taken for another.

use ring::digest::{Context, SHA256};
use zeroize::Zeroizing;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Four bytes let one typing error in four thousand million pass.
const CHECKSUM_BYTES: usize = 4;

/// Why a text is not a secret or a credential. Never holds any part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretTextError {
    /// It does not start as this kind of secret does.
    #[error("this text does not start with {expected:?}: give the whole text, and of the right kind")]
    Prefix {
        /// How it has to start.
        expected: &'static str,
    },
    /// It is too short or too long.
    #[error("this text has {found} letters after its prefix instead of {expected}: copy it whole")]
    Length {
        /// How many letters it has to have.
        expected: usize,
        /// How many it has.
        found: usize,
    },
    /// A character is not of the alphabet.
    #[error("letter {at} after the prefix is none of a-z and 2-7")]
    Letter {
        /// Its position after the prefix, from zero.
        at: usize,
    },
    /// The checksum does not match.
    #[error("the checksum does not match: there is a typing error in it")]
    Checksum,
}

fn checksum(prefix: &str, bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut context = Context::new(&SHA256);
    context.update(prefix.as_bytes());
    context.update(bytes);
    let mut start = [0; CHECKSUM_BYTES];
    start.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    start
}

const fn letters(bytes: usize) -> usize {
    (bytes * 8).div_ceil(5)
}

/// Base32 without prefix and checksum.
pub(crate) fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(letters(bytes.len()));
    let (mut buffer, mut bits) = (0_u32, 0);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[((buffer >> bits) & 31) as usize]));
        }
        buffer &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[((buffer << (5 - bits)) & 31) as usize]));
    }
    text
}

/// The text form of some secret bytes.
pub(crate) fn encode(prefix: &str, bytes: &[u8]) -> String {
    let mut whole = Zeroizing::new(Vec::with_capacity(bytes.len() + CHECKSUM_BYTES));
    whole.extend_from_slice(bytes);
    whole.extend_from_slice(&checksum(prefix, bytes));
    format!("{prefix}{}", base32(&whole))
}

/// The bytes behind a text form. White space around it and upper case are allowed, nothing else.
pub(crate) fn decode<const N: usize>(
    prefix: &'static str,
    text: &str,
) -> Result<Zeroizing<[u8; N]>, SecretTextError> {
    let text = text.trim();
    let rest = match text.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => &text[prefix.len()..],
        _ => return Err(SecretTextError::Prefix { expected: prefix }),
    };
    let (expected, found) = (letters(N + CHECKSUM_BYTES), rest.chars().count());
    if found != expected {
        return Err(SecretTextError::Length { expected, found });
    }
    let mut whole = Zeroizing::new(Vec::with_capacity(N + CHECKSUM_BYTES));
    let (mut buffer, mut bits) = (0_u32, 0);
    for (at, letter) in rest.chars().enumerate() {
        buffer = (buffer << 5) | digit(letter).ok_or(SecretTextError::Letter { at })?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            whole.push((buffer >> bits) as u8);
            buffer &= (1 << bits) - 1;
        }
    }
    let mut bytes = Zeroizing::new([0; N]);
    let (body, check) = whole.split_at_checked(N).ok_or(SecretTextError::Checksum)?;
    if buffer != 0 || check != checksum(prefix, body) {
        return Err(SecretTextError::Checksum);
    }
    bytes.copy_from_slice(body);
    Ok(bytes)
}

fn digit(letter: char) -> Option<u32> {
    match letter.to_ascii_lowercase() {
        letter @ 'a'..='z' => Some(u32::from(letter) - u32::from('a')),
        letter @ '2'..='7' => Some(u32::from(letter) - u32::from('2') + 26),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_survive(bytes: [u8; 16], long: [[u8; 32]; 2]) {
            prop_assert_eq!(*decode::<16>("p-", &encode("p-", &bytes)).unwrap(), bytes);
            prop_assert_eq!(*decode::<16>("p-", &format!(" {}\n", encode("p-", &bytes).to_uppercase())).unwrap(), bytes);
            let long = long.concat();
            prop_assert_eq!(decode::<64>("p-", &encode("p-", &long)).unwrap().to_vec(), long);
        }

        #[test]
        fn one_wrong_letter_is_found(bytes: [u8; 16], at in 2_usize..34, other in 0_usize..32) {
            let mut text = encode("p-", &bytes).into_bytes();
            prop_assume!(text[at] != ALPHABET[other]);
            text[at] = ALPHABET[other];
            prop_assert_eq!(decode::<16>("p-", std::str::from_utf8(&text).unwrap()).unwrap_err(), SecretTextError::Checksum);
        }

        #[test]
        fn any_text_is_refused_or_canonical(text in "(p-)?[a-z2-9 é]{0,40}") {
            if let Ok(bytes) = decode::<16>("p-", &text) {
                prop_assert_eq!(encode("p-", &*bytes), text.trim());
            }
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        assert_eq!(decode::<16>("p-", "q-").unwrap_err(), SecretTextError::Prefix { expected: "p-" });
        assert_eq!(
            decode::<16>("p-", "p-a").unwrap_err(),
            SecretTextError::Length { expected: 32, found: 1 }
        );
        let text = format!("p-a1{}", "a".repeat(30));
        assert_eq!(decode::<16>("p-", &text).unwrap_err(), SecretTextError::Letter { at: 1 });
    }
}
