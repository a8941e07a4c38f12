//! How a record is named: a table that the program declares, and a name inside of it.

use std::fmt;
use std::sync::Arc;

use phalanx_base::NodeId;
use serde::{Deserialize, Serialize, Serializer};

/// The name of a table: 1 to [`Table::BYTES_MAX`] of `a-z 0-9 . _ -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table(Arc<str>);

/// What a record is called: its table, and its name there. Cheap to clone; ordered by table, then by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "(String, String)")]
pub struct Key {
    table: Table,
    name: Arc<str>,
}

/// Why a text is no [`Table`] or no name of a [`Key`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is empty.
    #[error("a table or a key's name is empty: give it at least one character")]
    Empty,
    /// It is too long.
    #[error("a table or a key's name of {bytes} bytes is longer than {bytes_max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// It holds a character that is not allowed there.
    #[error(
        "{found:?} is not allowed: a table has a-z, 0-9, '.', '_' and '-', a key's name no control character"
    )]
    Forbidden {
        /// The character.
        found: char,
    },
}

impl Table {
    /// The longest name of a table in bytes: it travels with every record.
    pub const BYTES_MAX: usize = 32;

    /// Checks the name of a table and takes it.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong.
    pub fn new(name: &str) -> Result<Self, KeyError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        check(name, Self::BYTES_MAX, allowed)?;
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Key {
    /// The longest name of a key in bytes: two node ids, some words and numbers.
    pub const NAME_BYTES_MAX: usize = 256;

    /// Checks a name and makes it a key of that table.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong.
    pub fn new(table: Table, name: &str) -> Result<Self, KeyError> {
        check(name, Self::NAME_BYTES_MAX, |c| !c.is_control())?;
        Ok(Self { table, name: name.into() })
    }

    /// The key of a node's own record in a table of [`Rule::Single`](crate::Rule::Single).
    #[must_use]
    pub fn of_node(table: Table, node: &NodeId) -> Self {
        Self { table, name: node.as_str().into() }
    }

    /// Which table.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The name in the table.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a node is the natural writer: the name is the node's id, alone or with `/` and more behind it.
    #[must_use]
    pub fn belongs_to(&self, node: &NodeId) -> bool {
        // No node id has a slash in it, so that no two nodes share a key.
        self.name.split('/').next() == Some(node.as_str())
    }

    /// What no key of the table comes before.
    pub(crate) fn first_of(table: &Table) -> Self {
        Self { table: table.clone(), name: "".into() }
    }

    /// What the texts take.
    pub(crate) fn bytes(&self) -> usize {
        self.table.0.len() + self.name.len()
    }
}

fn check(text: &str, bytes_max: usize, allowed: impl Fn(char) -> bool) -> Result<(), KeyError> {
    if text.is_empty() {
        return Err(KeyError::Empty);
    }
    if text.len() > bytes_max {
        return Err(KeyError::TooLong { bytes: text.len(), bytes_max });
    }
    text.chars().find(|c| !allowed(*c)).map_or(Ok(()), |found| Err(KeyError::Forbidden { found }))
}

impl TryFrom<(String, String)> for Key {
    type Error = KeyError;
    fn try_from((table, name): (String, String)) -> Result<Self, KeyError> {
        Self::new(Table::new(&table)?, &name)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.table.as_str(), self.name()).serialize(serializer)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.table, self.name)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_node_owns_its_name_and_what_is_below_it() {
        let key = |name: &str| Key::new(Table::new("labels").unwrap(), name).unwrap();
        let node = NodeId::new("a").unwrap();
        assert!(key("a").belongs_to(&node) && key("a/cpu").belongs_to(&node));
        assert!(!key("ab").belongs_to(&node) && !key("b/a").belongs_to(&node));
        assert!(Key::of_node(Table::new("labels").unwrap(), &node).belongs_to(&node));
    }

    proptest! {
        #[test]
        fn what_the_parser_refuses_the_wire_refuses(table in ".{0,40}", name in ".{0,300}") {
            let bytes = postcard::to_stdvec(&(&table, &name)).unwrap();
            let parsed = Table::new(&table).and_then(|table| Key::new(table, &name));
            prop_assert_eq!(postcard::from_bytes::<Key>(&bytes).ok(), parsed.clone().ok());
            if let Ok(key) = parsed {
                prop_assert_eq!(postcard::to_stdvec(&key).unwrap(), bytes);
            }
        }
    }
}
