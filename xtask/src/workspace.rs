//! What cargo knows about this workspace: its packages, what they depend on, and their features.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cargo::cargo;

/// The workspace, as `cargo metadata --no-deps` describes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
}

/// One package of the workspace.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    pub(crate) targets: Vec<Target>,
}

/// One dependency that a manifest declares, whatever feature or platform it is for.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for an ordinary one, otherwise `dev` or `build`.
    pub(crate) kind: Option<String>,
}

/// One thing that is built from a package.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Target {
    pub(crate) kind: Vec<String>,
}

impl Workspace {
    /// Asks cargo about the workspace that the current folder belongs to.
    pub(crate) fn load() -> Result<Self, String> {
        let output = cargo(Path::new("."))
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .output()
            .map_err(|error| format!("cargo metadata does not start: {error}"))?;
        if !output.status.success() {
            return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("cargo metadata answers oddly: {error}"))
    }

    /// The packages under `crates/` that are libraries, ordered by what they build on: base first, facade last.
    pub(crate) fn libraries(&self) -> Vec<&Package> {
        let mut libraries: Vec<&Package> = self
            .packages
            .iter()
            .filter(|package| package.is_library() && self.is_in_crates(package))
            .collect();
        libraries.sort_by_key(|package| (self.internal_depth(package), package.name.clone()));
        libraries
    }

    /// The folder of a package, from the root, with forward slashes.
    pub(crate) fn folder(&self, package: &Package) -> String {
        let folder = package.manifest_path.parent().unwrap_or(&self.root);
        folder.strip_prefix(&self.root).unwrap_or(folder).to_string_lossy().replace('\\', "/")
    }

    /// Whether a package lies in `crates/`, the folder of what the project ships.
    pub(crate) fn is_in_crates(&self, package: &Package) -> bool {
        self.folder(package).starts_with("crates/")
    }

    /// How many layers of our own packages lie below one.
    fn internal_depth(&self, package: &Package) -> usize {
        let below = package.dependencies.iter().filter(|dependency| dependency.kind.is_none());
        below
            .filter_map(|dependency| self.packages.iter().find(|package| package.name == dependency.name))
            .map(|package| 1 + self.internal_depth(package))
            .max()
            .unwrap_or(0)
    }
}

impl Package {
    fn is_library(&self) -> bool {
        self.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "lib"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A library `name` in `crates/name` of a workspace at `/w`, with ordinary dependencies.
    pub(crate) fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            manifest_path: format!("/w/crates/{name}/Cargo.toml").into(),
            dependencies: dependencies.iter().map(|name| dependency(name, None)).collect(),
            features: BTreeMap::new(),
            targets: vec![Target { kind: vec!["lib".to_owned()] }],
        }
    }

    /// A dependency of any kind.
    pub(crate) fn dependency(name: &str, kind: Option<&str>) -> Dependency {
        Dependency { name: name.to_owned(), kind: kind.map(str::to_owned) }
    }

    /// A workspace at `/w` of these packages.
    pub(crate) fn workspace(packages: Vec<Package>) -> Workspace {
        Workspace { packages, root: "/w".into(), target: "/w/target".into() }
    }

    #[test]
    fn libraries_come_in_the_order_of_their_layers() {
        let mut demo = package("demo", &["top"]);
        demo.manifest_path = "/w/demo/Cargo.toml".into();
        let workspace = workspace(vec![
            package("top", &["left", "serde"]),
            package("left", &["zero"]),
            demo,
            package("zero", &["serde"]),
        ]);
        let names: Vec<&str> = workspace.libraries().iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["zero", "left", "top"]);
    }

    #[test]
    fn metadata_is_understood() {
        let workspace: Workspace = serde_json::from_str(
            r#"{"packages": [{"name": "a", "manifest_path": "/w/crates/a/Cargo.toml", "id": "path+a",
                 "dependencies": [{"name": "b", "kind": "dev", "optional": false}, {"name": "c", "kind": null}],
                 "features": {"default": ["x"], "x": []}, "targets": [{"kind": ["lib"], "name": "a"}]}],
                "workspace_root": "/w", "target_directory": "/w/target"}"#,
        )
        .expect("the fields that we name are there");
        let package = &workspace.packages[0];
        assert_eq!(workspace.folder(package), "crates/a");
        assert_eq!(package.dependencies[0].kind.as_deref(), Some("dev"));
        assert_eq!(package.dependencies[1].kind, None);
        assert!(package.is_library());
    }
}
