//! `cargo xtask sim`: builds the simulator in release mode and becomes it.
//!
//! With planted mistakes it is another build, in a folder of its own, so that no other build ever has one.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;

use crate::Workspace;
use crate::cargo::{become_it, cargo};

/// What is added to the compiler's flags where mistakes are wanted.
const PLANTED: &str = "--cfg phalanx_planted";

/// Builds and runs the simulator with these arguments. Returns only where a process cannot be replaced.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode, String> {
    let root = Workspace::load()?.root;
    eprintln!("sim: builds in release mode first; that takes minutes the first time, then seconds");
    let here = std::env::current_dir().map_err(|error| format!("the current folder is gone: {error}"))?;
    let mut command = cargo(&here);
    command
        .args(["run", "--release", "--package", "cluster-sim", "--manifest-path"])
        .arg(root.join("Cargo.toml"));
    if !stderr().is_terminal() {
        command.arg("--quiet");
    }
    if arguments.iter().any(|argument| argument == "--mutants" || argument == "--mutant") {
        let flags =
            std::env::var("RUSTFLAGS").map_or(PLANTED.to_owned(), |flags| format!("{flags} {PLANTED}"));
        command.env("RUSTFLAGS", flags).arg("--target-dir").arg(root.join("target/planted"));
    }
    become_it(command.arg("--").args(arguments))
}
