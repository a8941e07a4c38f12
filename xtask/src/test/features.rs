//! The sets of features that a crate must compile with.

use std::collections::BTreeSet;

use crate::workspace::Package;

/// A set of features, as cargo's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FeatureSet {
    Default,
    None,
    All,
}

impl FeatureSet {
    /// What cargo is told.
    pub(super) fn argument(self) -> &'static str {
        match self {
            FeatureSet::Default => "",
            FeatureSet::None => "--no-default-features",
            FeatureSet::All => "--all-features",
        }
    }
}

/// The sets that differ: where the default is all there is, or nothing, it need not be built twice.
pub(super) fn distinct_sets(package: &Package) -> Vec<FeatureSet> {
    let all: BTreeSet<&str> =
        package.features.keys().map(String::as_str).filter(|name| *name != "default").collect();
    let default = enabled_by_default(package);
    let mut sets = vec![FeatureSet::Default];
    if !default.is_empty() {
        sets.insert(0, FeatureSet::None);
    }
    if default != all {
        sets.push(FeatureSet::All);
    }
    sets
}

/// The features of the package that `default` brings with it, itself excepted.
fn enabled_by_default(package: &Package) -> BTreeSet<&str> {
    let mut enabled = BTreeSet::new();
    let mut to_visit = vec!["default"];
    while let Some(name) = to_visit.pop() {
        for implied in package.features.get(name).into_iter().flatten() {
            let is_own = package.features.contains_key(implied);
            if is_own && enabled.insert(implied.as_str()) {
                to_visit.push(implied);
            }
        }
    }
    enabled
}

#[cfg(test)]
mod tests {
    use super::FeatureSet::{All, Default, None};
    use super::*;
    use crate::workspace::tests::package;

    fn sets(features: &[(&str, &[&str])]) -> Vec<FeatureSet> {
        let mut package = package("a", &[]);
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        package.features =
            features.iter().map(|(name, implied)| ((*name).to_owned(), owned(implied))).collect();
        distinct_sets(&package)
    }

    #[test]
    fn a_crate_without_features_is_built_once() {
        assert_eq!(sets(&[]), [Default]);
        assert_eq!(sets(&[("default", &[])]), [Default]);
    }

    #[test]
    fn a_default_that_is_all_is_not_built_twice() {
        assert_eq!(sets(&[("default", &["x"]), ("x", &["dep:tokio", "y"]), ("y", &[])]), [None, Default]);
    }

    #[test]
    fn what_the_default_leaves_out_is_built_too() {
        assert_eq!(sets(&[("default", &["x"]), ("x", &[]), ("y", &["x"])]), [None, Default, All]);
        assert_eq!(sets(&[("x", &[])]), [Default, All]);
    }
}
