//! The name of a label: a key, or the key of one item.

use std::fmt;
use std::str::FromStr;

use phalanx_base::Labels;
use serde::{Deserialize, Serialize};

use super::SelectorError;
use super::parse::Parser;
use super::word::print_into;

/// Names a label: `gpu` is the item of that name or the key `gpu` of any item, `core;group` the key `group` of the
/// item `core`. Written as in [`Labels`], with the escapes of a [`Selector`](crate::Selector).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelPath {
    pub(super) item: Option<String>,
    pub(super) key: String,
}

impl LabelPath {
    /// Whether the label is there, with or without a value.
    #[must_use]
    pub fn is_in(&self, labels: &Labels) -> bool {
        match &self.item {
            Some(item) => labels.item(item).is_some_and(|item| item.has(&self.key)),
            None => labels.items().iter().any(|item| item.name() == self.key || item.has(&self.key)),
        }
    }

    /// Every value of the label, in the order of the items: more than one where several items have the key, and none
    /// of a key without a value or of an item.
    pub fn values<'l>(&self, labels: &'l Labels) -> impl Iterator<Item = &'l str> {
        let named = |item: &str| self.item.as_deref().is_none_or(|own| own == item);
        labels.items().iter().filter(move |item| named(item.name())).filter_map(|item| item.value(&self.key))
    }
}

impl FromStr for LabelPath {
    type Err = SelectorError;
    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Parser::new(text)?.whole_path()
    }
}

impl TryFrom<String> for LabelPath {
    type Error = SelectorError;
    fn try_from(text: String) -> Result<Self, SelectorError> {
        text.parse()
    }
}

impl From<LabelPath> for String {
    fn from(path: LabelPath) -> Self {
        path.to_string()
    }
}

impl fmt::Display for LabelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        if let Some(item) = &self.item {
            print_into(item, &mut text);
            text.push(';');
        }
        print_into(&self.key, &mut text);
        f.pad(&text)
    }
}
