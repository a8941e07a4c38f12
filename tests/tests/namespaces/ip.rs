//! `ip`, which makes namespaces and cables.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// What to do where it fails.
pub(crate) const NEEDS_ROOT: &str = "these tests make network namespaces and need root: leave out the test binary \
                                     `namespaces` where they cannot be had";

/// Runs `ip` once.
///
/// # Panics
/// When it fails: then nothing here can run.
pub(crate) fn ip(arguments: &[&str]) -> String {
    let mut command = Command::new("ip");
    check(&arguments.join(" "), command.args(arguments).output())
}

/// Runs several commands in one namespace, one a line.
pub(crate) fn ip_in(namespace: &str, lines: &[String]) {
    let mut command = Command::new("ip");
    command.args(["-n", namespace, "-batch", "-"]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let output = child.and_then(|mut child| {
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all((lines.join("\n") + "\n").as_bytes())?;
        drop(input);
        child.wait_with_output()
    });
    check(&format!("-n {namespace}: {}", lines.join("; ")), output);
}

fn check(what: &str, output: std::io::Result<Output>) -> String {
    let output =
        output.expect("`ip` cannot be run: install the Debian package iproute2, as `cargo xtask test` does");
    assert!(
        output.status.success(),
        "`ip {what}` failed: {}; {NEEDS_ROOT}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
