//! The cargo that runs us, ready to be run by us.
//!
//! `cargo run` tells its program about the package it belongs to. Build scripts (ring's, for one) look at the same
//! variables to know *their* package, and would run again whenever cargo is started from here rather than from a
//! shell; so these are not passed on.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

/// What the names of the variables begin with that `cargo run` sets for the program it starts.
const OF_THE_PACKAGE: [&str; 6] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];

/// A command that runs the cargo of the present toolchain in `folder`.
pub(crate) fn cargo(folder: &Path) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(folder);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_the_package) {
            command.env_remove(name);
        }
    }
    command
}

/// Lets a command take the place of this process, so that streams, signals and exit code are its own. Returns only where
/// the system cannot do that.
#[cfg(unix)]
pub(crate) fn become_it(command: &mut Command) -> Result<ExitCode, String> {
    use std::os::unix::process::CommandExt;
    Err(format!("cargo does not start: {}", command.exec()))
}

/// Lets a command take the place of this process, as far as the system can.
#[cfg(not(unix))]
pub(crate) fn become_it(command: &mut Command) -> Result<ExitCode, String> {
    let status = command.status().map_err(|error| format!("cargo does not start: {error}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

fn is_of_the_package(name: &str) -> bool {
    OF_THE_PACKAGE.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_our_package_is_not_passed_on() {
        assert!(is_of_the_package("CARGO_PKG_NAME"));
        assert!(is_of_the_package("CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn what_the_user_set_is_passed_on() {
        for name in ["CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_INCREMENTAL", "RUSTFLAGS", "PATH"] {
            assert!(!is_of_the_package(name), "{name}");
        }
    }
}
