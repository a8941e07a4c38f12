//! What a node is labelled with: `core;group=group1;master, meta2;labelA=1`.
//!
//! Selectors read labels to decide where work may go. They come from configuration, from an operator's update
//! of one item, and from other nodes, and always through the checks of one parser.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::item::{Item, ItemError};
use crate::label_text::{parse_item, split_items};

/// The labels of a node: items with different names, in the order in which they were given.
///
/// As a text the items are separated by commas, and the keys of an item by semicolons:
/// `core;group=group1;master, meta2;labelA=1`. White space around a part is dropped. `, ; = %`, white space and
/// control characters inside a part are printed as `%2C` (the UTF-8 bytes in hexadecimal); everything else is
/// printed as it is. Parsing what was printed gives the same labels back. Two values are equal when they print
/// the same, so order counts. On the wire labels are their text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Labels {
    items: Vec<Item>,
}

/// Why a text is not [`Labels`], or why a change of them is refused. After a refused change nothing has
/// changed.
///
/// Positions are bytes from the start of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// Punctuation or a control character where it cannot stand raw.
    #[error("{found:?} cannot stand at byte {at}: write it as a percent-escape, such as %2C for a comma")]
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
    #[error("the escapes in the part at byte {at} are not UTF-8")]
    NotUtf8 {
        /// Where the part begins.
        at: usize,
    },
    /// An item's name is followed by a value.
    #[error("the '=' at byte {at} gives an item a value: only keys have one, write name;key=value")]
    NameWithValue {
        /// Where the sign is.
        at: usize,
    },
    /// An item cannot be.
    #[error("bad item at byte {at}: {reason}")]
    Item {
        /// Where the wrong part begins.
        at: usize,
        /// What is wrong.
        reason: ItemError,
    },
    /// Two items have one name.
    #[error("item {name:?} at byte {at} is given a second time: give it once")]
    RepeatedItem {
        /// The name.
        name: String,
        /// Where its repeat begins.
        at: usize,
    },
    /// There are more items than [`Labels::ITEMS_MAX`].
    #[error("more than {} items: remove some", Labels::ITEMS_MAX)]
    TooManyItems,
    /// The text, as given or as printed, is longer than [`Labels::LENGTH_MAX`].
    #[error("labels of {length} bytes are longer than {}: remove some", Labels::LENGTH_MAX)]
    TooLong {
        /// The length in bytes, with escapes.
        length: usize,
    },
}

impl Labels {
    /// The greatest number of items: what a selector has to look through for one node.
    pub const ITEMS_MAX: usize = 64;
    /// The greatest length of the text in bytes: labels of every worker are copied to every control node.
    pub const LENGTH_MAX: usize = 4096;

    /// Every item, in the order in which they were given.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The item of this name.
    #[must_use]
    pub fn item(&self, name: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.name() == name)
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Puts an item in the place of the one with its name, which is returned, or at the end.
    ///
    /// # Errors
    /// [`LabelsError::TooManyItems`] and [`LabelsError::TooLong`]; then nothing has changed.
    pub fn update(&mut self, item: Item) -> Result<Option<Item>, LabelsError> {
        let mut items = self.items.clone();
        let replaced = match items.iter().position(|own| own.name() == item.name()) {
            Some(place) => Some(std::mem::replace(&mut items[place], item)),
            None => {
                items.push(item);
                None
            }
        };
        *self = Self::checked(items)?;
        Ok(replaced)
    }

    /// Removes the item of this name and returns it.
    pub fn remove(&mut self, name: &str) -> Option<Item> {
        let place = self.items.iter().position(|item| item.name() == name)?;
        Some(self.items.remove(place))
    }

    /// Labels of these items, whose names differ, if they stay within the limits.
    fn checked(items: Vec<Item>) -> Result<Self, LabelsError> {
        if items.len() > Self::ITEMS_MAX {
            return Err(LabelsError::TooManyItems);
        }
        let labels = Self { items };
        let length = labels.print().len();
        if length > Self::LENGTH_MAX {
            return Err(LabelsError::TooLong { length });
        }
        Ok(labels)
    }

    fn parse(text: &str) -> Result<Self, LabelsError> {
        if text.len() > Self::LENGTH_MAX {
            return Err(LabelsError::TooLong { length: text.len() });
        }
        let mut items: Vec<Item> = Vec::new();
        for (item, at) in split_items(text) {
            if items.len() == Self::ITEMS_MAX {
                return Err(LabelsError::TooManyItems);
            }
            let start = at + item.len() - item.trim_start().len();
            let item = parse_item(item, at)?;
            if items.iter().any(|own| own.name() == item.name()) {
                return Err(LabelsError::RepeatedItem { name: item.name().to_owned(), at: start });
            }
            items.push(item);
        }
        Self::checked(items)
    }

    fn print(&self) -> String {
        let mut text = String::new();
        for (place, item) in self.items.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            item.print_into(&mut text);
        }
        text
    }
}

impl FromStr for Labels {
    type Err = LabelsError;
    fn from_str(text: &str) -> Result<Self, LabelsError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for Labels {
    type Error = LabelsError;
    fn try_from(text: &str) -> Result<Self, LabelsError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Labels {
    type Error = LabelsError;
    fn try_from(text: String) -> Result<Self, LabelsError> {
        Self::parse(&text)
    }
}

impl From<Labels> for String {
    fn from(labels: Labels) -> Self {
        labels.print()
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.print())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ItemPart;
    use proptest::prelude::*;

    fn labels(text: &str) -> Labels {
        text.parse().expect(text)
    }

    fn refusal(text: &str) -> LabelsError {
        text.parse::<Labels>().expect_err(text)
    }

    #[test]
    fn labels_answer_for_their_items() {
        let labels = labels("core;group=group1;master, meta2;labelA=1");
        assert_eq!(labels.items().len(), 2);
        assert_eq!(labels.item("core").and_then(|item| item.value("group")), Some("group1"));
        assert!(labels.item("core").is_some_and(|item| item.has("master")));
        assert_eq!(labels.item("Core"), None);
        assert_eq!(labels.to_string(), "core;group=group1;master,meta2;labelA=1");
    }

    #[test]
    fn text_is_canonical_after_one_print() {
        for (given, printed) in [
            ("", ""),
            (" \t", ""),
            (" b , a ; k = v ;k2 ", "b,a;k=v;k2"),
            ("a;k=two words", "a;k=two%20words"),
            ("%61;%c3%bc=%C3%BC", "a;ü=ü"),
            ("a;k=%2c%3B%3d%25%0a", "a;k=%2C%3B%3D%25%0A"),
            ("größe;名前=值", "größe;名前=值"),
            ("a;k=%20 x %20", "a;k=%20%20x%20%20"),
        ] {
            assert_eq!(labels(given).to_string(), printed);
            assert_eq!(labels(printed), labels(given));
        }
    }

    #[test]
    fn refusals_say_where_and_what() {
        let empty = |at, part| LabelsError::Item { at, reason: ItemError::Empty { part } };
        assert_eq!(refusal("a,,b"), empty(2, ItemPart::Name));
        assert_eq!(refusal("a, "), empty(3, ItemPart::Name));
        assert_eq!(refusal("a;"), empty(2, ItemPart::Key));
        assert_eq!(refusal("a; =v"), empty(3, ItemPart::Key));
        assert_eq!(refusal("ä,a=1"), LabelsError::NameWithValue { at: 4 });
        assert_eq!(refusal("a;k=1=2"), LabelsError::Forbidden { found: '=', at: 5 });
        assert_eq!(refusal("a;k=1\u{7}2"), LabelsError::Forbidden { found: '\u{7}', at: 5 });
        assert_eq!(refusal("a;k=%2"), LabelsError::Escape { at: 4 });
        assert_eq!(refusal("a;k=%+1"), LabelsError::Escape { at: 4 });
        assert_eq!(refusal("a;k=%é1"), LabelsError::Escape { at: 4 });
        assert_eq!(refusal("a;k=%ff"), LabelsError::NotUtf8 { at: 4 });
        assert_eq!(refusal("a, b, a"), LabelsError::RepeatedItem { name: "a".into(), at: 6 });
        let reason = ItemError::RepeatedKey { item: "a".into(), key: "k".into() };
        assert_eq!(refusal("a;k;%6B=1"), LabelsError::Item { at: 4, reason });
        assert_eq!(
            refusal("a, b;k;k").to_string(),
            "bad item at byte 7: key \"k\" of item \"b\" is given a second time: give it once"
        );
    }

    #[test]
    fn an_update_replaces_one_item_and_a_removal_takes_one() {
        let mut labels = labels("a;k=1,b,c");
        let update = |labels: &mut Labels, text: &str| labels.update(text.parse().unwrap()).unwrap();
        assert_eq!(update(&mut labels, "a;k=2").map(String::from), Some("a;k=1".to_owned()));
        assert_eq!(update(&mut labels, "d;x"), None);
        assert_eq!(labels.to_string(), "a;k=2,b,c,d;x");
        assert_eq!(labels.remove("b").map(String::from), Some("b".to_owned()));
        assert_eq!(labels.remove("b"), None);
        assert_eq!(labels.to_string(), "a;k=2,c,d;x");
    }

    #[test]
    fn limits_hold_and_a_refused_update_changes_nothing() {
        let full: Vec<String> = (0..Labels::ITEMS_MAX).map(|number| format!("i{number}")).collect();
        let mut full = labels(&full.join(","));
        let before = full.clone();
        assert_eq!(full.update(Item::new("one-more").unwrap()), Err(LabelsError::TooManyItems));
        assert_eq!(full, before);
        assert!(full.update(Item::new("i0").unwrap()).is_ok());
        assert_eq!(refusal(&format!("{full},one-more")), LabelsError::TooManyItems);

        let value = "v".repeat(250);
        let long: Vec<String> = (0..16).map(|number| format!("{number:x};k={value}")).collect();
        let mut long = labels(&long.join(","));
        assert_eq!(long.to_string().len(), 16 * 254 + 15);
        let item = Item::new("x").unwrap().with_value("k", "v".repeat(30)).unwrap();
        assert_eq!(long.update(item), Err(LabelsError::TooLong { length: 4079 + 35 }));
        assert_eq!(long.items().len(), 16);
        assert_eq!(refusal(&" ".repeat(4097)), LabelsError::TooLong { length: 4097 });
        let spaces = vec![format!("i;k=x{}x", " ".repeat(250)); 6];
        let spaces: Vec<String> = spaces.iter().enumerate().map(|(n, item)| format!("{n}{item}")).collect();
        assert!(matches!(refusal(&spaces.join(",")), LabelsError::TooLong { length } if length > 4096));
    }

    /// Texts that are nearly labels: punctuation, escapes, white space and some letters, by chance in the right
    /// order.
    fn near_labels() -> impl Strategy<Value = String> {
        "([a-dä ]{0,3}(;[a-d\\x00-\\x20é%]{0,3}(=[0-9a-f% ]{0,4})?){0,3},){0,3}[a-d,;=%]{0,6}"
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in prop_oneof!["(?s).{0,60}", near_labels()]) {
            if let Ok(labels) = text.parse::<Labels>() {
                let printed = labels.to_string();
                prop_assert_eq!(printed.parse::<Labels>(), Ok(labels.clone()));
                prop_assert_eq!(labels.to_string(), printed);
            }
        }

        #[test]
        fn labels_made_of_any_items_survive_their_text(
            items in prop::collection::vec(("(?s).{1,8}", prop::collection::btree_map("(?s).{1,8}",
                prop::option::of("(?s).{0,8}"), 0..4)), 0..6)
        ) {
            let mut labels = Labels::default();
            for (name, keys) in items {
                let item = keys.into_iter().fold(Item::new(name).unwrap(), |item, (key, value)| {
                    item.with(key, value).unwrap()
                });
                labels.update(item.clone()).unwrap();
                prop_assert_eq!(labels.item(item.name()), Some(&item));
            }
            prop_assert_eq!(labels.to_string().parse::<Labels>(), Ok(labels.clone()));
            let bytes = postcard::to_stdvec(&labels).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Labels>(&bytes), Ok(labels));
        }

        #[test]
        fn serde_refuses_what_the_parser_refuses(text in near_labels()) {
            let bytes = postcard::to_stdvec(&text).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Labels>(&bytes).ok(), text.parse().ok());
        }
    }
}
