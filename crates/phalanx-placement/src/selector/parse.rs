//! From text to selector, by recursive descent; what it recurses into is capped, so that no text exhausts the stack.
//!
//! ```text
//! any   = all { "||" all }
//! all   = unary { ( "&&" | "," ) unary }
//! unary = { "!" } ( "(" any ")" | term )
//! term  = path [ ( "=" | "==" | "!=" ) [ word ] | ( "in" | "not" "in" | "notin" ) "(" word { "," word } ")" ]
//! path  = word [ ";" word ]
//! ```
//!
//! `,`, `==` and `notin` are what Kubernetes writes. `in` and `not` are words like others except behind a path.

use phalanx_base::{ItemError, ItemPart};

use super::error::Expected;
use super::expression::{Expression, Term};
use super::{LabelPath, Selector, SelectorError, word};

/// What other languages write, and what it is here.
const INSTEAD: &[(&str, &str)] =
    &[("and", "&&"), ("AND", "&&"), ("or", "||"), ("OR", "||"), ("is", "="), ("IN", "in"), ("NOT", "not in")];

pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    terms: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, SelectorError> {
        if text.len() > Selector::LENGTH_MAX {
            return Err(SelectorError::TooLong { length: text.len() });
        }
        let mut parser = Self { text, at: 0, depth: 0, terms: 0 };
        parser.skip_space();
        Ok(parser)
    }

    /// A selector and nothing behind it; `None` of a text of white space.
    pub(super) fn whole(mut self) -> Result<Option<Expression>, SelectorError> {
        if self.rest().is_empty() {
            return Ok(None);
        }
        let expression = self.any()?;
        if self.rest().is_empty() { Ok(Some(expression)) } else { Err(self.expected(Expected::Connective)) }
    }

    /// A path and nothing behind it.
    pub(super) fn whole_path(mut self) -> Result<LabelPath, SelectorError> {
        let path = self.path()?;
        if self.rest().is_empty() { Ok(path) } else { Err(self.expected(Expected::PathEnd)) }
    }

    fn any(&mut self) -> Result<Expression, SelectorError> {
        let mut parts = vec![self.all()?];
        while self.take("||") {
            parts.push(self.all()?);
        }
        Ok(Expression::any(parts))
    }

    fn all(&mut self) -> Result<Expression, SelectorError> {
        let mut parts = vec![self.unary()?];
        while self.take("&&") || self.take(",") {
            parts.push(self.unary()?);
        }
        self.refuse_other_connectives()?;
        Ok(Expression::all(parts))
    }

    /// Behind a term: what looks like a connective and is none.
    fn refuse_other_connectives(&self) -> Result<(), SelectorError> {
        let at = self.at;
        match self.peek() {
            Some('&') => Err(SelectorError::Instead { found: "&", instead: "&&", at }),
            Some('|') if !self.rest().starts_with("||") => {
                Err(SelectorError::Instead { found: "|", instead: "||", at })
            }
            Some(';') => Err(SelectorError::Instead { found: ";", instead: "&& item;key", at }),
            _ => Ok(()),
        }
    }

    fn unary(&mut self) -> Result<Expression, SelectorError> {
        let mut is_negated = false;
        while self.take("!") {
            is_negated = !is_negated;
        }
        let opened = self.at;
        let expression = if self.take("(") { self.group(opened)? } else { self.term()? };
        Ok(if is_negated { expression.negated() } else { expression })
    }

    /// What is inside parentheses, behind the opening one.
    fn group(&mut self, opened: usize) -> Result<Expression, SelectorError> {
        if self.depth == Selector::DEPTH_MAX {
            return Err(SelectorError::TooDeep { at: opened });
        }
        self.depth += 1;
        let inside = self.any()?;
        self.depth -= 1;
        if self.take(")") {
            Ok(inside)
        } else if self.rest().is_empty() {
            Err(SelectorError::Unclosed { at: opened })
        } else {
            Err(self.expected(Expected::Connective))
        }
    }

    fn term(&mut self) -> Result<Expression, SelectorError> {
        let start = self.at;
        let path = self.path()?;
        if self.terms == Selector::TERMS_MAX {
            return Err(SelectorError::TooManyTerms { at: start });
        }
        self.terms += 1;
        let (values, is_negated) = self.test(start)?;
        Ok(Expression::Term(Term { path, values, is_negated }))
    }

    /// What stands behind the path of a term, which began at `start`: the values, and whether they are negated.
    fn test(&mut self, start: usize) -> Result<(Vec<String>, bool), SelectorError> {
        if self.take("!=") {
            return Ok((vec![self.value()?], true));
        }
        if self.take("==") || self.take("=") {
            return Ok((vec![self.value()?], false));
        }
        match self.peek_word() {
            "in" => self.at += "in".len(),
            "notin" => {
                self.at += "notin".len();
                return Ok((self.list()?, true));
            }
            "not" => {
                self.at += "not".len();
                self.skip_space();
                if self.peek_word() != "in" {
                    return Err(self.expected(Expected::In));
                }
                self.at += "in".len();
                return Ok((self.list()?, true));
            }
            "" if self.peek() != Some('(') && self.peek() != Some(';') => return Ok((Vec::new(), false)),
            other => return Err(self.no_operator(start, other)),
        }
        Ok((self.list()?, false))
    }

    /// Why a word or a parenthesis that stands behind the path at `start` is no operator.
    fn no_operator(&self, start: usize, word: &str) -> SelectorError {
        let before = self.text[start..self.at].trim_end();
        if matches!(before, "not" | "NOT") {
            return SelectorError::Instead { found: "not", instead: "!", at: start };
        }
        match INSTEAD.iter().find(|(found, _)| *found == word) {
            Some((found, instead)) => SelectorError::Instead { found, instead, at: self.at },
            None => self.expected(Expected::Operator),
        }
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        let value = self.word(ItemPart::Value)?;
        let word = self.peek_word();
        if let Some((found, instead)) = INSTEAD.iter().find(|(found, _)| *found == word) {
            return Err(SelectorError::Instead { found, instead, at: self.at });
        }
        Ok(value)
    }

    fn list(&mut self) -> Result<Vec<String>, SelectorError> {
        self.skip_space();
        let opened = self.at;
        if !self.take("(") {
            return Err(self.expected(Expected::List));
        }
        let mut values: Vec<String> = Vec::new();
        loop {
            let at = self.at;
            let value = self.word(ItemPart::Value)?;
            if value.is_empty() {
                let end = self.rest().is_empty();
                return Err(if end {
                    SelectorError::Unclosed { at: opened }
                } else {
                    self.expected(Expected::Value)
                });
            }
            if !values.contains(&value) {
                if values.len() == Selector::VALUES_MAX {
                    return Err(SelectorError::TooManyValues { at });
                }
                values.push(value);
            }
            if self.take(")") {
                return Ok(values);
            }
            if !self.take(",") {
                let end = self.rest().is_empty();
                return Err(if end {
                    SelectorError::Unclosed { at: opened }
                } else {
                    self.expected(Expected::ListEnd)
                });
            }
        }
    }

    fn path(&mut self) -> Result<LabelPath, SelectorError> {
        if self.peek_word().is_empty() {
            return Err(self.expected(Expected::Term));
        }
        let first = self.word(ItemPart::Key)?;
        if !self.take(";") {
            return Ok(LabelPath { item: None, key: first });
        }
        let key = self.word(ItemPart::Key)?;
        Ok(LabelPath { item: Some(first), key })
    }

    /// The next word, with what labels allow of such a part, and the space behind it.
    fn word(&mut self, part: ItemPart) -> Result<String, SelectorError> {
        let (raw, at) = (self.peek_word(), self.at);
        let word = word::decode(raw, at)?;
        let reason = if word.is_empty() && part != ItemPart::Value {
            Some(ItemError::Empty { part })
        } else if word.len() > part.length_max() {
            Some(ItemError::TooLong { part, length: word.len() })
        } else {
            None
        };
        if let Some(reason) = reason {
            return Err(SelectorError::Label { at, reason });
        }
        self.at += raw.len();
        self.skip_space();
        Ok(word)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn peek_word(&self) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(word::is_end).unwrap_or(rest.len())]
    }

    fn take(&mut self, sign: &str) -> bool {
        let is_there = self.rest().starts_with(sign);
        if is_there {
            self.at += sign.len();
            self.skip_space();
        }
        is_there
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn expected(&self, expected: Expected) -> SelectorError {
        SelectorError::Expected { expected, found: self.peek(), at: self.at }
    }
}
