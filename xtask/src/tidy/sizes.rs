//! A file is one noun, a function fits a screen.
//!
//! Lines are counted as a reader meets them: comments and inline tests count for a file, the signature and the closing
//! brace for a function. Test code may be longer, but is in the report too.

use std::fmt::Write;

use super::Violation;
use super::lexer::{closing, name_at, occurrences};
use super::source::{Source, Sources};

/// The most lines of a file, inline tests included: what a reader can keep in mind.
const FILE_LINES_MAX: usize = 600;

/// The most lines of a function: a screen.
const FUNCTION_LINES_MAX: usize = 60;

/// How many files and how many functions the report names.
const REPORTED: usize = 10;

/// A function, or a file.
#[derive(Debug, PartialEq, Eq)]
struct Length {
    lines: usize,
    /// Where it is, and its name if it has one.
    place: String,
    for_tests: bool,
}

/// The longest files and functions of the project, longest first.
pub(super) fn report(sources: &Sources) -> String {
    let files = sources.files.iter().map(file_length).collect();
    let functions =
        sources.files.iter().flat_map(|file| functions(file).into_iter().map(|(length, _)| length));
    let mut report = String::new();
    list(&mut report, &format!("longest files (at most {FILE_LINES_MAX} lines):"), files);
    list(
        &mut report,
        &format!("longest functions (at most {FUNCTION_LINES_MAX} lines):"),
        functions.collect(),
    );
    report
}

/// Files and functions of shipped code that are over the limit.
pub(super) fn check(sources: &Sources) -> Vec<Violation> {
    sources.shipped().flat_map(of_file).collect()
}

fn of_file(file: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let whole = file_length(file);
    if whole.lines > FILE_LINES_MAX && !whole.for_tests {
        let message =
            format!("{} lines, more than {FILE_LINES_MAX}: find the second noun in it", whole.lines);
        found.push(file.violation("sizes", 0, message));
    }
    for (function, at) in functions(file) {
        if function.lines > FUNCTION_LINES_MAX && !function.for_tests {
            let lines = function.lines;
            let message =
                format!("a function of {lines} lines, more than {FUNCTION_LINES_MAX}: split it by its steps");
            found.push(file.violation("sizes", at, message));
        }
    }
    found
}

fn list(report: &mut String, title: &str, mut lengths: Vec<Length>) {
    lengths.sort_by(|a, b| b.lines.cmp(&a.lines).then_with(|| a.place.cmp(&b.place)));
    // Writing to a string cannot fail.
    let _ = writeln!(report, "{title}");
    for Length { lines, place, for_tests } in lengths.iter().take(REPORTED) {
        let kind = if *for_tests { "  (test code)" } else { "" };
        let _ = writeln!(report, "{lines:>6}  {place}{kind}");
    }
}

fn file_length(file: &Source) -> Length {
    Length { lines: file.text.lines().count(), place: file.path.clone(), for_tests: file.is_test_file() }
}

/// The functions of a file that have a body, and where each begins.
fn functions(file: &Source) -> Vec<(Length, usize)> {
    let code = &file.code;
    let with_body = occurrences(code, "fn").filter_map(|at| {
        let name = name_at(code, at + "fn".len())?;
        let end = body_end(code, name.end)?;
        let lines = 1 + code[at..end].matches('\n').count();
        let place = format!("{}:{} {}", file.path, file.line(at), &code[name]);
        Some((Length { lines, place, for_tests: file.is_test(at) }, at))
    });
    with_body.collect()
}

/// The end of the body of a function whose signature goes on at `at`; `None` if it has no body.
fn body_end(code: &str, mut at: usize) -> Option<usize> {
    loop {
        match code.as_bytes().get(at)? {
            b'(' | b'[' => at = closing(code, at),
            b'{' => return Some(closing(code, at)),
            b';' => return None,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::{places, sources};
    use super::*;

    /// A function of so many lines, with braces in it that mean nothing.
    fn function(lines: usize) -> String {
        assert!(lines >= 3);
        format!("fn long() {{\n    let _ = '{{'; // }}\n{}}}\n", "    \"}}\";\n".repeat(lines - 3))
    }

    #[test]
    fn a_function_of_a_line_too_many_is_found() {
        let fits = function(FUNCTION_LINES_MAX);
        let exceeds = format!("//! Header.\n{}", function(FUNCTION_LINES_MAX + 1));
        let found = check(&sources(&[("crates/a/src/fits.rs", &fits), ("crates/a/src/long.rs", &exceeds)]));
        assert_eq!(places(&found), ["crates/a/src/long.rs:2"]);
        assert!(found[0].message.contains("61 lines"), "{}", found[0].message);
    }

    #[test]
    fn a_file_of_a_line_too_many_is_found() {
        let fits = "//\n".repeat(FILE_LINES_MAX);
        let exceeds = "//\n".repeat(FILE_LINES_MAX + 1);
        let found = check(&sources(&[("crates/a/src/fits.rs", &fits), ("crates/a/src/long.rs", &exceeds)]));
        assert_eq!(places(&found), ["crates/a/src/long.rs:1"]);
    }

    #[test]
    fn tests_and_tools_are_reported_but_do_not_fail() {
        let test = format!("#[test]\n{}", function(200));
        let all = sources(&[("crates/a/src/a.rs", &test), ("xtask/src/b.rs", &function(100))]);
        assert!(check(&all).is_empty());
        let report = report(&all);
        assert!(report.contains("   200  crates/a/src/a.rs:2 long  (test code)"), "{report}");
        assert!(report.contains("   100  xtask/src/b.rs:1 long\n"), "{report}");
    }

    #[test]
    fn signatures_of_all_kinds_are_understood() {
        let text = "trait T { fn no_body(&self); }\nfn g<const N: usize>(f: fn(u8) -> u8, x: [u8; { 2 }])\nwhere T: X,\n{\n}";
        let all = sources(&[("crates/a/src/a.rs", text)]);
        let found: Vec<Length> = functions(&all.files[0]).into_iter().map(|(length, _)| length).collect();
        assert_eq!(found, [Length { lines: 4, place: "crates/a/src/a.rs:2 g".to_owned(), for_tests: false }]);
    }

    #[test]
    fn the_report_is_short() {
        let texts: Vec<String> = (3..30).map(function).collect();
        let paths: Vec<String> = (3..30).map(|number| format!("crates/a/src/{number}.rs")).collect();
        let files: Vec<(&str, &str)> =
            paths.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
        assert_eq!(report(&sources(&files)).lines().count(), 2 * (1 + REPORTED));
    }
}
