//! One label of a node: a name, with keys that may have values.
//!
//! Names, keys and values are any text; only their text form escapes what would be read as punctuation. Nothing
//! is folded: `Core` and `core` are two names, and so are two spellings that only Unicode normalization makes
//! equal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::LabelsError;
use crate::label_text::{escape_into, parse_item};

/// One label of a node, such as `core;group=group1`: a name, then keys with or without a value.
///
/// Keys keep the order in which they were given. `key` (no value) and `key=` (an empty value) differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Item {
    name: String,
    keys: Vec<(String, Option<String>)>,
}

/// A part of an [`Item`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemPart {
    /// What the item is called.
    Name,
    /// One of its keys.
    Key,
    /// The value of a key.
    Value,
}

impl fmt::Display for ItemPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Name => "name",
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

impl ItemPart {
    /// The greatest length of this part in bytes, before escapes: labels are copied to every control node.
    #[must_use]
    pub const fn length_max(self) -> usize {
        match self {
            Self::Name | Self::Key => 64,
            Self::Value => 256,
        }
    }
}

/// Why an [`Item`] cannot be. The item it was to be added to is gone; make it anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// A name or a key is empty.
    #[error("the {part} is empty")]
    Empty {
        /// Which part.
        part: ItemPart,
    },
    /// A name, key or value is longer than [`ItemPart::length_max`].
    #[error("a {part} of {length} bytes is longer than {}", part.length_max())]
    TooLong {
        /// Which part.
        part: ItemPart,
        /// Its length in bytes, before escapes.
        length: usize,
    },
    /// A key stands there twice.
    #[error("key {key:?} of item {item:?} is given a second time: give it once")]
    RepeatedKey {
        /// The item's name.
        item: String,
        /// The key.
        key: String,
    },
    /// There are more keys than [`Item::KEYS_MAX`].
    #[error("item {item:?} has more than {} keys: split it into two items", Item::KEYS_MAX)]
    TooManyKeys {
        /// The item's name.
        item: String,
    },
}

impl Item {
    /// The greatest number of keys: what a selector has to look through for one item.
    pub const KEYS_MAX: usize = 32;

    /// An item without keys.
    ///
    /// # Errors
    /// [`ItemError::Empty`] and [`ItemError::TooLong`].
    pub fn new(name: impl Into<String>) -> Result<Self, ItemError> {
        Ok(Self { name: checked(ItemPart::Name, name.into())?, keys: Vec::new() })
    }

    /// The item with one more key, which has no value.
    ///
    /// # Errors
    /// [`ItemError`]: the key is empty, too long, given already, or one too many.
    pub fn with_key(self, key: impl Into<String>) -> Result<Self, ItemError> {
        self.with(key.into(), None)
    }

    /// The item with one more key and its value.
    ///
    /// # Errors
    /// [`ItemError`]: the key is empty, too long, given already, or one too many, or the value is too long.
    pub fn with_value(self, key: impl Into<String>, value: impl Into<String>) -> Result<Self, ItemError> {
        self.with(key.into(), Some(value.into()))
    }

    pub(crate) fn with(mut self, key: String, value: Option<String>) -> Result<Self, ItemError> {
        let key = checked(ItemPart::Key, key)?;
        let value = value.map(|value| checked(ItemPart::Value, value)).transpose()?;
        if self.has(&key) {
            return Err(ItemError::RepeatedKey { item: self.name, key });
        }
        if self.keys.len() == Self::KEYS_MAX {
            return Err(ItemError::TooManyKeys { item: self.name });
        }
        self.keys.push((key, value));
        Ok(self)
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its keys with their values, in the order in which they were given.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (&str, Option<&str>)> {
        self.keys.iter().map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    /// Whether it has this key, with or without a value.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|(own, _)| own == key)
    }

    /// The value of this key; `None` also for a key without one.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.keys.iter().find(|(own, _)| own == key).and_then(|(_, value)| value.as_deref())
    }

    /// Writes the canonical text.
    pub(crate) fn print_into(&self, text: &mut String) {
        escape_into(&self.name, text);
        for (key, value) in &self.keys {
            text.push(';');
            escape_into(key, text);
            if let Some(value) = value {
                text.push('=');
                escape_into(value, text);
            }
        }
    }
}

fn checked(part: ItemPart, text: String) -> Result<String, ItemError> {
    if text.is_empty() && part != ItemPart::Value {
        return Err(ItemError::Empty { part });
    }
    if text.len() > part.length_max() {
        return Err(ItemError::TooLong { part, length: text.len() });
    }
    Ok(text)
}

impl FromStr for Item {
    type Err = LabelsError;
    fn from_str(text: &str) -> Result<Self, LabelsError> {
        parse_item(text, 0)
    }
}

impl TryFrom<String> for Item {
    type Error = LabelsError;
    fn try_from(text: String) -> Result<Self, LabelsError> {
        parse_item(&text, 0)
    }
}

impl From<Item> for String {
    fn from(item: Item) -> Self {
        let mut text = String::new();
        item.print_into(&mut text);
        text
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.print_into(&mut text);
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_item_answers_for_its_keys() {
        let item = Item::new("disk").unwrap().with_key("ssd").unwrap().with_value("size", "2 TB").unwrap();
        assert_eq!(item.to_string(), "disk;ssd;size=2%20TB");
        assert_eq!((item.value("size"), item.value("ssd"), item.value("raid")), (Some("2 TB"), None, None));
        assert!(item.has("ssd") && item.has("size") && !item.has("raid"));
        assert_eq!(item.keys().collect::<Vec<_>>(), [("ssd", None), ("size", Some("2 TB"))]);
        assert_eq!("disk;ssd;size=2 TB".parse(), Ok(item));
    }

    #[test]
    fn no_value_and_an_empty_value_differ() {
        let (none, empty): (Item, Item) = ("a;k".parse().unwrap(), "a;k=".parse().unwrap());
        assert_ne!(none, empty);
        assert_eq!((none.value("k"), empty.value("k")), (None, Some("")));
        assert_eq!((none.to_string(), empty.to_string()), ("a;k".to_owned(), "a;k=".to_owned()));
    }

    #[test]
    fn limits_are_checked_however_an_item_is_made() {
        let item = || Item::new("a").unwrap();
        assert_eq!(Item::new(""), Err(ItemError::Empty { part: ItemPart::Name }));
        assert_eq!(item().with_key(""), Err(ItemError::Empty { part: ItemPart::Key }));
        let too_long = |part, length| Err(ItemError::TooLong { part, length });
        assert_eq!(Item::new("x".repeat(65)), too_long(ItemPart::Name, 65));
        assert_eq!(item().with_key("x".repeat(65)), too_long(ItemPart::Key, 65));
        assert_eq!(item().with_value("k", "x".repeat(257)), too_long(ItemPart::Value, 257));
        assert!(item().with_value("x".repeat(64), "x".repeat(256)).is_ok());
        let repeated = ItemError::RepeatedKey { item: "a".into(), key: "k".into() };
        assert_eq!(item().with_key("k").unwrap().with_value("k", "v"), Err(repeated));
        let full = (0..Item::KEYS_MAX).fold(item(), |item, key| item.with_key(key.to_string()).unwrap());
        assert_eq!(full.with_key("k"), Err(ItemError::TooManyKeys { item: "a".into() }));
    }

    proptest! {
        #[test]
        fn any_parts_survive_their_text(
            name in "(?s).{1,12}", key in "(?s).{1,12}", other in "(?s).{1,12}", value in "(?s).{0,12}"
        ) {
            prop_assume!(key != other);
            let item = Item::new(name).unwrap().with_value(key, value).unwrap().with_key(other).unwrap();
            prop_assert_eq!(item.to_string().parse::<Item>(), Ok(item));
        }
    }
}
