//! Each package is laid out like the others: folder, README, licence, lints.

use std::fs;

use super::Violation;
use crate::Workspace;

/// What every package takes from the workspace: key, and why.
const INHERITED: &[(&str, &str)] = &[
    ("license", "one licence for all of it"),
    ("publish", "one decision for all of it"),
    ("rust-version", "one compiler for all of it"),
];

/// What a rule needs to know about a package.
#[derive(Debug)]
struct Layout<'a> {
    name: &'a str,
    folder: &'a str,
    is_in_crates: bool,
    manifest: &'a str,
    has_readme: bool,
}

/// Packages that are laid out differently.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<Violation>, String> {
    let mut found = Vec::new();
    for package in &workspace.packages {
        let path = &package.manifest_path;
        let manifest = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        found.extend(of_package(&Layout {
            name: &package.name,
            folder: &workspace.folder(package),
            is_in_crates: workspace.is_in_crates(package),
            manifest: &manifest,
            has_readme: path.with_file_name("README.md").exists(),
        }));
    }
    Ok(found)
}

fn of_package(package: &Layout<'_>) -> Vec<Violation> {
    let mut messages = Vec::new();
    if package.folder.rsplit('/').next() != Some(package.name) {
        messages.push(format!("the package is called {:?}: give the folder its name", package.name));
    }
    if package.is_in_crates && !package.has_readme {
        messages.push("no README.md: say what the crate is for, with a snippet that runs".to_owned());
    }
    if package.is_in_crates && value(package.manifest, "package", "description").is_none() {
        messages.push("no `description`: one line on what the crate is for".to_owned());
    }
    for &(key, why) in INHERITED {
        if !is_inherited(package.manifest, "package", key) {
            messages.push(format!("`{key}.workspace = true` is missing: {why}"));
        }
    }
    if value(package.manifest, "lints", "workspace") != Some("true") {
        messages.push("`[lints] workspace = true` is missing: the same lints everywhere".to_owned());
    }
    let place = format!("{}/Cargo.toml", package.folder);
    let violation = |message| Violation { rule: "manifests", place: place.clone(), message };
    messages.into_iter().map(violation).collect()
}

/// Whether a key of a section takes its value from the workspace, in either of TOML's spellings.
fn is_inherited(manifest: &str, section: &str, key: &str) -> bool {
    let inline = value(manifest, section, key).map(|value| value.replace(' ', ""));
    value(manifest, section, &format!("{key}.workspace")) == Some("true")
        || inline.as_deref() == Some("{workspace=true}")
}

/// The value of a key in a section of a manifest, as it is written.
fn value<'a>(manifest: &'a str, section: &str, key: &str) -> Option<&'a str> {
    let header = format!("[{section}]");
    let lines = manifest.lines().map(str::trim).skip_while(|line| *line != header).skip(1);
    let mut pairs = lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
    pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"a\"\ndescription = \"An a\"\nlicense.workspace = true\n\
                        publish = { workspace = true }\nrust-version.workspace = true\n\n[lints]\nworkspace = true\n";

    fn layout<'a>(folder: &'a str, manifest: &'a str) -> Layout<'a> {
        Layout { name: "a", folder, is_in_crates: folder.starts_with("crates/"), manifest, has_readme: true }
    }

    fn messages(package: &Layout<'_>) -> Vec<String> {
        of_package(package).into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn a_good_package_passes() {
        assert_eq!(messages(&layout("crates/a", GOOD)), Vec::<String>::new());
    }

    #[test]
    fn a_folder_of_another_name_is_found() {
        assert!(messages(&layout("crates/b", GOOD))[0].contains("give the folder its name"));
        assert!(messages(&layout("tools/b", GOOD))[0].contains("give the folder its name"));
        assert!(messages(&layout("tools/a", GOOD)).is_empty());
    }

    #[test]
    fn a_missing_readme_is_found() {
        let package = Layout { has_readme: false, ..layout("crates/a", GOOD) };
        assert!(messages(&package)[0].contains("README.md"));
        assert!(messages(&Layout { is_in_crates: false, ..package }).is_empty());
    }

    #[test]
    fn whatever_is_left_out_of_the_manifest_is_found() {
        for line in GOOD.lines().filter(|line| line.contains("workspace") || line.contains("description")) {
            let without: String =
                GOOD.lines().filter(|other| *other != line).map(|line| line.to_owned() + "\n").collect();
            assert_eq!(messages(&layout("crates/a", &without)).len(), 1, "without {line}");
        }
    }

    #[test]
    fn own_values_do_not_count() {
        let own = GOOD.replace("license.workspace = true", "license = \"MIT\"");
        assert!(messages(&layout("crates/a", &own))[0].contains("license"));
        let elsewhere = GOOD.replace("[lints]", "[lints.rust]");
        assert!(messages(&layout("crates/a", &elsewhere))[0].contains("lints"));
    }
}
