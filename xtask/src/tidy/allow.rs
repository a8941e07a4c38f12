//! Words that shipped code must not use, except where a list says why.

use super::Violation;
use super::lexer::occurrences;
use super::source::{Source, Sources};

/// An exception: one word in one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    /// The file, from the root.
    pub(super) file: &'static str,
    /// The word.
    pub(super) word: &'static str,
    /// Why this is right there. For the reader of the list.
    pub(super) reason: &'static str,
}

/// Words under one rule, and where they are right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Banned<'a> {
    pub(super) rule: &'static str,
    pub(super) words: &'a [&'static str],
    /// What to do instead.
    pub(super) instead: &'static str,
    pub(super) allowed: &'a [Allowed],
    /// The file that holds `allowed`.
    pub(super) list: &'static str,
}

impl Banned<'_> {
    /// Uses outside tests that the list does not allow, and entries of the list that nothing needs.
    pub(super) fn check(&self, sources: &Sources) -> Vec<Violation> {
        let mut found: Vec<Violation> = sources.shipped().flat_map(|file| self.uses(file)).collect();
        found.extend(self.allowed.iter().filter(|entry| !is_needed(entry, sources)).map(|entry| Violation {
            rule: self.rule,
            place: self.list.to_owned(),
            message: format!(
                "{:?} is allowed in {} ({}), where it is not used: remove the entry",
                entry.word, entry.file, entry.reason
            ),
        }));
        found
    }

    fn uses(&self, file: &Source) -> Vec<Violation> {
        let words = self.words.iter().filter(|word| !self.allows(file, word));
        let mut found: Vec<(usize, &str)> =
            words.flat_map(|word| uses_outside_tests(file, word).map(move |at| (at, *word))).collect();
        found.sort_unstable();
        let message = |word| format!("`{word}`: {}", self.instead);
        found.into_iter().map(|(at, word)| file.violation(self.rule, at, message(word))).collect()
    }

    fn allows(&self, file: &Source, word: &str) -> bool {
        self.allowed.iter().any(|entry| entry.file == file.path && entry.word == word)
    }
}

fn uses_outside_tests<'a>(file: &'a Source, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    occurrences(&file.code, word).filter(|at| !file.is_test(*at))
}

fn is_needed(entry: &Allowed, sources: &Sources) -> bool {
    let mut files = sources.shipped().filter(|file| file.path == entry.file);
    files.any(|file| uses_outside_tests(file, entry.word).next().is_some())
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::{places, sources};
    use super::*;

    const ALLOWED: [Allowed; 1] =
        [Allowed { file: "crates/a/src/dice.rs", word: "roll", reason: "it is a die" }];
    const BANNED: Banned<'_> = Banned {
        rule: "luck",
        words: &["roll", "Coin::flip"],
        instead: "take what you are given",
        allowed: &ALLOWED,
        list: "list.rs",
    };

    #[test]
    fn a_banned_word_is_found_in_shipped_code_only() {
        let found = BANNED.check(&sources(&[
            ("crates/a/src/lib.rs", "// roll\nfn a() { roll(); }\nfn b() { Coin::flip(\"roll\") }"),
            ("crates/a/src/dice.rs", "fn a() { roll(); }"),
            ("crates/a/examples/e.rs", "fn a() { roll(); }"),
            ("crates/a/src/inner.rs", "fn rolls() {}\n#[cfg(test)]\nmod tests { fn a() { roll(); } }"),
        ]));
        assert_eq!(places(&found), ["crates/a/src/lib.rs:2", "crates/a/src/lib.rs:3"]);
        assert!(found[0].message.contains("take what you are given"));
    }

    #[test]
    fn an_exception_holds_for_its_word_only() {
        let found = BANNED.check(&sources(&[("crates/a/src/dice.rs", "fn a() { roll(); Coin::flip() }")]));
        assert_eq!(places(&found), ["crates/a/src/dice.rs:1"]);
        assert!(found[0].message.contains("Coin::flip"));
    }

    #[test]
    fn an_exception_that_nothing_needs_is_found() {
        let only_in_tests = [("crates/a/src/dice.rs", "#[test]\nfn a() { roll(); }")];
        assert_eq!(places(&BANNED.check(&sources(&only_in_tests))), ["list.rs"]);
        assert_eq!(places(&BANNED.check(&sources(&[]))), ["list.rs"]);
    }
}
