//! `select!` takes the first branch that is ready, in the order of the text.
//!
//! Without `biased` it rolls a die, which no seed controls, and which hides starvation instead of showing it.

use super::Violation;
use super::lexer::{name_at, occurrences};
use super::source::{Source, Sources};

/// Uses of `select!` in `crates/*/src`, tests included, that do not begin with `biased`.
pub(super) fn check(sources: &Sources) -> Vec<Violation> {
    sources.shipped().flat_map(of_file).collect()
}

fn of_file(file: &Source) -> Vec<Violation> {
    let unbiased =
        occurrences(&file.code, "select").filter(|at| is_unbiased(&file.code[at + "select".len()..]));
    let message = "`select!` without `biased;`: put it first, and the branches in the order of their urgency";
    unbiased.map(|at| file.violation("biased-select", at, message.to_owned())).collect()
}

/// Whether what follows the word `select` makes it the macro, with something else than `biased` first.
fn is_unbiased(rest: &str) -> bool {
    let Some(arguments) = rest.strip_prefix('!') else { return false };
    let Some(first) = arguments.trim_start().strip_prefix(['{', '(', '[']) else { return false };
    name_at(first, 0).map(|name| &first[name]) != Some("biased")
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::{places, sources};
    use super::*;

    #[test]
    fn a_die_is_found() {
        let text = "fn f() {\n tokio::select! {\n // biased;\n a = b() => {} } }";
        assert_eq!(places(&check(&sources(&[("crates/a/src/l.rs", text)]))), ["crates/a/src/l.rs:2"]);
    }

    #[test]
    fn biased_and_other_selects_pass() {
        let text =
            "fn f() { tokio::select! {\n // why\n biased;\n a = b() => {} } ring.select(1); select_all(x) }";
        assert!(check(&sources(&[("crates/a/src/l.rs", text)])).is_empty());
    }
}
