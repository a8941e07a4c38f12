//! What a selector is once it is parsed: terms, joined by and, or and not.
//!
//! There is one shape for one meaning of the text: nothing is joined to a like list inside another, and a negation
//! stands at a term or at a list, never at a negation. So what was printed parses to what it was.

use std::fmt::{self, Write as _};

use phalanx_base::Labels;

use super::LabelPath;
use super::word::print_into;

/// One test of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) path: LabelPath,
    /// Any of these values will do; none at all: the label only has to be there.
    pub(super) values: Vec<String>,
    pub(super) is_negated: bool,
}

impl Term {
    fn matches(&self, labels: &Labels) -> bool {
        let holds = if self.values.is_empty() {
            self.path.is_in(labels)
        } else {
            self.path.values(labels).any(|value| self.values.iter().any(|own| own == value))
        };
        holds != self.is_negated
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    Term(Term),
    /// Two or more, none of which is `All`.
    All(Vec<Expression>),
    /// Two or more, none of which is `Any`.
    Any(Vec<Expression>),
    /// Of an `All` or an `Any`.
    Not(Box<Expression>),
}

impl Expression {
    pub(super) fn matches(&self, labels: &Labels) -> bool {
        match self {
            Self::Term(term) => term.matches(labels),
            Self::All(parts) => parts.iter().all(|part| part.matches(labels)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(labels)),
            Self::Not(part) => !part.matches(labels),
        }
    }

    pub(super) fn all(parts: Vec<Self>) -> Self {
        let flat = parts.into_iter().flat_map(|part| match part {
            Self::All(inner) => inner,
            other => vec![other],
        });
        Self::one_or(flat.collect(), Self::All)
    }

    pub(super) fn any(parts: Vec<Self>) -> Self {
        let flat = parts.into_iter().flat_map(|part| match part {
            Self::Any(inner) => inner,
            other => vec![other],
        });
        Self::one_or(flat.collect(), Self::Any)
    }

    fn one_or(mut parts: Vec<Self>, join: impl Fn(Vec<Self>) -> Self) -> Self {
        match parts.pop() {
            Some(only) if parts.is_empty() => only,
            last => {
                parts.extend(last);
                join(parts)
            }
        }
    }

    pub(super) fn negated(self) -> Self {
        match self {
            Self::Term(term) => Self::Term(Term { is_negated: !term.is_negated, ..term }),
            Self::Not(part) => *part,
            list => Self::Not(Box::new(list)),
        }
    }

    /// Prints the expression as a part of others that are joined by `&&`.
    pub(super) fn print_as_part(&self, text: &mut String) {
        if matches!(self, Self::Any(_)) {
            text.push('(');
            self.print_into(text);
            text.push(')');
        } else {
            self.print_into(text);
        }
    }

    pub(super) fn print_into(&self, text: &mut String) {
        match self {
            Self::Term(term) => term.print_into(text),
            Self::All(parts) => join_into(parts, " && ", text, Self::print_as_part),
            Self::Any(parts) => join_into(parts, " || ", text, Self::print_into),
            Self::Not(part) => {
                text.push_str("!(");
                part.print_into(text);
                text.push(')');
            }
        }
    }
}

/// Prints each, with a separator between them.
pub(super) fn join_into<T>(parts: &[T], separator: &str, text: &mut String, print: impl Fn(&T, &mut String)) {
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            text.push_str(separator);
        }
        print(part, text);
    }
}

impl Term {
    fn print_into(&self, text: &mut String) {
        let operator = match (self.values.as_slice(), self.is_negated) {
            ([], true) => {
                text.push('!');
                ""
            }
            ([], false) => "",
            ([_], false) => "=",
            ([_], true) => " != ",
            (_, false) => " in (",
            (_, true) => " not in (",
        };
        // Writing to a string does not fail.
        let _ = write!(text, "{}{operator}", self.path);
        join_into(&self.values, ", ", text, |value, text| print_into(value, text));
        if self.values.len() > 1 {
            text.push(')');
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.print_into(&mut text);
        f.pad(&text)
    }
}
