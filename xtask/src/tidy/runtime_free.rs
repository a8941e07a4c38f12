//! The cores run without an async runtime: no tokio below these crates when their default features are off.

use super::Violation;
use crate::Workspace;
use crate::cargo::cargo;

/// The crates whose cores anybody must be able to drive with a runtime of their own, or with none.
const CRATES: &[&str] = &["phalanx-base", "phalanx-membership", "phalanx-placement", "phalanx-jobs"];

/// What they must not bring in.
const RUNTIME: &str = "tokio";

/// Such crates with the runtime in their ordinary dependencies.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<Violation>, String> {
    let mut found = Vec::new();
    for &name in CRATES {
        if let Some(package) = workspace.packages.iter().find(|package| package.name == name) {
            found.extend(of_tree(&workspace.folder(package), &tree(workspace, name)?));
        }
    }
    Ok(found)
}

/// What is built for a package without its default features, one `depth name version …` a line, on any platform.
fn tree(workspace: &Workspace, name: &str) -> Result<String, String> {
    let mut command = cargo(&workspace.root);
    command.args([
        "tree",
        "--package",
        name,
        "--no-default-features",
        "--edges",
        "normal",
        "--target",
        "all",
    ]);
    command.args(["--prefix", "depth", "--format", " {p}"]);
    let output = command.output().map_err(|error| format!("cargo tree does not start: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("cargo tree of {name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

fn of_tree(folder: &str, tree: &str) -> Option<Violation> {
    let way = way_to(RUNTIME, tree)?;
    let message = format!("{RUNTIME} is there without default features: {}", way.join(" → "));
    Some(Violation { rule: "runtime-free", place: format!("{folder}/Cargo.toml"), message })
}

/// The packages on the way down to the first one of that name.
fn way_to<'a>(wanted: &str, tree: &'a str) -> Option<Vec<&'a str>> {
    let mut way: Vec<&str> = Vec::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        let (Some(depth), Some(name)) = (words.next().and_then(|depth| depth.parse().ok()), words.next())
        else {
            continue;
        };
        way.truncate(depth);
        way.push(name);
        if name == wanted {
            return Some(way);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_found_and_the_way_to_it_named() {
        let tree = "0 jobs v1 (/p)\n1 bytes v1\n1 channel v2\n2 tokio-util v1\n3 tokio v1.4\n";
        let found = of_tree("crates/jobs", tree).expect("there is one");
        assert_eq!(found.place, "crates/jobs/Cargo.toml");
        assert!(found.message.ends_with("jobs → channel → tokio-util → tokio"), "{}", found.message);
    }

    #[test]
    fn other_packages_pass() {
        assert_eq!(of_tree("crates/jobs", "0 jobs v1\n1 tokio-util v1\n1 bytes v1 (*)\n"), None);
    }

    #[test]
    fn this_workspace_is_understood() {
        let workspace = Workspace::load().expect("the tests run inside of it");
        let tree = tree(&workspace, "xtask").expect("it has a tree");
        assert_eq!(way_to("serde_json", &tree), Some(vec!["xtask", "serde_json"]));
        assert_eq!(way_to(RUNTIME, &tree), None);
    }
}
