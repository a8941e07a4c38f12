//! Every channel has a bound: a queue without one turns a slow reader into a process without memory.

use super::Violation;
use super::lexer::{name_at, occurrences};
use super::source::{Source, Sources};

const RULE: &str = "bounded-channels";

/// What channels without a bound are called in the crates that make them.
const WORDS: &[&str] = &["unbounded", "unbounded_channel", "UnboundedSender", "UnboundedReceiver"];

/// Channels without a bound in `crates/*/src`, tests included: what is tested is the bound.
pub(super) fn check(sources: &Sources) -> Vec<Violation> {
    sources.shipped().flat_map(of_file).collect()
}

fn of_file(file: &Source) -> Vec<Violation> {
    let named = WORDS.iter().flat_map(|word| occurrences(&file.code, word));
    let of_std =
        occurrences(&file.code, "mpsc::channel").filter(|at| is_called_without_bound(&file.code, *at));
    let mut found: Vec<usize> = named.chain(of_std).collect();
    found.sort_unstable();
    let message = "a channel without a bound: give it a capacity, as a constant with its reason";
    found.into_iter().map(|at| file.violation(RULE, at, message.to_owned())).collect()
}

/// Tells the standard library's `mpsc::channel()` from tokio's `mpsc::channel(CAPACITY)`.
fn is_called_without_bound(code: &str, at: usize) -> bool {
    let call = at + "mpsc::channel".len();
    let open = code[call..].find('(').map(|offset| call + offset);
    open.is_some_and(|open| {
        name_at(code, open + 1).is_none() && code[open + 1..].trim_start().starts_with(')')
    })
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::{places, sources};
    use super::*;

    #[test]
    fn channels_without_a_bound_are_found() {
        for call in [
            "mpsc::unbounded_channel()",
            "async_channel::unbounded::<u8>()",
            "std::sync::mpsc::channel()",
            "mpsc::channel::<u8>()",
            "x as mpsc::UnboundedSender<u8>",
        ] {
            let text = format!("fn f() {{\n{call}; }}");
            assert_eq!(
                places(&check(&sources(&[("crates/a/src/l.rs", &text)]))),
                ["crates/a/src/l.rs:2"],
                "{call}"
            );
        }
    }

    #[test]
    fn bounded_ones_pass() {
        let text = "fn f() { mpsc::channel(INBOX_MAX); async_channel::bounded(1); let unbounded_work = 1; }";
        assert!(check(&sources(&[("crates/a/src/l.rs", text)])).is_empty());
    }
}
