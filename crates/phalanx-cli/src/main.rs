#![doc = include_str!("../README.md")]

mod agent;
mod arguments;
mod command;
mod config;
mod credential;
mod exit;
mod output;
mod size;
mod target;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use arguments::{Arguments, Command};
use exit::Failure;
use output::printable;

fn main() -> ExitCode {
    // A process of this program that holds another program never comes back from here.
    #[cfg(feature = "process")]
    phalanx_drivers::process::supervise_if_asked();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where even this cannot be said, the code says it.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for line in failure.to_string().lines() {
                let _ = writeln!(std::io::stderr(), "phalanx: {}", printable(line));
            }
            failure.code()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Agent(arguments) => {
            let settings = arguments.settings()?;
            runtime(&mut Builder::new_multi_thread())?.block_on(agent::run(settings))
        }
        Command::Config(arguments) => arguments.run(),
        Command::Secret(arguments) => arguments.run(),
        Command::Completion(arguments) => arguments.run(),
        command => {
            let runtime = runtime(&mut Builder::new_current_thread())?;
            let result = runtime.block_on(ask(command));
            // A thread that reads from a terminal would be waited for otherwise.
            runtime.shutdown_background();
            result
        }
    }
}

/// The commands that talk to somebody.
async fn ask(command: Command) -> Result<(), Failure> {
    match command {
        Command::Status(arguments) => arguments.run().await,
        Command::Node(arguments) => arguments.run().await,
        Command::Events(arguments) => arguments.run().await,
        Command::Publish(arguments) => arguments.run().await,
        Command::Join(arguments) => arguments.run().await,
        Command::Leave(arguments) => arguments.run().await,
        Command::Remove(arguments) => arguments.run().await,
        Command::Discover(arguments) => arguments.run().await,
        Command::Top(arguments) => arguments.run().await,
        Command::Task(arguments) => arguments.run().await,
        Command::Job(arguments) => arguments.run().await,
        #[cfg(feature = "process")]
        Command::Exec(arguments) => arguments.run().await,
        #[cfg(feature = "files")]
        Command::Cp(arguments) => arguments.run().await,
        #[cfg(feature = "docker")]
        Command::Docker(arguments) => arguments.run().await,
        #[cfg(feature = "wasm")]
        Command::Class(arguments) => arguments.run().await,
        #[cfg(feature = "kv")]
        Command::Kv(arguments) => arguments.run().await,
        Command::Agent(_) | Command::Config(_) | Command::Secret(_) | Command::Completion(_) => Ok(()),
    }
}

fn runtime(builder: &mut Builder) -> Result<Runtime, Failure> {
    builder
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("no threads can be started: {error}")))
}
