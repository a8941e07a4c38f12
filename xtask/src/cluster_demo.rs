//! `cargo xtask cluster-demo`: builds the demonstration in release mode and becomes it.
//!
//! Nothing stands between the demonstration and its terminal: where the system can, this process is replaced by
//! cargo and then by the program, so that Ctrl-C, standard streams and exit code are the program's own.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;

use crate::Workspace;
use crate::cargo::{become_it, cargo};

/// Builds and runs the demonstration with these arguments. Returns only where a process cannot be replaced.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode, String> {
    let root = Workspace::load()?.root;
    eprintln!("cluster-demo: builds in release mode first; that takes minutes the first time, then seconds");
    let here = std::env::current_dir().map_err(|error| format!("the current folder is gone: {error}"))?;
    let mut command = cargo(&here);
    command.args(cargo_arguments(
        &root.join("Cargo.toml").to_string_lossy(),
        stderr().is_terminal(),
        arguments,
    ));
    become_it(&mut command)
}

/// What cargo is told. Its progress is shown to people; in a log it would only be noise.
fn cargo_arguments(manifest: &str, at_a_terminal: bool, arguments: &[String]) -> Vec<String> {
    let quiet = if at_a_terminal { &[][..] } else { &["--quiet"][..] };
    let fixed = ["run", "--release", "--package", "cluster-demo", "--manifest-path", manifest];
    let fixed = fixed.iter().chain(quiet).chain(&["--"]).map(|argument| (*argument).to_owned());
    fixed.chain(arguments.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_pass_unchanged_after_the_dashes() {
        let given = ["--seconds".to_owned(), "9".to_owned(), "--quiet".to_owned()];
        let told = cargo_arguments("M", true, &given);
        let dashes = told.iter().position(|argument| argument == "--").expect("cargo needs the separator");
        assert_eq!(told[dashes + 1..], given);
        assert!(!told[..dashes].contains(&"--quiet".to_owned()), "people see cargo's progress");
    }

    #[test]
    fn a_log_is_spared_the_progress() {
        assert!(cargo_arguments("M", false, &[]).contains(&"--quiet".to_owned()));
    }
}
