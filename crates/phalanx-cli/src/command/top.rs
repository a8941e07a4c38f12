//! The command that shows all nodes and how full they are, again and again.

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use clap::Args;
use phalanx_operator::{Node, Nodes};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::exit::Failure;
use crate::output::{Format, FormatArguments, Table, json as forms, may_colour, print};
use crate::target::Target;

/// Goes to the upper left corner and clears what is below.
const HOME: &str = "\u{1b}[H\u{1b}[J";

#[derive(Debug, Args)]
#[command(
    after_help = "Where the output is no terminal it is shown once. Example: phalanx top --interval 5s"
)]
pub(crate) struct Arguments {
    /// How often it is shown anew, from 100ms to 30s
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = pace)]
    interval: Duration,
    /// End after so many times
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

/// A node takes who is silent for a minute for one that is gone.
fn pace(text: &str) -> Result<Duration, String> {
    let pace: Duration = text.parse::<humantime::Duration>().map_err(|error| error.to_string())?.into();
    let range = Duration::from_millis(100)..=Duration::from_secs(30);
    if range.contains(&pace) { Ok(pace) } else { Err("it is from 100ms to 30s".to_owned()) }
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let is_live = stdout().is_terminal() && self.format.output == Format::Table;
        let mut left = self.limit.unwrap_or(if is_live { u64::MAX } else { 1 });
        let mut client = self.target.connect().await?;
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while left > 0 {
            left -= 1;
            ticks.tick().await;
            let nodes = client.nodes().await?;
            let text = match self.format.output {
                Format::Json => format!("{}\n", form(&nodes)),
                Format::Table => head(&nodes) + &table(&nodes).render(may_colour(&stdout())),
            };
            print(&if is_live { format!("{HOME}{text}") } else { text })?;
        }
        Ok(())
    }
}

fn head(nodes: &Nodes) -> String {
    let ready = nodes.nodes.iter().filter(|node| node.status.takes_tasks()).count();
    let tasks: u64 = nodes.nodes.iter().map(|node| u64::from(node.tasks)).sum();
    let silent = match nodes.silent.len() {
        0 => String::new(),
        count => format!(", {count} control nodes do not answer: what they host is missing"),
    };
    format!("{} nodes, {ready} ready, {tasks} tasks{silent}\n\n", nodes.nodes.len())
}

fn table(nodes: &Nodes) -> Table {
    let mut table = Table::new(&["NODE", "STATUS", "OWNER", "TASKS", "CPU", "MEMORY", "LOAD", "DISK"]);
    for node in &nodes.nodes {
        let percent = |part: Option<u8>| part.map(|percent| format!("{percent} %")).unwrap_or_default();
        table.row([
            node.node.to_string(),
            forms::word(node.status),
            node.owner.to_string(),
            node.tasks.to_string(),
            percent(node.usage.cpu_percent),
            percent(node.usage.memory_percent),
            percent(node.usage.load_percent),
            percent(node.usage.disk_percent),
        ]);
    }
    table
}

fn form(nodes: &Nodes) -> Value {
    let node = |node: &Node| {
        json!({
            "node": node.node.as_str(),
            "status": forms::word(node.status),
            "owner": node.owner.as_str(),
            "tasks": node.tasks,
            "usage": forms::usage(&node.usage),
        })
    };
    let silent: Vec<&str> = nodes.silent.iter().map(|node| node.as_str()).collect();
    json!({"nodes": nodes.nodes.iter().map(node).collect::<Vec<_>>(), "silent": silent})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples;

    #[test]
    fn nodes_are_shown_with_their_load() {
        let nodes = samples::nodes();
        insta::assert_snapshot!(format!(
            "{}{}\n{:#}",
            head(&nodes),
            table(&nodes).render(false),
            form(&nodes)
        ));
    }

    #[test]
    fn the_pace_has_bounds() {
        assert_eq!(pace("2s"), Ok(Duration::from_secs(2)));
        assert!(pace("1ms").is_err() && pace("1m").is_err() && pace("soon").is_err());
    }
}
