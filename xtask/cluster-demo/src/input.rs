//! The files that are shipped, and what they should come to.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::digest::{Counter, Summary};

/// A file, and what this process itself found in it.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) path: PathBuf,
    pub(crate) summary: Summary,
}

/// Reads every file of the folder once.
pub(crate) fn load(folder: &Path) -> std::io::Result<Vec<Expected>> {
    let mut expected = Vec::new();
    for path in list(folder)? {
        expected.push(Expected { summary: summary(&path)?, path });
    }
    Ok(expected)
}

/// Reads a file, and says what is in it.
pub(crate) fn summary(path: &Path) -> std::io::Result<Summary> {
    let mut file = std::fs::File::open(path)?;
    let mut counter = Counter::default();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(counter.summary()),
            read => counter.add(&buffer[..read]),
        }
    }
}

/// What git tracks, where git knows the folder; else everything but `.git` and `target`. Sorted.
fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let git = Command::new("git").arg("-C").arg(folder).args(["ls-files", "-z"]).output();
    let mut paths: Vec<PathBuf> = match git {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => output
            .stdout
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| folder.join(String::from_utf8_lossy(name).as_ref()))
            .filter(|path| path.is_file())
            .collect(),
        _ => {
            let mut found = Vec::new();
            walk(folder, &mut found)?;
            found
        }
    };
    paths.sort();
    Ok(paths)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if kind.is_dir() && name != ".git" && name != "target" {
            walk(&entry.path(), found)?;
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_git_does_not_know_is_walked() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a/c.txt", "target/x", ".git/y"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "two words\n").unwrap();
        }
        let expected = load(folder.path()).unwrap();
        let names: Vec<_> =
            expected.iter().map(|file| file.path.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(names, [Path::new("a/c.txt"), Path::new("b.txt")]);
        assert_eq!((expected[0].summary.lines, expected[0].summary.words), (1, 2));
    }
}
