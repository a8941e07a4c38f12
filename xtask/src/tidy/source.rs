//! The Rust files of the project, read once, with what the rules want to know about each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use super::Violation;
use super::lexer::blank_comments_and_literals;
use super::test_code::{module_files, test_regions};

/// The folders that hold Rust code.
const FOLDERS: &[&str] = &["crates", "examples", "fuzz", "tests", "xtask"];

/// Folders whose content is made by tools.
const GENERATED: &[&str] = &["target", "corpus", "artifacts"];

/// All Rust files, by path.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) files: Vec<Source>,
}

/// One Rust file.
#[derive(Debug)]
pub(super) struct Source {
    /// From the root of the workspace, with forward slashes.
    pub(super) path: String,
    /// As it is.
    pub(super) text: String,
    /// With comments and literals blanked; positions are the same as in `text`.
    pub(super) code: String,
    /// The parts compiled for tests only.
    tests: Vec<Range<usize>>,
}

impl Sources {
    /// Reads the Rust files of the workspace at `root`.
    pub(super) fn load(root: &Path) -> Result<Self, String> {
        let mut paths = Vec::new();
        for &folder in FOLDERS {
            list_files(root, &root.join(folder), &mut paths)?;
        }
        let rust = paths.into_iter().filter(|path| path.ends_with(".rs"));
        let files: Result<Vec<_>, String> = rust
            .map(|path| {
                let text =
                    fs::read_to_string(root.join(&path)).map_err(|error| format!("{path}: {error}"))?;
                Ok((path, text))
            })
            .collect();
        Ok(Self::from_texts(files?))
    }

    /// Takes files as pairs of path and text.
    pub(super) fn from_texts(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut files: Vec<Source> = files.into_iter().map(|(path, text)| Source::new(path, text)).collect();
        let test_files = test_files(&files);
        for file in &mut files {
            let in_tests_folder = !file.is_shipped() && file.path.split('/').any(|part| part == "tests");
            if in_tests_folder || test_files.contains(&file.path) {
                file.tests = std::iter::once(0..file.text.len()).collect();
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { files }
    }

    /// The files of `crates/*/src`: what the project ships.
    pub(super) fn shipped(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|file| file.is_shipped())
    }
}

impl Source {
    fn new(path: String, text: String) -> Self {
        let code = blank_comments_and_literals(&text);
        let tests = test_regions(&code);
        Self { path, text, code, tests }
    }

    /// Whether this is a file of `crates/*/src`.
    pub(super) fn is_shipped(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.next() == Some("crates") && parts.nth(1) == Some("src")
    }

    /// Whether what stands at `at` is compiled for tests only.
    pub(super) fn is_test(&self, at: usize) -> bool {
        self.tests.iter().any(|region| region.contains(&at))
    }

    /// Whether the whole file is compiled for tests only.
    pub(super) fn is_test_file(&self) -> bool {
        self.tests.first().is_some_and(|region| *region == (0..self.text.len()))
    }

    /// The number of the line that holds the position `at`, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
    }

    /// A violation of `rule` at a position of this file.
    pub(super) fn violation(&self, rule: &'static str, at: usize, message: String) -> Violation {
        Violation { rule, place: format!("{}:{}", self.path, self.line(at)), message }
    }
}

/// The paths of the files below `folder`, from `root`, without hidden and generated folders; none if it is missing.
pub(super) fn list_files(root: &Path, folder: &Path, paths: &mut Vec<String>) -> Result<(), String> {
    let in_folder = |error| format!("{}: {error}", folder.display());
    if !folder.exists() {
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(in_folder)? {
        entries.push(entry.map_err(in_folder)?.path());
    }
    entries.sort();
    for path in entries {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name == ".git" {
            // A folder, or in a second working tree a file that holds a path of this machine.
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            let hidden =
                name.starts_with('.') && !matches!(name.as_str(), ".cargo" | ".ci" | ".config" | ".github");
            if !hidden && !GENERATED.contains(&name.as_str()) {
                list_files(root, &path, paths)?;
            }
        } else {
            paths.push(path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

/// The files that are modules of test code: declared for tests only, or by such a file.
fn test_files(files: &[Source]) -> BTreeSet<String> {
    let by_path: BTreeMap<&str, &Source> = files.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut found = BTreeSet::new();
    let mut to_visit: Vec<(&Source, bool)> = files.iter().map(|file| (file, false)).collect();
    while let Some((file, whole_file)) = to_visit.pop() {
        for module in module_files(&file.text, &file.code, &file.tests) {
            if !(whole_file || module.for_tests) {
                continue;
            }
            let candidates = module_paths(&file.path, &module.name, module.path.as_deref());
            for target in candidates.iter().filter_map(|path| by_path.get(path.as_str())) {
                if found.insert(target.path.clone()) {
                    to_visit.push((target, true));
                }
            }
        }
    }
    found
}

/// Where the module `name` that the file at `declaring` declares may be.
fn module_paths(declaring: &str, name: &str, path: Option<&str>) -> Vec<String> {
    let file = Path::new(declaring);
    let folder = file.parent().unwrap_or(Path::new(""));
    if let Some(path) = path {
        return vec![normalized(&folder.join(path))];
    }
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let base = if matches!(stem.as_str(), "mod" | "lib" | "main") {
        folder.to_path_buf()
    } else {
        folder.join(stem)
    };
    vec![normalized(&base.join(format!("{name}.rs"))), normalized(&base.join(name).join("mod.rs"))]
}

/// The path without `..`, with forward slashes.
fn normalized(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            other => parts.push(other.as_os_str().to_string_lossy().into_owned()),
        }
    }
    parts.join("/")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Files as pairs of path and text.
    pub(in crate::tidy) fn sources(files: &[(&str, &str)]) -> Sources {
        Sources::from_texts(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())))
    }

    /// The places of violations, for comparison.
    pub(in crate::tidy) fn places(violations: &[Violation]) -> Vec<&str> {
        violations.iter().map(|violation| violation.place.as_str()).collect()
    }

    fn test_files_of(files: &[(&str, &str)]) -> Vec<String> {
        let sources = sources(files);
        sources.files.iter().filter(|file| file.is_test_file()).map(|file| file.path.clone()).collect()
    }

    #[test]
    fn modules_of_test_modules_are_test_code() {
        let found = test_files_of(&[
            ("crates/a/src/lib.rs", "#[cfg(test)]\n#[path = \"../testing/kit.rs\"]\nmod kit;\nmod link;"),
            ("crates/a/src/link/mod.rs", "#[cfg(test)]\nmod checks;\nmod other;"),
            ("crates/a/src/link/checks.rs", "mod deep;"),
            ("crates/a/src/link/checks/deep.rs", "fn f() {}"),
            ("crates/a/src/link/other.rs", "fn f() {}"),
            ("crates/a/testing/kit.rs", "fn f() {}"),
            ("crates/a/tests/real.rs", "fn f() {}"),
        ]);
        assert_eq!(
            found,
            [
                "crates/a/src/link/checks.rs",
                "crates/a/src/link/checks/deep.rs",
                "crates/a/testing/kit.rs",
                "crates/a/tests/real.rs"
            ]
        );
    }

    #[test]
    fn what_is_shipped_lies_in_src_of_a_crate() {
        let sources = sources(&[
            ("crates/a/src/x/y.rs", ""),
            ("crates/a/examples/e.rs", ""),
            ("crates/a/tests/src/t.rs", ""),
            ("xtask/src/main.rs", ""),
        ]);
        let shipped: Vec<&str> = sources.shipped().map(|file| file.path.as_str()).collect();
        assert_eq!(shipped, ["crates/a/src/x/y.rs"]);
    }

    #[test]
    fn lines_count_from_one() {
        let sources = sources(&[("crates/a/src/lib.rs", "a\nb\nc")]);
        assert_eq!(sources.files[0].line(0), 1);
        assert_eq!(sources.files[0].line(4), 3);
    }

    #[test]
    fn generated_and_hidden_folders_are_not_read() {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        for folder in ["crates/a/src", "crates/a/target/debug", "crates/.hidden", "fuzz/corpus/x"] {
            fs::create_dir_all(root.path().join(folder)).expect("and folders in it");
            fs::write(root.path().join(folder).join("f.rs"), "//! text").expect("and files in these");
        }
        fs::write(root.path().join("crates/.git"), "gitdir: elsewhere").expect("and beside them");
        let mut listed = Vec::new();
        list_files(root.path(), root.path(), &mut listed).expect("all of them can be listed");
        assert_eq!(listed, ["crates/a/src/f.rs"]);
        let sources = Sources::load(root.path()).expect("all of them can be read");
        let paths: Vec<&str> = sources.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["crates/a/src/f.rs"]);
    }
}
