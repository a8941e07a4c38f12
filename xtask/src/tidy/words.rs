//! Words that have no place in the project: marks of unfinished work, and paths of one machine.

use std::fs;
use std::path::Path;

use super::Violation;
use super::lexer::occurrences;
use super::source::list_files;

/// How a word is told from a part of another.
#[derive(Debug, Clone, Copy)]
enum Match {
    /// Neither side of it goes on as a name.
    WholeWord,
    /// Anywhere, in any case.
    Anywhere,
}

/// The words and why not. Each is in two halves, so that this file keeps its own rule.
const WORDS: &[(&str, &str, Match, &str)] = &[
    ("TO", "DO", Match::WholeWord, UNFINISHED),
    ("FIX", "ME", Match::WholeWord, UNFINISHED),
    ("XX", "X", Match::WholeWord, UNFINISHED),
    ("todo", "!", Match::Anywhere, UNFINISHED),
    ("unimplemented", "!", Match::Anywhere, UNFINISHED),
    ("under ", "construction", Match::Anywhere, UNFINISHED),
    ("/wo", "rk/", Match::Anywhere, ONE_MACHINE),
    ("/ro", "ot/", Match::Anywhere, ONE_MACHINE),
    ("/ho", "me/", Match::Anywhere, ONE_MACHINE),
];

const UNFINISHED: &str = "finish it, or leave it out and open an issue";
const ONE_MACHINE: &str =
    "a path of one machine; name it from the root of the project, or make it an argument";

/// Every such word in every text file of the project.
pub(super) fn check(root: &Path) -> Result<Vec<Violation>, String> {
    let mut paths = Vec::new();
    list_files(root, root, &mut paths)?;
    let mut found = Vec::new();
    for path in paths {
        let bytes = fs::read(root.join(&path)).map_err(|error| format!("{path}: {error}"))?;
        // What is no text has no words.
        if let Ok(text) = std::str::from_utf8(&bytes) {
            found.extend(of_text(&path, text));
        }
    }
    Ok(found)
}

fn of_text(path: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for &(start, end, how, reason) in WORDS {
            let word = format!("{start}{end}");
            if contains(line, &word, how) {
                let place = format!("{path}:{}", number + 1);
                found.push(Violation { rule: "words", place, message: format!("`{word}`: {reason}") });
            }
        }
    }
    found
}

fn contains(line: &str, word: &str, how: Match) -> bool {
    match how {
        Match::WholeWord => occurrences(line, word).next().is_some(),
        Match::Anywhere => line.to_ascii_lowercase().contains(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_with_its_line() {
        for (start, end, _, _) in WORDS {
            let found = of_text("a.md", &format!("one\ntwo {start}{end} three"));
            assert_eq!(found.len(), 1, "{start}{end}");
            assert_eq!(found[0].place, "a.md:2");
        }
    }

    #[test]
    fn parts_of_other_words_pass() {
        assert!(of_text("a.md", "XX XXXX TO DO todo = \"warn\" /homepage /workers/ home/").is_empty());
    }

    #[test]
    fn files_of_any_kind_are_read_and_generated_ones_are_not() {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        let text = format!("{}{}", WORDS[0].0, WORDS[0].1);
        for folder in [".ci", "target", ".git"] {
            fs::create_dir(root.path().join(folder)).expect("and folders in it");
            fs::write(root.path().join(folder).join("run"), &text).expect("and files in these");
        }
        fs::write(root.path().join("binary"), b"\xFF\xFE").expect("and one that is no text");
        let found = check(root.path()).expect("all of them can be read");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, ".ci/run:1");
    }
}
