//! Which workers may be chosen, by their labels: `group=group1 && gpu && zone in (a, b) && !spot`.
//!
//! The selector is a value of its own, so that it can be checked where a person types it, printed where it is
//! explained, and evaluated for many workers without parsing again.

mod error;
mod expression;
mod parse;
mod path;
#[cfg(test)]
mod tests;
mod word;

use std::fmt;
use std::str::FromStr;

use phalanx_base::Labels;
use serde::{Deserialize, Serialize};

pub use error::{Expected, SelectorError};
use expression::{Expression, join_into};
pub use path::LabelPath;

/// A condition on labels, such as `group=group1 && gpu && zone in (a, b) && !spot`.
///
/// | text | holds for a worker |
/// |---|---|
/// | `gpu`, `!gpu` | that has an item or a key of this name; that has none |
/// | `core;gpu` | whose item `core` has the key `gpu` (so everywhere below) |
/// | `zone=a`, `zone != a` | one of whose items has the key `zone` with this value; none of whose items has |
/// | `zone=` | whose key has the empty value (a key without a value has none) |
/// | `zone in (a, b)`, `zone not in (a, b)` | with one of the values; with none of them |
/// | `x && y`, `x \|\| y`, `!(x)` | both; either; not (`&&` binds closer than `\|\|`) |
/// | nothing | every worker |
///
/// As in Kubernetes and in Nomad, a negation also holds where the label is not there at all, and the signs `,` (for
/// `&&`), `==` and `notin` are taken too. Words are those of [`Labels`]: case counts, and punctuation, white space and
/// the signs `< > " ' ~ * { } %` are written as percent-escapes, such as `%2C`. What was printed parses to an equal
/// selector.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    clauses: Vec<Clause>,
}

/// A part of a [`Selector`] which every worker must meet: what stands between `&&` on the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause(Expression);

impl Selector {
    /// The greatest length of the text in bytes: as long as the text of the labels themselves.
    pub const LENGTH_MAX: usize = 4096;
    /// The greatest number of terms: what is looked at for each of 100,000 workers.
    pub const TERMS_MAX: usize = 64;
    /// The greatest number of values in one list, for the same reason.
    pub const VALUES_MAX: usize = 64;
    /// How deep parentheses may stand in parentheses: nobody reads deeper ones, and the parser's stack stays small.
    pub const DEPTH_MAX: usize = 8;

    /// Whether a worker with these labels meets it.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.clauses.iter().all(|clause| clause.matches(labels))
    }

    /// What a worker must meet, all of it.
    #[must_use]
    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// Whether every worker meets it, since it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }

    /// A name, key or value as it is written in a selector: for those who put one together from words that may be
    /// anything.
    #[must_use]
    pub fn escape(word: &str) -> String {
        let mut text = String::new();
        word::print_into(word, &mut text);
        text
    }

    fn print(&self) -> String {
        let mut text = String::new();
        match self.clauses.as_slice() {
            [Clause(only)] => only.print_into(&mut text),
            clauses => join_into(clauses, " && ", &mut text, |Clause(part), text| part.print_as_part(text)),
        }
        text
    }
}

impl Clause {
    /// Whether a worker with these labels meets it.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.matches(labels)
    }

    /// What it says of those who do not meet it, of one or of `many`: "lacks gpu".
    pub(crate) fn failure(&self, many: bool) -> String {
        let is_existence = |term: &expression::Term| term.values.is_empty();
        match &self.0 {
            Expression::Term(term) if is_existence(term) && term.is_negated => {
                format!("{} {}", if many { "have" } else { "has" }, term.path)
            }
            Expression::Term(term) if is_existence(term) => {
                format!("{} {}", if many { "lack" } else { "lacks" }, term.path)
            }
            other => format!("{} not match {other}", if many { "do" } else { "does" }),
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;
    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let clauses = match parse::Parser::new(text)?.whole()? {
            None => Vec::new(),
            Some(Expression::All(parts)) => parts.into_iter().map(Clause).collect(),
            Some(other) => vec![Clause(other)],
        };
        let selector = Self { clauses };
        // Spaces that the printer adds count too: what is printed must parse.
        let length = selector.print().len();
        if length > Self::LENGTH_MAX { Err(SelectorError::TooLong { length }) } else { Ok(selector) }
    }
}

impl TryFrom<String> for Selector {
    type Error = SelectorError;
    fn try_from(text: String) -> Result<Self, SelectorError> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.print()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.print())
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
