//! The text form of labels: splitting at punctuation, escapes, and positions for the errors.
//!
//! `,` separates items, `;` keys, `=` a key from its value. These, `%`, white space and control characters are
//! printed as percent-escapes of their UTF-8 bytes, so that a text can be split before anything is decoded;
//! everything else is printed raw. The parser takes more than the printer makes: any character may be escaped,
//! and white space may stand raw inside a part, or around it, where it is dropped.

use crate::item::{Item, ItemError};
use crate::labels::LabelsError;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// A piece of a text and where it begins, in bytes.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Piece<'a> {
    fn trim(self) -> Self {
        let at = self.at + self.text.len() - self.text.trim_start().len();
        Self { text: self.text.trim(), at }
    }

    fn split(self, separator: char) -> impl Iterator<Item = Piece<'a>> {
        let mut at = self.at;
        self.text.split(separator).map(move |text| {
            let piece = Piece { text, at };
            at += text.len() + separator.len_utf8();
            piece
        })
    }

    fn split_once(self, separator: char) -> (Self, Option<Self>) {
        match self.text.split_once(separator) {
            None => (self, None),
            Some((left, text)) => {
                let at = self.at + left.len() + separator.len_utf8();
                (Self { text: left, ..self }, Some(Self { text, at }))
            }
        }
    }

    /// The text of a name, key or value, without its escapes.
    fn decode(self) -> Result<String, LabelsError> {
        let Self { text, at } = self.trim();
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.char_indices();
        while let Some((inside, c)) = rest.next() {
            if c == '%' {
                let mut digit = || rest.next()?.1.to_digit(16);
                let byte = digit().and_then(|high| u8::try_from(high << 4 | digit()?).ok());
                bytes.push(byte.ok_or(LabelsError::Escape { at: at + inside })?);
            } else if c.is_control() || matches!(c, ',' | ';' | '=') {
                return Err(LabelsError::Forbidden { found: c, at: at + inside });
            } else {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        String::from_utf8(bytes).map_err(|_| LabelsError::NotUtf8 { at })
    }
}

/// Appends the printed form of a name, key or value.
pub(crate) fn escape_into(part: &str, text: &mut String) {
    for c in part.chars() {
        if !(matches!(c, ',' | ';' | '=' | '%') || c.is_whitespace() || c.is_control()) {
            text.push(c);
            continue;
        }
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            text.push('%');
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Parses the text of one item, which begins at byte `at` of what the user gave.
pub(crate) fn parse_item(text: &str, at: usize) -> Result<Item, LabelsError> {
    let mut pieces = Piece { text, at }.split(';');
    let name = pieces.next().unwrap_or(Piece { text, at });
    if let (left, Some(_)) = name.split_once('=') {
        return Err(LabelsError::NameWithValue { at: left.at + left.text.len() });
    }
    let located = |at| move |reason: ItemError| LabelsError::Item { at, reason };
    let mut item = Item::new(name.decode()?).map_err(located(name.trim().at))?;
    for piece in pieces {
        let (key, value) = piece.split_once('=');
        let (key_text, at) = (key.decode()?, key.trim().at);
        let value = value.map(Piece::decode).transpose()?;
        item = item.with(key_text, value).map_err(located(at))?;
    }
    Ok(item)
}

/// The texts of the items and where each begins; none in a text of white space only.
pub(crate) fn split_items(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let nothing = text.trim().is_empty();
    Piece { text, at: 0 }.split(',').filter(move |_| !nothing).map(|piece| (piece.text, piece.at))
}
