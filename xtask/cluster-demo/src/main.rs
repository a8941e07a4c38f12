//! `cargo xtask cluster-demo`: starts a cluster of real processes on this machine, gives it real work, kills and adds
//! processes meanwhile, and checks every result.
//!
//! The program starts itself again for each node (`node …`); parent and nodes talk in lines of JSON over the nodes'
//! standard input and output. A node ends when its input ends, so that nothing outlives the parent. At a terminal the
//! parent shows the cluster as it works, and acts on it by keys.

#[cfg(all(feature = "docker", unix))]
mod archive;
mod ask;
mod awaited;
mod board;
mod change;
mod containers;
#[cfg(all(feature = "docker", unix))]
mod daemon;
#[cfg(not(all(feature = "docker", unix)))]
#[path = "no_daemon.rs"]
mod daemon;
mod demo;
mod digest;
mod drivers;
mod errand;
mod faults;
mod guest;
mod input;
mod jobs;
mod journal;
mod live;
mod modules;
mod node;
mod options;
mod page;
mod plot;
mod post;
mod process;
mod protocol;
mod report;
mod run;
mod samples;
mod script;
mod showing;
mod silence;
mod tally;
mod work;

use std::process::ExitCode;

use options::{Command, NodeOptions, Options};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match options::parse(&arguments) {
        Ok(Command::Help) => {
            println!("{}", options::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Command::Demo(options)) => demo(options),
        Ok(Command::Node(options)) => node(options),
        Err(mistake) => {
            eprintln!("cluster-demo: {mistake}\n\n{}", options::USAGE);
            ExitCode::from(2)
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn demo(options: Options) -> ExitCode {
    match runtime().map_err(Into::into).and_then(|runtime| runtime.block_on(run::run(options))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cluster-demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn node(options: NodeOptions) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match runtime().map_err(Into::into).and_then(|runtime| runtime.block_on(node::run(options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cluster-demo node: {error}");
            ExitCode::FAILURE
        }
    }
}
