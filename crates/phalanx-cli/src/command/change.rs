//! The commands that change a cluster: short questions with short answers.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use phalanx::{Address, NodeId};
use phalanx_operator::REQUEST_BYTES_MAX;
use serde_json::json;
use tokio::time::timeout;

use crate::exit::{Exit, Failure};
use crate::output::{Format, FormatArguments, Table, json, print_json, print_table};
use crate::target::Target;

/// How long a node that leaves is waited for: it hands its workers over for a minute at most, and lets its tasks end.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(90);

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// Control nodes to link to, or workers to take in
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<Address>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Join {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let joined = self.target.connect().await?.join(self.addresses).await?;
        match self.format.output {
            Format::Json => print_json(&joined.iter().map(json::joined).collect())?,
            Format::Table => {
                let mut table = Table::new(&["ADDRESS", "NODE", "ERROR"]);
                for joined in &joined {
                    let (node, error) = match &joined.outcome {
                        Ok(node) => (node.to_string(), String::new()),
                        Err(error) => (String::new(), error.clone()),
                    };
                    table.row([joined.address.to_string(), node, error]);
                }
                print_table(&table)?;
            }
        }
        if joined.iter().any(|joined| joined.outcome.is_ok()) {
            return Ok(());
        }
        Err(Failure::new(Exit::Unreachable, "there is no link to any of these addresses"))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Leave {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Leave {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut client = self.target.connect().await?;
        let node = client.status().await?.node.node;
        client.leave().await?;
        eprintln!("{node} leaves");
        timeout(LEAVE_TIMEOUT, client.closed()).await.map_err(|_| {
            Failure::failed("the node is still about to leave: its log says what holds it up")
        })?;
        json::done(self.format.output, &json!({"node": node.as_str(), "left": true}))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The control node
    node: NodeId,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Remove {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        self.target.connect().await?.remove(self.node.clone()).await?;
        json::done(self.format.output, &json!({"node": self.node.as_str(), "removed": true}))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// What it is called
    name: String,
    /// What it is, as text; - for the standard input
    #[arg(default_value = "", hide_default_value = true)]
    payload: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Publish {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let payload = match self.payload.as_str() {
            "-" => {
                let mut payload = Vec::new();
                // One byte more than fits, so that what does not fit is refused and not cut.
                let most = REQUEST_BYTES_MAX as u64 + 1;
                std::io::stdin().lock().take(most).read_to_end(&mut payload)?;
                Bytes::from(payload)
            }
            _ => Bytes::from(self.payload),
        };
        let form = json!({"name": self.name, "payload_bytes": payload.len()});
        self.target.connect().await?.publish(&self.name, payload).await?;
        json::done(self.format.output, &form)
    }
}
