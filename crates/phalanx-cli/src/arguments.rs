//! The command line.

use clap::{Parser, Subcommand};

use crate::command::{change, config, discover, events, node, secret, status};
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
    /// List the nodes of a cluster, look at one, or forget one
    Node(node::Arguments),
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
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_its_help_is_recorded() {
        let mut command = Arguments::command().term_width(100);
        command.clone().debug_assert();
        let mut all = command.render_long_help().to_string();
        command.build();
        for name in ["agent", "status", "events", "discover"] {
            let command = command.find_subcommand_mut(name).expect("it is one of them");
            all.push_str(&format!("\n---- {name} ----\n{}", command.render_help()));
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn no_flag_takes_a_secret() {
        let command = Arguments::command();
        let all = command.get_subcommands().flat_map(clap::Command::get_arguments);
        let secret = all.filter_map(clap::Arg::get_long).filter(|name| name.contains("secret"));
        assert!(secret.into_iter().all(|name| name == "secret-file"));
    }
}
