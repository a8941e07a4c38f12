//! How many checks passed, failed and did not run, read from what test runners print.

use std::fmt;

/// A count of checks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
}

impl Tally {
    /// What a step counts that runs no tests.
    pub(super) const ONE_PASSED: Tally = Tally { passed: 1, failed: 0, skipped: 0 };

    /// What such a step counts when it fails, with the reason.
    pub(super) fn one_failed(reason: String) -> (Self, String) {
        (Tally { passed: 0, failed: 1, skipped: 0 }, reason)
    }

    /// Both together.
    #[must_use]
    pub(super) fn plus(self, other: Tally) -> Self {
        Tally {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }

    /// What a line of a runner's output reports: the summary of nextest, or the result of one binary of `cargo test`.
    pub(super) fn of_line(line: &str) -> Self {
        let line = without_colours(line);
        let line = line.trim();
        if let Some((_, counts)) =
            line.strip_prefix("test result: ").and_then(|result| result.split_once(". "))
        {
            return of_counts(counts.split(';'));
        }
        let summary = line.strip_prefix("Summary [").and_then(|summary| summary.split_once(" run: "));
        summary.map(|(_, counts)| of_counts(without_remarks(counts).split(','))).unwrap_or_default()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Adds up parts such as `3 passed`, `1 timed out`, `2 ignored`, and leaves others out.
fn of_counts<'a>(parts: impl Iterator<Item = &'a str>) -> Tally {
    let mut tally = Tally::default();
    for part in parts {
        let Some((number, what)) = part.trim().split_once(' ') else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        match what {
            "passed" => tally.passed += number,
            "failed" | "timed out" | "exec failed" => tally.failed += number,
            "skipped" | "ignored" => tally.skipped += number,
            _ => {}
        }
    }
    tally
}

/// Drops what stands in parentheses, such as nextest's `(1 slow, 1 flaky)`.
fn without_remarks(text: &str) -> String {
    let outside = text.split('(').map(|part| part.rsplit(')').next().unwrap_or(part));
    outside.map(str::trim_end).collect()
}

/// Drops the escape sequences that colour a terminal.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: usize, failed: usize, skipped: usize) -> Tally {
        Tally { passed, failed, skipped }
    }

    #[test]
    fn cargo_test_is_understood() {
        let line =
            "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 5 filtered out; finished in 0.01s";
        assert_eq!(Tally::of_line(line), tally(12, 0, 3));
        let line = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(Tally::of_line(line), tally(1, 2, 0));
        let line = "test result: \u{1b}[32mok\u{1b}[m. 12 passed; 0 failed; 0 ignored; 0 measured";
        assert_eq!(Tally::of_line(line), tally(12, 0, 0));
    }

    #[test]
    fn nextest_is_understood() {
        assert_eq!(
            Tally::of_line("     Summary [   0.018s] 3 tests run: 3 passed, 1 skipped"),
            tally(3, 0, 1)
        );
        assert_eq!(
            Tally::of_line("     Summary [   0.018s] 1 test run: 1 passed, 0 skipped"),
            tally(1, 0, 0)
        );
        let line = "Summary [ 61.0s] 9/12 tests run: 5 passed (1 slow, 2 leaky), 2 failed, 1 timed out (1 slow), \
                    1 exec failed, 4 skipped";
        assert_eq!(Tally::of_line(line), tally(5, 4, 4));
        let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.018s] \u{1b}[1m3\u{1b}[0m tests run: \
                    \u{1b}[1m3\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m \u{1b}[33;1mskipped\u{1b}[0m";
        assert_eq!(Tally::of_line(line), tally(3, 0, 0));
    }

    #[test]
    fn other_lines_count_nothing() {
        for line in
            ["", "running 3 tests", "test a ... ok", "3 passed", "Summary [ nothing", "test result: odd"]
        {
            assert_eq!(Tally::of_line(line), Tally::default(), "{line}");
        }
    }

    #[test]
    fn tallies_add_up_and_print() {
        assert_eq!(tally(1, 2, 3).plus(Tally::ONE_PASSED).to_string(), "2 passed, 2 failed, 3 skipped");
    }
}
