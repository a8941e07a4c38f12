//! Each file says first what it is responsible for.

use super::Violation;
use super::source::{Source, Sources};

/// Rust files whose first line is no documentation of the file.
pub(super) fn check(sources: &Sources) -> Vec<Violation> {
    let missing = sources.files.iter().filter(|file| !has_header(file));
    let message = "begins without a `//!` header: say what the file is responsible for, and why";
    missing.map(|file| file.violation("headers", 0, message.to_owned())).collect()
}

/// A header is a `//!` comment with words in it, or a README taken as one.
fn has_header(file: &Source) -> bool {
    let mut lines = file.text.lines().map(str::trim).skip_while(|line| line.is_empty());
    let Some(first) = lines.next() else { return false };
    match first.strip_prefix("//!") {
        Some(words) => words.contains(char::is_alphanumeric),
        None => first.starts_with("#![") && first.contains("doc = include_str!("),
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::{places, sources};
    use super::*;

    #[test]
    fn files_without_header_are_found_wherever_they_are() {
        for text in
            ["", "use a::b;\n//! Too late.", "//!\nfn a() {}", "/// Of the item.\nfn a() {}", "// Plain.\n"]
        {
            let found = check(&sources(&[("examples/src/a/tests.rs", text)]));
            assert_eq!(places(&found), ["examples/src/a/tests.rs:1"], "{text}");
        }
    }

    #[test]
    fn headers_and_readmes_pass() {
        for text in [
            "//! What this is for.\n",
            "\n//! After a blank line.\n",
            "#![doc = include_str!(\"../README.md\")]\n",
            "#![cfg_attr(feature = \"x\", doc = include_str!(\"../README.md\"))]\n",
        ] {
            assert!(check(&sources(&[("crates/a/src/lib.rs", text)])).is_empty(), "{text}");
        }
    }
}
