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
    let features: Vec<String> = features(arguments).iter().map(|name| format!("--features={name}")).collect();
    let fixed = fixed.iter().chain(quiet).map(|argument| (*argument).to_owned()).chain(features);
    fixed.chain(["--".to_owned()]).chain(arguments.iter().cloned()).collect()
}

/// What the program is to be built with: a compiler of WebAssembly and a client of Docker only where they are asked for.
/// Mistakes in the arguments are the program's to name.
fn features(arguments: &[String]) -> Vec<&'static str> {
    let values = arguments.iter().zip(arguments.iter().skip(1)).filter(|(option, _)| *option == "--with");
    let parts: Vec<&str> = values.flat_map(|(_, value)| value.split(',')).collect();
    ["wasm", "docker"].into_iter().filter(|name| parts.contains(name)).collect()
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
    fn drivers_are_built_in_where_they_are_asked_for() {
        let told = |words: &str| {
            let given: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            let mut told = cargo_arguments("M", true, &given);
            told.truncate(
                told.iter().position(|argument| argument == "--").expect("cargo needs the separator"),
            );
            told.retain(|argument| argument.starts_with("--features"));
            told.join(" ")
        };
        assert_eq!(told("--with all --seconds 9"), "");
        assert_eq!(told("--with kill --with docker,jobs"), "--features=docker");
        assert_eq!(told("--with docker,wasm --with"), "--features=wasm --features=docker");
    }

    #[test]
    fn a_log_is_spared_the_progress() {
        assert!(cargo_arguments("M", false, &[]).contains(&"--quiet".to_owned()));
    }
}
