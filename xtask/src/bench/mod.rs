//! `cargo xtask bench`: builds the bench in release mode, without what it does not need, and becomes it.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::process::ExitCode;

use crate::Workspace;
use crate::cargo::{become_it, cargo};

/// Builds and runs the bench with these arguments. Returns only where a process cannot be replaced.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode, String> {
    let root = Workspace::load()?.root;
    let here = std::env::current_dir().map_err(|error| format!("the current folder is gone: {error}"))?;
    eprintln!("bench: builds in release mode first; that takes minutes the first time, then seconds");
    let mut command = cargo(&root);
    command.args(["bench", "--package", "tests", "--no-default-features", "--bench", "bench"]);
    if !stderr().is_terminal() {
        command.arg("--quiet");
    }
    become_it(command.arg("--").args(from_here(arguments, &here)))
}

/// The same arguments with whole paths: cargo lets a bench run in the folder of its package.
fn from_here(arguments: &[String], here: &Path) -> Vec<String> {
    let mut is_path = false;
    let whole = arguments.iter().map(|argument| {
        let path = is_path.then(|| here.join(argument).to_string_lossy().into_owned());
        is_path = ["--json", "--docs"].contains(&argument.as_str());
        path.unwrap_or_else(|| argument.clone())
    });
    whole.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_who_asks() {
        let given = ["--row", "bulk", "--json", "rows.json", "--docs", "/elsewhere", "--check"];
        let told = from_here(&given.map(str::to_owned), Path::new("/here"));
        assert_eq!(told, ["--row", "bulk", "--json", "/here/rows.json", "--docs", "/elsewhere", "--check"]);
    }
}
