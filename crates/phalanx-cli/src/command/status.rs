//! The command that shows how a node is, and waits until it serves.

use std::time::Duration;

use clap::Args;
use phalanx_operator::{ControlStatus, Part, Status};
use tokio::time::{sleep, timeout};

use crate::exit::{Exit, Failure};
use crate::output::{Format, FormatArguments, Table, json, print, print_json, printable};
use crate::target::Target;

/// How often a node that does not serve yet is asked again: at once for people, seldom for the node.
const WAIT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Fail with code 1 unless the node serves
    #[arg(long)]
    ready: bool,
    /// Wait until the node answers and serves, for so long at most, such as 30s; implies --ready
    #[arg(long, value_name = "DURATION")]
    wait: Option<humantime::Duration>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let last = match self.wait {
            None => self.ask().await,
            Some(patience) => self.wait_for(patience).await,
        };
        let status = last?;
        match self.format.output {
            Format::Json => print_json(&json::status(&status))?,
            Format::Table => print(&text(&status))?,
        }
        if (self.ready || self.wait.is_some()) && !status.ready {
            return Err(Failure::new(Exit::Failed, format!("not ready: {}", status.explanation)));
        }
        Ok(())
    }

    async fn ask(&self) -> Result<Status, Failure> {
        Ok(self.target.connect().await?.status().await?)
    }

    /// Asks until the node serves; at the end of the time the last answer counts.
    async fn wait_for(&self, patience: humantime::Duration) -> Result<Status, Failure> {
        let mut last = Err(Failure::new(Exit::Unreachable, format!("nobody has answered within {patience}")));
        let asking = async {
            loop {
                last = self.ask().await;
                match &last {
                    Ok(status) if status.ready => return,
                    Err(failure) if !failure.is_unreachable() => return,
                    _ => sleep(WAIT_PAUSE).await,
                }
            }
        };
        // Whether it is over because of the time does not matter.
        let _ = timeout(patience.into(), asking).await;
        last
    }
}

fn text(status: &Status) -> String {
    let state = if status.ready { "ready" } else { "not ready" };
    let role = match status.part {
        Part::Control(_) => "control",
        Part::Worker(_) => "worker",
    };
    let mut lines = vec![
        format!("cluster  {}", status.cluster),
        format!("node     {} ({role}, {})", status.node, status.version),
        format!("listens  {}", status.listen),
        format!("state    {state}: {}", status.explanation),
    ];
    let tables = match &status.part {
        Part::Worker(worker) => {
            let owner = worker.owner.as_ref().map_or("nobody", |owner| owner.as_str());
            lines.push(format!("owner    {owner}"));
            String::new()
        }
        Part::Control(control) => {
            lines.push(format!("id       {}", control.cluster_id));
            lines.push(format!("workers  {} hosted here", control.hosted));
            tables(control)
        }
    };
    let lines: String = lines.iter().map(|line| printable(line) + "\n").collect();
    lines + &tables
}

fn tables(control: &ControlStatus) -> String {
    let mut members = Table::new(&["CONTROL NODE", "STATE", "LIVENESS", "WEIGHT", "ZONE", "ADDRESSES"]);
    for member in &control.members {
        let addresses: Vec<String> = member.addresses.iter().map(ToString::to_string).collect();
        members.row([
            member.node.node.to_string(),
            member.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
            member.liveness.as_str().to_owned(),
            member.weight.to_string(),
            member.zone.clone(),
            addresses.join(" "),
        ]);
    }
    let mut text = format!("\n{}", members.render(false));
    let mut discovery = Table::new(&["DISCOVERY", "FOUND", "ERROR"]);
    for strategy in &control.discovery {
        let error = strategy.error.clone().unwrap_or_default();
        discovery.row([strategy.name.clone(), strategy.found.to_string(), error]);
    }
    if !control.discovery.is_empty() {
        text.push_str(&format!("\n{}", discovery.render(false)));
    }
    let mut sockets = Table::new(&["SOCKET", "NODE", "ERROR"]);
    for socket in &control.sockets {
        let node = socket.node.as_ref().map(ToString::to_string).unwrap_or_default();
        sockets.row([socket.socket.to_string(), node, socket.error.clone().unwrap_or_default()]);
    }
    if !control.sockets.is_empty() {
        text.push_str(&format!("\n{}", sockets.render(false)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples;

    #[test]
    fn a_control_node_is_shown() {
        insta::assert_snapshot!(text(&samples::control_status()));
    }

    #[test]
    fn a_worker_is_shown() {
        insta::assert_snapshot!(text(&samples::worker_status()));
    }

    #[test]
    fn the_json_forms_are_stable() {
        let all = [samples::control_status(), samples::worker_status()].map(|status| json::status(&status));
        insta::assert_snapshot!(format!("{:#}", serde_json::Value::from(all.to_vec())));
    }
}
