//! The files of `deploy/`.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder.
pub(crate) fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests are in a workspace").join("deploy")
}

/// The files of a folder there and below it that end like this, sorted.
pub(crate) fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&deploy().join(folder), end, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no {end} in deploy/{folder}");
    found
}

fn collect(folder: &Path, end: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, end, found);
        } else if path.extension().is_some_and(|extension| extension == end) {
            found.push(path);
        }
    }
}
