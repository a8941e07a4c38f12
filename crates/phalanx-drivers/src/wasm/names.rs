//! Names of modules and of versions. They become names of files, and stand in what is signed: so there are few characters,
//! none of which any file system folds or forbids.

use super::error::WasmError;

/// The longest name of a module, a version, a function or a signer, in bytes: they travel with each call and each list.
pub const NAME_BYTES_MAX: usize = 64;

/// Stands between the two in the name of a file, and in neither of them.
pub(super) const BETWEEN: char = '@';

fn is_plain(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_inner = |byte: u8| is_letter(byte) || matches!(byte, b'.' | b'-' | b'_' | b'+');
    name.len() <= NAME_BYTES_MAX
        && name.bytes().next().is_some_and(is_letter)
        && name.bytes().next_back().is_some_and(is_letter)
        && name.bytes().all(is_inner)
}

/// Checks the names of a module and of its version.
pub(super) fn check(module: &str, version: &str) -> Result<(), WasmError> {
    match [module, version].into_iter().find(|name| !is_plain(name)) {
        Some(name) => Err(WasmError::Name { name: shown(name) }),
        None => Ok(()),
    }
}

/// How much of a name of unknown origin is said in an error, in bytes.
const SHOWN_BYTES_MAX: usize = 128;

/// A name as errors say it.
pub(super) fn shown(name: &str) -> String {
    shortened(name, SHOWN_BYTES_MAX).escape_debug().collect()
}

/// The beginning of a text.
pub(super) fn shortened(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for name in ["a", "0", "greet", "1.2.3", "2026-11-22+a1", "a_b", &"n".repeat(64)] {
            assert_eq!(check(name, name), Ok(()), "{name}");
        }
        for name in ["", ".", "..", "a.", "-a", "A", "ä", "a/b", "a\\b", "a@b", "a b", "a\0", &"n".repeat(65)]
        {
            assert!(matches!(check(name, "1"), Err(WasmError::Name { .. })), "{name}");
            assert!(matches!(check("a", name), Err(WasmError::Name { .. })), "{name}");
        }
        assert!(shown(&"ä\n".repeat(1_000)).len() <= 2 * SHOWN_BYTES_MAX);
    }
}
