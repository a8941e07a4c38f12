//! The command line.

use clap::{Parser, Subcommand};

#[cfg(feature = "wasm")]
use crate::command::class;
#[cfg(feature = "files")]
use crate::command::cp;
#[cfg(feature = "docker")]
use crate::command::docker;
#[cfg(feature = "process")]
use crate::command::exec;
#[cfg(feature = "kv")]
use crate::command::kv;
use crate::command::{change, completion, config, discover, events, job, node, secret, status, task, top};
use crate::config::ConfigArguments;

/// Runs and operates the nodes of Phalanx clusters
#[derive(Debug, Parser)]
#[command(name = "phalanx", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found, 4 nobody answers, 5 denied."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node: a control node or a worker, as the configuration says
    Agent(Box<ConfigArguments>),
    /// Show how a node is, and how it sees its cluster
    Status(status::Arguments),
    /// List the nodes of a cluster, look at one, label, stop or forget one
    Node(node::Arguments),
    /// Show all nodes of a cluster and how full they are, again and again
    Top(top::Arguments),
    /// Keep tasks at a number: apply, list, scale and remove jobs
    Job(Box<job::Arguments>),
    /// Run programs at workers as tasks; list, follow and end tasks of any class
    Task(task::Arguments),
    /// Run a program at a worker as if it ran here
    #[cfg(feature = "process")]
    Exec(Box<exec::Arguments>),
    /// Copy files and folders to workers and from them
    #[cfg(feature = "files")]
    Cp(cp::Arguments),
    /// Run containers at workers, and look after them and their images
    #[cfg(feature = "docker")]
    Docker(Box<docker::Arguments>),
    /// Ship code to workers while they run, and call it there
    #[cfg(feature = "wasm")]
    Class(class::Arguments),
    /// Read and change the small data of a worker
    #[cfg(feature = "kv")]
    Kv(kv::Arguments),
    /// Show what happens in a cluster
    Events(events::Arguments),
    /// Tell all nodes of a cluster something
    Publish(change::Publish),
    /// Link a node to others by hand; their clusters become one
    Join(change::Join),
    /// Let a node leave its cluster in order, and end
    Leave(change::Leave),
    /// Remove another control node, such as one that will not come back
    Remove(change::Remove),
    /// Make secrets
    Secret(secret::Arguments),
    /// Check or show the configuration of an agent
    Config(config::Arguments),
    /// Show what discovery finds, and everything that it asked
    Discover(discover::Arguments),
    /// Print what completes this command line in a shell
    Completion(completion::Arguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The help of every command that the default features have.
    #[cfg(all(
        feature = "kv",
        feature = "files",
        feature = "process",
        not(feature = "wasm"),
        not(feature = "docker")
    ))]
    #[test]
    fn the_command_line_is_sound_and_its_help_is_recorded() {
        let mut command = Arguments::command().term_width(100);
        let mut all = command.render_long_help().to_string();
        command.build();
        for path in [
            "agent",
            "status",
            "events",
            "discover",
            "node drain",
            "task run",
            "job",
            "job apply",
            "exec",
            "cp",
            "kv put",
            "top",
        ] {
            let words =
                path.split(' ').try_fold(&mut command, |command, name| command.find_subcommand_mut(name));
            let help = words.expect("it is one of them").render_help();
            all.push_str(&format!("\n---- {path} ----\n{help}"));
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn the_command_line_is_sound_in_any_build() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_flag_takes_a_secret() {
        let command = Arguments::command();
        let all = command.get_subcommands().flat_map(clap::Command::get_arguments);
        let secret = all.filter_map(clap::Arg::get_long).filter(|name| name.contains("secret"));
        assert!(secret.into_iter().all(|name| name == "secret-file"));
    }
}
