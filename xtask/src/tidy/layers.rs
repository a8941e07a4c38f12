//! Arrows point down: who may depend on whom inside the workspace.
//!
//! Each crate below the facade must be of use alone, so it knows the nouns below it and nothing beside or above it.
//! Dependencies of tests count like the others: a test that needs a neighbour tests the wrong crate.

use super::Violation;
use crate::Workspace;
use crate::workspace::{Dependency, Package};

/// The nouns that cross crates.
const BASE: &str = "phalanx-base";

/// What builds on the nouns only.
const SIBLINGS: &[&str] = &[
    "phalanx-membership",
    "phalanx-placement",
    "phalanx-discovery",
    "phalanx-transport",
    "phalanx-jobs",
    "phalanx-metadata",
];

/// What may build on jobs and metadata too.
const UPPER: &[&str] = &["phalanx-topics", DRIVERS];
/// The job classes of ours.
const DRIVERS: &str = "phalanx-drivers";
const BELOW_UPPER: &[&str] = &["phalanx-jobs", "phalanx-metadata"];

/// What keeps jobs at their number: it chooses workers as placement does.
const SUPERVISION: &str = "phalanx-supervision";
const BELOW_SUPERVISION: &[&str] = &[BASE, "phalanx-placement"];

const FACADE: &str = "phalanx";
const SIMULATOR: &str = "phalanx-sim";
/// How operators talk to a node: above the facade, so that whoever embeds one can be operated too.
const OPERATOR: &str = "phalanx-operator";
const PROGRAM: &str = "phalanx-cli";

/// What shows the facade, with the drivers that it can be asked for, and needs nothing else. Examples may run in the simulator, and show how to do without the facade.
const DEMONSTRATION: &str = "cluster-demo";
/// What runs the simulator by the hundred.
const SIMULATIONS: &str = "cluster-sim";
const EXAMPLES: &str = "examples";

/// The crates from which an example builds a stack of its own.
const BELOW_EXAMPLES: &[&str] =
    &["phalanx-base", "phalanx-membership", "phalanx-placement", "phalanx-discovery", "phalanx-transport"];

/// The scenarios: they may look into single crates.
const SCENARIOS: &str = "tests";

/// The checks, which must build when nothing else does.
const CHECKS: &str = "xtask";

/// Arrows that point up or sideways, and packages that have no place yet.
pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    let names: Vec<&str> = workspace.packages.iter().map(|package| package.name.as_str()).collect();
    let mut found = Vec::new();
    for package in &workspace.packages {
        let place = format!("{}/Cargo.toml", workspace.folder(package));
        let messages = of_package(package, &names);
        found.extend(messages.into_iter().map(|message| Violation {
            rule: "layers",
            place: place.clone(),
            message,
        }));
    }
    found
}

fn of_package(package: &Package, workspace: &[&str]) -> Vec<String> {
    if !is_known(&package.name) {
        return vec![format!("{} has no layer: give it one in xtask/src/tidy/layers.rs", package.name)];
    }
    let of_ours =
        package.dependencies.iter().filter(|dependency| workspace.contains(&dependency.name.as_str()));
    let wrong = of_ours.filter(|dependency| !may_use(&package.name, &dependency.name));
    wrong.map(|dependency| message(&package.name, dependency)).collect()
}

fn message(from: &str, to: &Dependency) -> String {
    let kind = to.kind.as_deref().map(|kind| format!(" ({kind}-dependency)")).unwrap_or_default();
    format!(
        "{from} must not depend on {}{kind}: arrows point down, and siblings do not import each other",
        to.name
    )
}

fn is_known(name: &str) -> bool {
    is_library_below_facade(name)
        || [FACADE, SIMULATOR, OPERATOR, PROGRAM, DEMONSTRATION, SIMULATIONS, EXAMPLES, SCENARIOS, CHECKS]
            .contains(&name)
}

fn is_library_below_facade(name: &str) -> bool {
    name == BASE || name == SUPERVISION || SIBLINGS.contains(&name) || UPPER.contains(&name)
}

/// Whether the package `from` may depend on the package `to`. Each may depend on itself, to test with other features.
fn may_use(from: &str, to: &str) -> bool {
    if from == to {
        return true;
    }
    match from {
        CHECKS | BASE => false,
        FACADE => is_library_below_facade(to),
        SUPERVISION => BELOW_SUPERVISION.contains(&to),
        SIMULATOR | OPERATOR => is_library_below_facade(to) || to == FACADE,
        PROGRAM => is_library_below_facade(to) || [FACADE, OPERATOR].contains(&to),
        DEMONSTRATION => [FACADE, DRIVERS].contains(&to),
        SIMULATIONS => to == SIMULATOR,
        EXAMPLES => [FACADE, SIMULATOR, OPERATOR].contains(&to) || BELOW_EXAMPLES.contains(&to),
        SCENARIOS => is_library_below_facade(to) || [FACADE, SIMULATOR, OPERATOR, PROGRAM].contains(&to),
        upper if UPPER.contains(&upper) => to == BASE || BELOW_UPPER.contains(&to),
        _ => to == BASE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::tests::{dependency, package, workspace};

    /// What is wrong in a workspace where `from` depends on `to`.
    fn found(from: &str, to: &str) -> Vec<Violation> {
        check(&workspace(vec![package(from, &[to, "serde"]), package(to, &[])]))
    }

    #[test]
    fn arrows_down_pass() {
        for (from, to) in [
            ("phalanx-jobs", "phalanx-base"),
            ("phalanx-drivers", "phalanx-jobs"),
            ("phalanx-topics", "phalanx-metadata"),
            ("phalanx", "phalanx-topics"),
            ("phalanx-sim", "phalanx"),
            ("phalanx-operator", "phalanx"),
            ("phalanx-cli", "phalanx"),
            ("phalanx-cli", "phalanx-operator"),
            ("tests", "phalanx-operator"),
            ("examples", "phalanx"),
            ("examples", "phalanx-placement"),
            ("cluster-demo", "phalanx"),
            ("cluster-demo", "phalanx-drivers"),
            ("tests", "phalanx-transport"),
        ] {
            assert_eq!(found(from, to), [], "{from} → {to}");
        }
    }

    #[test]
    fn arrows_up_and_sideways_are_found() {
        for (from, to) in [
            ("phalanx-base", "phalanx-jobs"),
            ("phalanx-jobs", "phalanx-transport"),
            ("phalanx-metadata", "phalanx-membership"),
            ("phalanx-placement", "phalanx"),
            ("phalanx-drivers", "phalanx-topics"),
            ("phalanx-drivers", "phalanx-transport"),
            ("phalanx", "phalanx-sim"),
            ("phalanx", "phalanx-operator"),
            ("phalanx-operator", "phalanx-cli"),
            ("phalanx-operator", "phalanx-sim"),
            ("phalanx-sim", "phalanx-cli"),
            ("examples", "phalanx-jobs"),
            ("cluster-demo", "phalanx-base"),
            ("xtask", "phalanx-base"),
        ] {
            assert_eq!(found(from, to).len(), 1, "{from} → {to}");
        }
    }

    #[test]
    fn tests_are_no_excuse() {
        let mut jobs = package("phalanx-jobs", &[]);
        jobs.dependencies = vec![dependency("phalanx-transport", Some("dev"))];
        let found = check(&workspace(vec![jobs, package("phalanx-transport", &[])]));
        assert_eq!(found[0].place, "crates/phalanx-jobs/Cargo.toml");
        assert!(found[0].message.contains("dev-dependency"), "{}", found[0].message);
    }

    #[test]
    fn a_package_without_a_layer_is_found() {
        let found = check(&workspace(vec![package("phalanx-utils", &[])]));
        assert!(found[0].message.contains("no layer"));
    }
}
