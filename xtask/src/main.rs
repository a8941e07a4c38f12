//! The tasks of this workspace that cargo does not have, as `cargo xtask TASK`.
//!
//! One place for what must run before a change is good (`test`, `tidy`) and for showing what the project does
//! (`cluster-demo`), in Rust, so that it runs wherever the project builds. This file only chooses the task.

mod bench;
mod cargo;
mod cluster_demo;
mod sim;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

/// What `cargo xtask` prints when it is not told what to do.
const USAGE: &str = "\
cargo xtask TASK

  test [--list] [--keep-going] [--only STEP]…
      everything that must hold before a change is good, cheapest first; stops at the first failure
        --list        print the steps and what each one runs, and run none
        --keep-going  run the other steps after a failure
        --only STEP   run the steps of that name (first word) only; may be given several times
  tidy
      the rules of this workspace that no compiler checks, and its longest files and functions
  cluster-demo [ARGUMENT]…
      a cluster of real processes on this machine that does real work while some of it is killed;
      cargo xtask cluster-demo --help lists its arguments
  sim [ARGUMENT]…
      simulated clusters under faults, by the hundred, each in one thread and in virtual time;
      cargo xtask sim --help lists its arguments
  bench [ARGUMENT]…
      what we cost beside other ways to the same end (TCP, TLS, QUIC, gRPC, NATS, Erlang), in ratios;
      cargo xtask bench --help lists its arguments
  help
      this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = match arguments.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("help", &[][..]),
    };
    let outcome = match task {
        "test" => test::run(rest),
        "tidy" => tidy::run(rest),
        "cluster-demo" => cluster_demo::run(rest),
        "sim" => sim::run(rest),
        "bench" => bench::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        unknown => Err(format!("no task is called {unknown:?}; `cargo xtask help` lists them")),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
