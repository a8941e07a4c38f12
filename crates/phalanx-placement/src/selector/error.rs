//! Why a text is no selector: where, and what to write instead.

use phalanx_base::ItemError;

use super::Selector;

/// Why a text is not a [`Selector`].
///
/// Positions are bytes from the start of the text, and always lie between two characters of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Something else must stand there.
    #[error("expected {expected} at byte {at}, found {}", or_end(*.found))]
    Expected {
        /// What can stand there.
        expected: Expected,
        /// The character that does; `None` at the end of the text.
        found: Option<char>,
        /// Where it is.
        at: usize,
    },
    /// A word or a sign that other languages have for what is written otherwise here.
    #[error("{found:?} at byte {at} means nothing here: write {instead:?}")]
    Instead {
        /// What stands there.
        found: &'static str,
        /// What to write.
        instead: &'static str,
        /// Where it begins.
        at: usize,
    },
    /// A character that cannot stand raw in a name, key or value.
    #[error("{found:?} at byte {at} is no operator, and in a name it is written {}", escaped(*.found))]
    Forbidden {
        /// The character.
        found: char,
        /// Where it is.
        at: usize,
    },
    /// A percent sign without two hexadecimal digits.
    #[error("the percent sign at byte {at} needs two hexadecimal digits: write %25 for the sign itself")]
    Escape {
        /// Where the sign is.
        at: usize,
    },
    /// Escapes that are no UTF-8.
    #[error("the escapes in the word at byte {at} are not UTF-8")]
    NotUtf8 {
        /// Where the word begins.
        at: usize,
    },
    /// No label can be called so.
    #[error("no label can be called like the word at byte {at}: {reason}")]
    Label {
        /// Where the word begins.
        at: usize,
        /// What labels do not allow.
        reason: ItemError,
    },
    /// A parenthesis that nothing closes.
    #[error("the '(' at byte {at} is not closed: write ')' where it ends")]
    Unclosed {
        /// Where the parenthesis is.
        at: usize,
    },
    /// Parentheses inside parentheses, deeper than [`Selector::DEPTH_MAX`].
    #[error("the '(' at byte {at} is nested deeper than {}: write it flatter", Selector::DEPTH_MAX)]
    TooDeep {
        /// Where the parenthesis is that is one too many.
        at: usize,
    },
    /// There are more terms than [`Selector::TERMS_MAX`].
    #[error("the term at byte {at} is one more than {}: use `in` for many values", Selector::TERMS_MAX)]
    TooManyTerms {
        /// Where the term begins that is one too many.
        at: usize,
    },
    /// A list has more values than [`Selector::VALUES_MAX`].
    #[error("the value at byte {at} is one more than {} of a list", Selector::VALUES_MAX)]
    TooManyValues {
        /// Where the value begins that is one too many.
        at: usize,
    },
    /// The text, as given or as printed, is longer than [`Selector::LENGTH_MAX`].
    #[error("a selector of {length} bytes is longer than {}", Selector::LENGTH_MAX)]
    TooLong {
        /// The length in bytes.
        length: usize,
    },
}

/// What can stand at a place of a selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Expected {
    /// A term begins.
    #[error("a label such as `gpu`, `!spot` or `zone=a`")]
    Term,
    /// A term has ended.
    #[error("`&&`, `||` or the end")]
    Connective,
    /// A label has ended.
    #[error("`=`, `!=`, `in`, `not in`, `&&`, `||` or the end")]
    Operator,
    /// `not` stands behind a label.
    #[error("`in`, as in `zone not in (a, b)`")]
    In,
    /// A list begins.
    #[error("a list of values such as `(a, b)`")]
    List,
    /// A value of a list.
    #[error("a value (for the empty one write `key=`)")]
    Value,
    /// A value of a list has ended.
    #[error("`,` or `)`")]
    ListEnd,
    /// A path has ended.
    #[error("the end of the label: write `key` or `item;key`")]
    PathEnd,
}

fn or_end(found: Option<char>) -> String {
    found.map_or_else(|| "the end".to_owned(), |found| format!("{found:?}"))
}

fn escaped(found: char) -> String {
    let mut text = String::new();
    super::word::escape_into(found, &mut text);
    text
}
