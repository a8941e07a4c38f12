//! No hash maps: the order of their entries differs from run to run.
//!
//! Sooner or later somebody iterates over one, and then the same seed no longer gives the same run. A `BTreeMap` costs
//! little at our sizes; where it does not suffice, the exception says who guarantees that nobody iterates.

use super::Violation;
use super::allow::{Allowed, Banned};
use super::source::Sources;

const WORDS: &[&str] = &["HashMap", "HashSet", "DashMap", "DashSet"];

const ALLOWED: &[Allowed] = &[];

/// Hash maps and sets in shipped code.
pub(super) fn check(sources: &Sources) -> Vec<Violation> {
    Banned {
        rule: "ordered-maps",
        words: WORDS,
        instead: "use a `BTreeMap` or `BTreeSet`, whose order is the same in every run",
        allowed: ALLOWED,
        list: "xtask/src/tidy/ordered_maps.rs",
    }
    .check(sources)
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::{places, sources};
    use super::*;

    #[test]
    fn hash_maps_are_found() {
        let text =
            "use std::collections::{BTreeMap, HashMap};\ntype A = HashSet<u8>;\ntype B = BTreeMap<u8, u8>;";
        let found = check(&sources(&[("crates/a/src/lib.rs", text)]));
        assert_eq!(places(&found), ["crates/a/src/lib.rs:1", "crates/a/src/lib.rs:2"]);
    }

    #[test]
    fn tests_may_use_them() {
        assert!(check(&sources(&[("crates/a/tests/t.rs", "use std::collections::HashMap;")])).is_empty());
    }
}
