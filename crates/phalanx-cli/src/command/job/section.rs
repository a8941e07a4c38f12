//! A table of a job's file that is read key by key: what is wrong is noted with its key, and what nobody reads is wrong too.

use std::fmt::Display;
use std::str::FromStr;

use toml::{Table, Value};

use crate::config::nearest;

/// A table, and what was found wrong with it so far.
pub(in crate::command) struct Section {
    /// What stands before its keys: empty, or the name of the table and a dot.
    prefix: String,
    left: Table,
    known: Vec<&'static str>,
    mistakes: Vec<String>,
}

impl Section {
    /// The whole of a file.
    pub(in crate::command) fn new(table: Table) -> Self {
        Self { prefix: String::new(), left: table, known: Vec::new(), mistakes: Vec::new() }
    }

    /// Notes what is wrong with a key.
    pub(in crate::command) fn wrong(&mut self, key: &str, words: impl Display) {
        self.mistakes.push(format!("{}{key}: {words}", self.prefix));
    }

    /// Whether something is wrong with a key already.
    pub(in crate::command) fn is_told(&self, key: &str) -> bool {
        let begin = format!("{}{key}: ", self.prefix);
        self.mistakes.iter().any(|mistake| mistake.starts_with(&begin))
    }

    /// The value of a key, as it stands there.
    pub(in crate::command) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.left.remove(key)
    }

    /// A value of one word: text, a number or a truth value, read as the type has it.
    pub(in crate::command) fn one<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let value = self.take(key)?;
        self.read(key, &value)
    }

    /// What a value says; a mistake is noted.
    pub(in crate::command) fn read<T: FromStr<Err: Display>>(
        &mut self,
        key: &str,
        value: &Value,
    ) -> Option<T> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(truth) => truth.to_string(),
            other => {
                self.wrong(key, format!("a value is expected, and this is of type {}", other.type_str()));
                return None;
            }
        };
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(key, format!("{text:?}: {error}"));
                None
            }
        }
    }

    /// The values of a list; one that stands alone is a list too.
    pub(in crate::command) fn all<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Vec<T> {
        match self.take(key) {
            None => Vec::new(),
            Some(Value::Array(values)) => values.iter().filter_map(|value| self.read(key, value)).collect(),
            Some(value) => self.read(key, &value).into_iter().collect(),
        }
    }

    /// The values of a table of names.
    #[cfg_attr(
        not(any(feature = "process", feature = "docker")),
        allow(dead_code, reason = "only what runs has an environment")
    )]
    pub(in crate::command) fn named<T: FromStr<Err: Display>>(
        &mut self,
        key: &'static str,
    ) -> Vec<(String, T)> {
        match self.take(key) {
            None => Vec::new(),
            Some(Value::Table(table)) => {
                let read = |(name, value): (String, Value)| {
                    let value = self.read(&format!("{key}.{name}"), &value)?;
                    Some((name, value))
                };
                table.into_iter().filter_map(read).collect()
            }
            Some(_) => {
                self.wrong(key, "write a table of names and values");
                Vec::new()
            }
        }
    }

    /// Reads a table below this one; `None` where there is none, or a word stands in its place.
    pub(in crate::command) fn inside<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section) -> T,
    ) -> Option<T> {
        match self.take(key)? {
            Value::Table(table) => {
                let mut inner = Self { prefix: format!("{}{key}.", self.prefix), ..Self::new(table) };
                let value = read(&mut inner);
                self.mistakes.append(&mut inner.end());
                Some(value)
            }
            _ => {
                self.wrong(key, format!("write a table [{}{key}]", self.prefix));
                None
            }
        }
    }

    /// Everything that is wrong, the keys that nobody has read among it.
    pub(in crate::command) fn end(mut self) -> Vec<String> {
        let left: Vec<String> = self.left.keys().cloned().collect();
        for key in left {
            let nearest = nearest(&key, self.known.iter().copied()).unwrap_or_default();
            self.wrong(&key, format!("there is no such key: did you mean {nearest:?}?"));
        }
        self.mistakes
    }
}
