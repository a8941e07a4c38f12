//! Between typed values and the bytes that travel, with the caps of the wire.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;

use crate::class::{JobClass, Payload};
use crate::outcome::{Reason, TaskEnd};
use crate::wire::{ClassName, PAYLOAD_BYTES_MAX};

/// The bytes of a value.
///
/// # Errors
/// [`Reason::TooLarge`] beyond [`PAYLOAD_BYTES_MAX`]; [`Reason::Malformed`] for a value that refuses to be serialised.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes, Reason> {
    let bytes = to_bytes(value).map_err(|_| Reason::Malformed)?;
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(Reason::TooLarge { bytes: bytes.len() as u64, bytes_max: PAYLOAD_BYTES_MAX as u64 });
    }
    Ok(bytes)
}

/// What is not longer than this is serialised on the stack, and copied to where it stays with one allocation.
const SMALL_BYTES: usize = 512;

/// The bytes of a value, in postcard.
pub(crate) fn to_bytes<T: Serialize>(value: &T) -> Result<Bytes, postcard::Error> {
    let mut small = [0; SMALL_BYTES];
    match postcard::to_slice(value, &mut small) {
        Ok(bytes) => Ok(Bytes::copy_from_slice(bytes)),
        Err(postcard::Error::SerializeBufferFull) => postcard::to_stdvec(value).map(Bytes::from),
        Err(error) => Err(error),
    }
}

/// The value in some bytes.
///
/// # Errors
/// [`Reason::Malformed`] when they are not a value of this type.
pub(crate) fn decode<T: Payload>(bytes: &[u8]) -> Result<T, Reason> {
    postcard::from_bytes(bytes).map_err(|_| Reason::Malformed)
}

/// The bytes of `()`.
pub(crate) fn unit() -> Bytes {
    Bytes::new()
}

/// The bytes of a task's end, as the answer to the question for it.
pub(crate) fn encode_end(end: &TaskEnd) -> Bytes {
    to_bytes(end).unwrap_or_default()
}

/// The end of a task in an answer.
///
/// # Errors
/// [`Reason::Malformed`] when the bytes are none.
pub(crate) fn decode_end(bytes: &[u8]) -> Result<TaskEnd, Reason> {
    postcard::from_bytes(bytes).map_err(|_| Reason::Malformed)
}

/// The name of a class on the wire.
pub(crate) fn class_name<C: JobClass>() -> ClassName {
    ClassName { name: Cow::Borrowed(C::NAME), version: C::VERSION }
}
