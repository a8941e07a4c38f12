//! Where files are: here, or below a root of one or several workers.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use phalanx::NodeId;

/// A place on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// On this machine.
    Here(PathBuf),
    /// Below a root of these workers.
    There(There),
}

/// A place at workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct There {
    pub(super) nodes: Vec<NodeId>,
    pub(super) root: String,
    /// Below the root; empty for the root itself.
    pub(super) path: String,
    /// Whether it ends with a `/`, and so is a folder to put something into.
    is_folder: bool,
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // As with scp: what has a `/` before its first `:` is here.
        let (nodes, rest) = match text.split_once(':') {
            Some((nodes, rest)) if !nodes.contains('/') => (nodes, rest),
            _ if text.is_empty() => return Err("no place: write a path, or NODE:ROOT/PATH".to_owned()),
            _ => return Ok(Self::Here(text.into())),
        };
        let nodes: Result<Vec<NodeId>, _> = nodes.split(',').map(str::parse).collect();
        let nodes = nodes.map_err(|error| format!("{error}; a path with a `:` in it begins with ./ or /"))?;
        let (root, path) = rest.split_once('/').unwrap_or((rest, ""));
        if root.is_empty() {
            return Err("no root: write NODE:ROOT/PATH, with a root of the worker's configuration".to_owned());
        }
        let is_folder = path.is_empty() || path.ends_with('/');
        let path = path.trim_end_matches('/').to_owned();
        Ok(Self::There(There { nodes, root: root.to_owned(), path, is_folder }))
    }
}

impl There {
    /// The path that something of this name gets here.
    pub(super) fn path_for(&self, name: &str) -> String {
        match (self.is_folder, self.path.is_empty()) {
            (false, _) => self.path.clone(),
            (true, true) => name.to_owned(),
            (true, false) => format!("{}/{name}", self.path),
        }
    }

    /// Its last name.
    pub(super) fn name(&self) -> &str {
        match self.path.rsplit('/').next() {
            Some(name) if !name.is_empty() => name,
            _ => &self.root,
        }
    }
}

/// The path that something of this name gets here.
pub(super) fn path_here(path: &Path, name: &str) -> PathBuf {
    let ends_open = path.as_os_str().to_string_lossy().ends_with('/');
    if ends_open || path.is_dir() { path.join(name) } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(text: &str) -> There {
        match text.parse() {
            Ok(Place::There(there)) => there,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn places_are_here_or_there() {
        for here in ["a", "/a:b", "./a:b", "a/b:c", "..", "-"] {
            assert_eq!(here.parse(), Ok(Place::Here(here.into())));
        }
        let place = there("worker-1,worker-2:models/v2/a.bin");
        assert_eq!((place.nodes.len(), place.root.as_str(), place.path.as_str()), (2, "models", "v2/a.bin"));
        assert_eq!((place.path_for("x"), place.name()), ("v2/a.bin".to_owned(), "a.bin"));
        assert_eq!(
            (there("w:models").path_for("x"), there("w:models/").path_for("x")),
            ("x".into(), "x".into())
        );
        assert_eq!(
            (there("w:models/v2/").path_for("x"), there("w:models").name()),
            ("v2/x".into(), "models")
        );
        for wrong in ["", "w:", "w:/etc/passwd", ",:a", "a b:c"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_folder_here_takes_things_in() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(path_here(folder.path(), "x"), folder.path().join("x"));
        assert_eq!(path_here(&folder.path().join("y"), "x"), folder.path().join("y"));
        assert_eq!(path_here(Path::new("new/"), "x"), Path::new("new/x"));
    }
}
