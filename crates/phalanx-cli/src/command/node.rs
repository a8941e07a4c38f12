//! The commands about single nodes.

mod ending;
mod label;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use phalanx::{NodeId, Usage};
use phalanx_operator::{Member, Node, NodeDetails, Nodes, Part};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output::{Format, FormatArguments, Table, json, print, print_json, print_table, printable};
use crate::target::Target;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List every node of the cluster
    Ls {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Show everything that is known of a node
    Describe {
        /// The node
        node: NodeId,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Label a node anew, for good or until it starts again
    Label(label::Label),
    /// Let a worker take tasks again
    #[command(after_help = "Example: phalanx node ready camera-7")]
    Ready(Turn),
    /// Let a worker take no new task; those that run go on
    #[command(after_help = "Example: phalanx node standby camera-7")]
    Standby(Turn),
    /// Stop a worker: tell its tasks to stop, and watch them go
    Stop(ending::Stop),
    /// Empty a worker: give it no new task, and watch those that run end by themselves
    Drain(ending::Drain),
    /// Forget a worker that will not come back
    Forget {
        /// The worker
        node: NodeId,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        format: FormatArguments,
    },
}

/// A worker that is to be otherwise.
#[derive(Debug, Args)]
struct Turn {
    /// The worker
    node: NodeId,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Turn {
    async fn run(self, takes_tasks: bool) -> Result<(), Failure> {
        let worker = self.target.calls().await?.worker(&self.node);
        let status = if takes_tasks { worker.ready().await? } else { worker.standby().await? };
        match self.format.output {
            Format::Json => print_json(&json!({"node": self.node.as_str(), "status": json::word(status)})),
            Format::Table => print(&format!("{} is {status}\n", self.node)),
        }
    }
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Ls { target, format } => list(&target, format.output).await,
            Command::Describe { node, target, format } => {
                let details = target.connect().await?.node(node).await?;
                match format.output {
                    Format::Json => print_json(&json::details(&details)),
                    Format::Table => print(&description(&details)),
                }
            }
            Command::Label(label) => label.run().await,
            Command::Ready(turn) => turn.run(true).await,
            Command::Standby(turn) => turn.run(false).await,
            Command::Stop(stop) => stop.run().await,
            Command::Drain(drain) => drain.run().await,
            Command::Forget { node, target, format } => {
                target.connect().await?.forget(node.clone()).await?;
                json::done(format.output, &json!({"node": node.as_str(), "forgotten": true}))
            }
        }
    }
}

async fn list(target: &Target, format: Format) -> Result<(), Failure> {
    let mut client = target.connect().await?;
    let nodes = client.nodes().await?;
    let members = match client.status().await?.part {
        Part::Control(control) => control.members,
        Part::Worker(_) => Vec::new(),
    };
    let rows = rows(&nodes, &members);
    match format {
        Format::Json => {
            let all: Vec<_> = rows.values().map(|(worker, member)| json::node(*worker, *member)).collect();
            let silent: Vec<&str> = nodes.silent.iter().map(NodeId::as_str).collect();
            print_json(&json!({"nodes": all, "silent": silent}))?;
        }
        Format::Table => print_table(&table(&rows))?,
    }
    if nodes.silent.is_empty() {
        return Ok(());
    }
    let silent: Vec<&str> = nodes.silent.iter().map(NodeId::as_str).collect();
    Err(Failure::new(
        Exit::Failed,
        format!("these control nodes did not answer, and what they host is missing: {}", silent.join(", ")),
    ))
}

/// Each node once: as a worker, as a control node, or as both.
type Rows<'a> = BTreeMap<&'a NodeId, (Option<&'a Node>, Option<&'a Member>)>;

fn rows<'a>(nodes: &'a Nodes, members: &'a [Member]) -> Rows<'a> {
    let mut rows = Rows::new();
    for node in &nodes.nodes {
        rows.entry(&node.node).or_default().0 = Some(node);
    }
    for member in members {
        rows.entry(&member.node.node).or_default().1 = Some(member);
    }
    rows
}

fn table(rows: &Rows<'_>) -> Table {
    let mut table = Table::new(&["NODE", "ROLE", "STATUS", "OWNER", "TASKS", "LABELS"]);
    for (name, (worker, member)) in rows {
        let status = match (worker, member) {
            (Some(worker), _) => json::word(worker.status),
            (None, Some(member)) => member.liveness.as_str().to_owned(),
            (None, None) => String::new(),
        };
        let of_worker = |say: fn(&Node) -> String| worker.map(say).unwrap_or_default();
        table.row([
            name.to_string(),
            json::role(*member).to_owned(),
            status,
            of_worker(|worker| worker.owner.to_string()),
            of_worker(|worker| worker.tasks.to_string()),
            of_worker(|worker| worker.labels.to_string()),
        ]);
    }
    table
}

/// How full a worker is, as far as it says.
fn usage(usage: &Usage) -> String {
    let Usage { memory_percent, cpu_percent, load_percent, disk_percent } = usage;
    let parts =
        [("memory", memory_percent), ("cpu", cpu_percent), ("load", load_percent), ("disk", disk_percent)];
    let known = parts.iter().filter_map(|(name, percent)| Some(format!("{name} {} %", (**percent)?)));
    known.collect::<Vec<_>>().join(", ")
}

fn description(details: &NodeDetails) -> String {
    let mut lines = vec![format!("node      {}", details.node)];
    let mut say = |name: &str, value: String| lines.push(format!("{name:<10}{value}"));
    say("role", json::role(details.member.as_ref()).to_owned());
    if let Some(worker) = &details.worker {
        say("boot", worker.generation.to_string());
        say("status", json::word(worker.status));
        say("owner", format!("{} (fence {})", worker.owner, worker.fence));
        say("labels", worker.labels.to_string());
        say("classes", worker.classes.join(" "));
        say("usage", usage(&worker.usage));
    }
    if let Some(lost) = details.lost {
        say("status", format!("{} (lost)", json::word(lost)));
    }
    if let Some(member) = &details.member {
        let state = member.state.map_or("unknown", |state| state.as_str());
        say("control", format!("{state}, {}", member.liveness.as_str()));
        say("weight", member.weight.to_string());
        say("zone", member.zone.clone());
        let addresses: Vec<String> = member.addresses.iter().map(ToString::to_string).collect();
        say("addresses", addresses.join(" "));
    }
    if let Some(version) = &details.version {
        say("version", version.clone());
    }
    if let Some(error) = &details.error {
        say("error", error.clone());
    }
    let mut text = lines.iter().map(|line| printable(line.trim_end()) + "\n").collect::<String>();
    if !details.tasks.is_empty() {
        let mut tasks = Table::new(&["TASK", "CLASS"]);
        details.tasks.iter().for_each(|task| tasks.row([task.task.clone(), task.class.clone()]));
        text.push_str(&format!("\n{}", tasks.render(false)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples;

    #[test]
    fn nodes_are_listed_once_each() {
        let (nodes, member) =
            (samples::nodes(), [samples::member("control-1"), samples::member("control-2")]);
        insta::assert_snapshot!(table(&rows(&nodes, &member)).render(false));
    }

    #[test]
    fn a_node_is_described() {
        insta::assert_snapshot!(description(&samples::details()));
    }

    #[test]
    fn the_json_forms_are_stable() {
        let member = samples::member("control-2");
        let forms = vec![json::details(&samples::details()), json::node(None, Some(&member))];
        insta::assert_snapshot!(format!("{:#}", serde_json::Value::from(forms)));
    }
}
