//! Small files: tokens, passwords, certificates.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::HttpError;

/// The largest file: a list of many certificates.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The whole of a small file. They are local, mostly in memory, so reading one holds up nobody.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, HttpError> {
    let fail = |reason: String| HttpError::File { path: path.display().to_string(), reason };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| fail(error.to_string()))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(fail(format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// What a file says, without white space around it; an error does not quote it.
pub(crate) fn read_secret(path: &Path) -> Result<String, HttpError> {
    let fail = |reason: &str| HttpError::File { path: path.display().to_string(), reason: reason.to_owned() };
    let text = String::from_utf8(read_file(path)?).map_err(|_| fail("it is not UTF-8"))?;
    match text.trim() {
        "" => Err(fail("it is empty")),
        secret => Ok(secret.to_owned()),
    }
}
