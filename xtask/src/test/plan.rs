//! The steps in their order: what takes seconds first, then what most changes break.

use std::env;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use super::features::distinct_sets;
use super::nextest;
use super::servers::{self, LeftOut};
use super::step::{Action, Command, Step};
use crate::Workspace;
use crate::cargo::cargo;

/// Which optional tools are here.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    nextest: bool,
    deny: bool,
    cxx: bool,
    /// The test binaries that cannot run here.
    left_out: Vec<LeftOut>,
}

impl Tools {
    /// Looks for each.
    pub(super) fn find(root: &Path) -> Self {
        let cxx = env::var_os("CXX").unwrap_or_else(|| "c++".into());
        Self {
            nextest: answers(cargo(root).args(["nextest", "--version"])),
            deny: answers(cargo(root).args(["deny", "--version"])),
            cxx: answers(Process::new(cxx).arg("--version")),
            left_out: servers::left_out(),
        }
    }
}

fn answers(command: &mut Process) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// Everything that must hold.
pub(super) fn steps(workspace: &Workspace, tools: &Tools) -> Vec<Step> {
    let mut steps = vec![
        step("fmt", Action::Run(Command::cargo("fmt --all --check"))),
        step("tidy", Action::Tidy),
        step("deny", deny(tools)),
        step("clippy", Action::Run(Command::cargo("clippy --workspace --all-targets -- -D warnings"))),
        step("test", Action::Tests(tests(workspace, tools))),
    ];
    steps.extend(tools.left_out.iter().map(|left_out| {
        step(&format!("test of {}", left_out.binary), Action::Skip(left_out.reason.clone()))
    }));
    steps.push(step("doctest", Action::Tests(Command::cargo("test --workspace --doc --no-fail-fast"))));
    steps.extend(alone(workspace));
    steps.push(step("doc", Action::Run(documentation())));
    steps.push(step("fuzz", fuzz(workspace, tools)));
    steps
}

fn step(name: &str, action: Action) -> Step {
    Step { name: name.to_owned(), action }
}

/// Examples are built along with the tests, by either runner. All features: what is off by default is tested too. Where
/// there is no nextest nothing is left out, and a test that lacks its server fails and says what to install.
fn tests(workspace: &Workspace, tools: &Tools) -> Command {
    if tools.nextest {
        let mut command =
            Command::cargo("nextest run --workspace --all-features --no-fail-fast --tool-config-file");
        command.arguments.push(nextest::tool_configuration(&workspace.root));
        if !tools.left_out.is_empty() {
            let binaries: Vec<String> =
                tools.left_out.iter().map(|left_out| format!("binary({})", left_out.binary)).collect();
            command.arguments.push("--filterset".to_owned());
            command.arguments.push(format!("not ({})", binaries.join(" or ")));
        }
        command
    } else {
        Command::cargo("test --workspace --all-targets --no-fail-fast")
    }
}

/// Each library on its own, so that none lives from the features that another one turns on. By clippy rather than by
/// `cargo check`: what it has checked before with the same features it need not check again, and code that a feature
/// leaves without a use is a warning here only.
fn alone(workspace: &Workspace) -> Vec<Step> {
    let mut steps = Vec::new();
    for package in workspace.libraries() {
        for features in distinct_sets(package) {
            let arguments =
                format!("clippy --package {} {} -- -D warnings", package.name, features.argument());
            let name = format!("alone {} {}", package.name, features.argument());
            steps.push(step(name.trim_end(), Action::Run(Command::cargo(&arguments))));
        }
    }
    steps
}

fn documentation() -> Command {
    let mut command = Command::cargo("doc --workspace --no-deps");
    command.variables.push(("RUSTDOCFLAGS", "-D warnings"));
    command
}

/// The fuzz targets have compiler flags of their own, but share what is built for the host.
fn fuzz(workspace: &Workspace, tools: &Tools) -> Action {
    if !tools.cxx {
        return Action::Skip(
            "there is no C++ compiler for libFuzzer (Debian: apt-get install g++)".to_owned(),
        );
    }
    let mut command = Command::cargo("check --locked --bins --target-dir");
    command.arguments.push(workspace.target.to_string_lossy().into_owned());
    command.folder = "fuzz";
    Action::Run(command)
}

fn deny(tools: &Tools) -> Action {
    if tools.deny {
        Action::Run(Command::cargo("deny check licenses bans sources"))
    } else {
        Action::Skip("cargo-deny is not installed (cargo install --locked cargo-deny)".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::tests::{package, workspace};

    const ALL: Tools = Tools { nextest: true, deny: true, cxx: true, left_out: Vec::new() };
    const NONE: Tools = Tools { nextest: false, deny: false, cxx: false, left_out: Vec::new() };

    fn listed(tools: &Tools) -> Vec<String> {
        let mut jobs = package("phalanx-jobs", &["phalanx-base"]);
        jobs.features.insert("default".to_owned(), vec!["tokio".to_owned()]);
        jobs.features.insert("tokio".to_owned(), vec!["dep:tokio".to_owned()]);
        let workspace = workspace(vec![jobs, package("phalanx-base", &[])]);
        steps(&workspace, tools).iter().map(Step::to_string).collect()
    }

    #[test]
    fn what_is_cheap_comes_first() {
        let names: Vec<String> =
            listed(&ALL).iter().map(|line| line[..line.find(':').unwrap_or(0)].to_owned()).collect();
        let expected = [
            "fmt",
            "tidy",
            "deny",
            "clippy",
            "test",
            "doctest",
            "alone phalanx-base",
            "alone phalanx-jobs --no-default-features",
            "alone phalanx-jobs",
            "doc",
            "fuzz",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn warnings_are_errors() {
        let steps = listed(&ALL);
        assert!(steps.contains(&"clippy: cargo clippy --workspace --all-targets -- -D warnings".to_owned()));
        assert!(
            steps.contains(&"doc: RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --no-deps".to_owned())
        );
    }

    #[test]
    fn without_nextest_the_tests_run_all_the_same() {
        let line = "test: cargo test --workspace --all-targets --no-fail-fast".to_owned();
        assert!(listed(&NONE).contains(&line));
        assert!(!listed(&ALL).contains(&line));
    }

    #[test]
    fn tests_without_their_server_are_left_out_by_name() {
        let left_out = vec![LeftOut { binary: "etcd", reason: "etcd is missing".to_owned() }];
        let lines = listed(&Tools { left_out, ..ALL });
        assert!(lines.contains(&"test of etcd: SKIP, etcd is missing".to_owned()), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("--filterset not (binary(etcd))")), "{lines:?}");
    }

    #[test]
    fn a_missing_tool_is_named() {
        let skipped: Vec<String> = listed(&NONE).into_iter().filter(|line| line.contains("SKIP")).collect();
        assert_eq!(skipped.len(), 2);
        assert!(skipped[0].contains("cargo-deny") && skipped[1].contains("C++"), "{skipped:?}");
        assert!(!listed(&ALL).iter().any(|line| line.contains("SKIP")));
    }
}
