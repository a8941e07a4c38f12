//! The commands for the small data of a worker.

use std::io::{Read, Write};

use bytes::Bytes;
use clap::{Args, Subcommand};
use phalanx::NodeId;
use phalanx_drivers::kv::{Condition, KvClient, Listed, VALUE_BYTES_CEILING, Version};
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::output::{Format, FormatArguments, Table, json as forms, print_json, print_table};
use crate::size::Size;
use crate::target::Target;

#[derive(Debug, Args)]
#[command(after_help = "The worker's configuration has to allow it: drivers.kv.enabled = true.
Example: phalanx kv put camera-7 mode night && phalanx kv get camera-7 mode")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the value of a key
    Get(Get),
    /// Set the value of a key
    Put(Put),
    /// Remove a key
    Rm(Remove),
    /// List keys
    Ls(List),
}

#[derive(Debug, Args)]
struct Get {
    /// The worker
    node: NodeId,
    /// The key
    key: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: phalanx kv put camera-7 mode night --if-absent")]
struct Put {
    /// The worker
    node: NodeId,
    /// The key
    key: String,
    /// The value, as text; - for the standard input
    value: String,
    #[command(flatten)]
    condition: ConditionArguments,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

#[derive(Debug, Args)]
struct Remove {
    /// The worker
    node: NodeId,
    /// The key
    key: String,
    /// Only if the key has this version, as `kv get -o json` shows it
    #[arg(long, value_name = "VERSION", value_parser = version)]
    if_version: Option<Version>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

#[derive(Debug, Args)]
struct List {
    /// The worker
    node: NodeId,
    /// Only keys that begin so
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

/// When a key is set.
#[derive(Debug, Args)]
struct ConditionArguments {
    /// Only if the key is not there
    #[arg(long, conflicts_with = "if_version")]
    if_absent: bool,
    /// Only if the key has this version, as `kv get -o json` shows it
    #[arg(long, value_name = "VERSION", value_parser = version)]
    if_version: Option<Version>,
}

impl ConditionArguments {
    fn condition(&self) -> Condition {
        match self.if_version {
            Some(version) => Condition::Is(version),
            None if self.if_absent => Condition::Absent,
            None => Condition::Always,
        }
    }
}

/// A version as this program prints it: the whole of it, which its own short form is not.
fn shown(version: Version) -> String {
    format!("{:016x}.{}", version.life, version.number)
}

fn version(text: &str) -> Result<Version, &'static str> {
    let wrong = "no version: give it as `phalanx kv get -o json` shows it";
    let (life, number) = text.split_once('.').ok_or(wrong)?;
    let life = u64::from_str_radix(life, 16).map_err(|_| wrong)?;
    Ok(Version { life, number: number.parse().map_err(|_| wrong)? })
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Get(get) => get.run().await,
            Command::Put(put) => put.run().await,
            Command::Rm(remove) => remove.run().await,
            Command::Ls(list) => list.run().await,
        }
    }
}

async fn client(target: &Target, node: &NodeId) -> Result<KvClient, Failure> {
    Ok(KvClient::new(target.calls().await?.worker(node)))
}

fn absent(node: &NodeId, key: &str) -> Failure {
    Failure::new(
        Exit::NotFound,
        format!("{node} has no key {key:?}: `phalanx kv ls {node}` lists those it has"),
    )
}

/// A value as text, or in hexadecimal digits where it is none.
fn value(bytes: &Bytes) -> Value {
    json!({"value": std::str::from_utf8(bytes).ok(), "value_hex": forms::hex(bytes)})
}

impl Get {
    async fn run(self) -> Result<(), Failure> {
        let found = client(&self.target, &self.node).await?.get(&self.key).await?;
        let found = found.ok_or_else(|| absent(&self.node, &self.key))?;
        match self.format.output {
            Format::Json => {
                let mut form = value(&found.value);
                forms::add(&mut form, json!({"key": self.key, "version": shown(found.version)}));
                print_json(&form)
            }
            Format::Table => {
                let mut out = std::io::stdout().lock();
                out.write_all(&found.value)?;
                // For people a line ends; for a pipe the value is what it is.
                if std::io::IsTerminal::is_terminal(&out) && !found.value.ends_with(b"\n") {
                    out.write_all(b"\n")?;
                }
                Ok(out.flush()?)
            }
        }
    }
}

impl Put {
    async fn run(self) -> Result<(), Failure> {
        let value = match self.value.as_str() {
            "-" => {
                let mut value = Vec::new();
                // One byte more than any worker takes, so that what does not fit is refused and not cut.
                std::io::stdin().lock().take(VALUE_BYTES_CEILING as u64 + 1).read_to_end(&mut value)?;
                Bytes::from(value)
            }
            _ => Bytes::from(self.value),
        };
        let client = client(&self.target, &self.node).await?;
        let version = client.put_if(&self.key, value, self.condition.condition()).await?;
        match self.format.output {
            Format::Json => print_json(&json!({"key": self.key, "version": shown(version)})),
            Format::Table => Ok(()),
        }
    }
}

impl Remove {
    async fn run(self) -> Result<(), Failure> {
        let condition = self.if_version.map_or(Condition::Always, Condition::Is);
        if !client(&self.target, &self.node).await?.delete(&self.key, condition).await? {
            return Err(absent(&self.node, &self.key));
        }
        match self.format.output {
            Format::Json => print_json(&json!({"key": self.key, "removed": true})),
            Format::Table => Ok(()),
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let client = client(&self.target, &self.node).await?;
        let mut keys: Vec<Listed> = Vec::new();
        loop {
            let page = client.list(&self.prefix, keys.last().map(|last| last.key.as_str())).await?;
            let goes_on = page.more && !page.keys.is_empty();
            keys.extend(page.keys);
            if !goes_on {
                break;
            }
        }
        match self.format.output {
            Format::Json => print_json(&keys.iter().map(listed).collect()),
            Format::Table => print_table(&table(&keys)),
        }
    }
}

fn listed(listed: &Listed) -> Value {
    json!({"key": listed.key, "version": shown(listed.version), "value_bytes": listed.value_bytes})
}

fn table(keys: &[Listed]) -> Table {
    let mut table = Table::new(&["KEY", "VERSION", "SIZE"]);
    for listed in keys {
        table.row([listed.key.clone(), shown(listed.version), Size(listed.value_bytes).to_string()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: Version = Version { life: 0xfeed_0000_0000_0001, number: 12 };

    #[test]
    fn a_version_comes_back_as_it_was_printed() {
        assert_eq!(version(&shown(VERSION)), Ok(VERSION));
        for wrong in ["", "12", "x.1", "1.x", "1.2.3"] {
            assert!(version(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_are_listed() {
        let keys = [
            Listed { key: "mode".into(), version: VERSION, value_bytes: 5 },
            Listed { key: "\u{1b}[2J".into(), version: VERSION, value_bytes: 65_536 },
        ];
        insta::assert_snapshot!(table(&keys).render(false));
        insta::assert_snapshot!(format!("{:#}", keys.iter().map(listed).collect::<Value>()));
    }
}
