//! Messages as bytes: the version of the protocol, then postcard.
//!
//! The first byte says which version the rest is of, so that what does not fit is told apart from what is broken.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Reply, Request};

/// The version of the protocol that this library speaks.
pub const VERSION: u8 = 1;

/// The longest question in bytes: an event of a user with its payload, and room for its name; or a list of addresses.
pub const REQUEST_BYTES_MAX: usize = 65 * 1024;

/// The longest answer in bytes: what one frame over the network holds. Lists that are longer come in pages.
pub const REPLY_BYTES_MAX: usize = 1024 * 1024;

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// There are none.
    #[error("an empty message")]
    Empty,
    /// There are too many. Nothing was decoded, or sent.
    #[error("a message of {bytes} bytes is longer than {max}")]
    TooLong {
        /// How many.
        bytes: usize,
        /// How many there may be.
        max: usize,
    },
    /// The other end speaks another version.
    #[error(
        "the other end speaks version {theirs} of the operators' protocol, this one {VERSION}: upgrade the older one"
    )]
    Version {
        /// Its version.
        theirs: u8,
    },
    /// They are of this version, and no message.
    #[error("a message that does not decode")]
    Malformed,
}

impl Request {
    /// As bytes.
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    pub fn encode(&self) -> Result<Bytes, WireError> {
        encode(self, REQUEST_BYTES_MAX)
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        decode(bytes, REQUEST_BYTES_MAX)
    }
}

impl Reply {
    /// As bytes.
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    pub fn encode(&self) -> Result<Bytes, WireError> {
        encode(self, REPLY_BYTES_MAX)
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        decode(bytes, REPLY_BYTES_MAX)
    }
}

fn encode<M: Serialize>(message: &M, bytes_max: usize) -> Result<Bytes, WireError> {
    // Serializing to a vector fails for types without a length only, and these have none.
    let bytes = postcard::to_extend(message, vec![VERSION]).map_err(|_| WireError::Malformed)?;
    check_length(bytes.len(), bytes_max)?;
    Ok(bytes.into())
}

fn decode<M: DeserializeOwned>(bytes: &[u8], bytes_max: usize) -> Result<M, WireError> {
    check_length(bytes.len(), bytes_max)?;
    match bytes.split_first() {
        None => Err(WireError::Empty),
        Some((&VERSION, rest)) => match postcard::take_from_bytes(rest) {
            Ok((message, [])) => Ok(message),
            _ => Err(WireError::Malformed),
        },
        Some((&theirs, _)) => Err(WireError::Version { theirs }),
    }
}

fn check_length(bytes: usize, max: usize) -> Result<(), WireError> {
    if bytes > max { Err(WireError::TooLong { bytes, max }) } else { Ok(()) }
}
