//! The words of a selector: which characters stand raw, and the escapes of the others.
//!
//! Words are names, keys and values of labels, and escaped as labels are in their own text, only that a selector has
//! more punctuation. Signs that have a meaning in the selectors of other systems (globs, comparisons, quotes) are
//! refused raw, so that nobody takes a literal for a pattern.

use super::SelectorError;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Whether a character ends a word.
pub(super) fn is_end(c: char) -> bool {
    c.is_whitespace() || matches!(c, '=' | '!' | '&' | '|' | '(' | ')' | ',' | ';')
}

/// Whether a character is refused in a word, though it does not end it.
fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '<' | '>' | '"' | '\'' | '~' | '*' | '{' | '}')
}

/// Appends the printed form of a name, key or value.
pub(super) fn print_into(word: &str, text: &mut String) {
    for c in word.chars() {
        if c == '%' || is_end(c) || is_forbidden(c) {
            escape_into(c, text);
        } else {
            text.push(c);
        }
    }
}

/// Appends a character as escapes of its UTF-8 bytes.
pub(super) fn escape_into(c: char, text: &mut String) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        text.push('%');
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

/// A word without its escapes; `at` is where it begins.
pub(super) fn decode(raw: &str, at: usize) -> Result<String, SelectorError> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.char_indices();
    while let Some((inside, c)) = rest.next() {
        if c == '%' {
            let mut digit = || rest.next()?.1.to_digit(16);
            let byte = digit().and_then(|high| u8::try_from(high << 4 | digit()?).ok());
            bytes.push(byte.ok_or(SelectorError::Escape { at: at + inside })?);
        } else if is_forbidden(c) {
            return Err(SelectorError::Forbidden { found: c, at: at + inside });
        } else {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    String::from_utf8(bytes).map_err(|_| SelectorError::NotUtf8 { at })
}
