//! The commands that ship code to workers while they run: WebAssembly, signed here and checked there.

mod call;
mod key;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use phalanx::NodeId;
use phalanx_drivers::wasm::{ModuleInfo, Signer, VersionInfo, WasmClient};
use serde_json::{Value, json};

use crate::credential::SecretText;
use crate::exit::{Exit, Failure};
use crate::output::{Format, FormatArguments, Table, print_json, print_table};
use crate::size::Size;
use crate::target::Target;

/// The largest file that is read: the most that any worker takes.
const MODULE_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Args)]
#[command(
    after_help = "The worker's configuration has to name the key: drivers.wasm.signers = [\"NAME=KEY\"].
Example: phalanx class keygen build.key
         phalanx class push camera-7 greet greet.wasm --version 1 --key build.key && phalanx class call camera-7 greet run hello"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the modules of a worker
    Ls(List),
    /// Sign a module and push it; the first version is the default, a later one only by `class switch`
    Push(Push),
    /// Make a version the default one
    Switch(Version),
    /// Make the default before the present one the default again
    Rollback(RollBack),
    /// Forget a version
    Rm(Version),
    /// Call a function of a module
    Call(call::Call),
    /// Make a key that signs modules: its secret half into a file, its public half to the standard output
    Keygen(key::Keygen),
}

#[derive(Debug, Args)]
struct List {
    /// The worker
    node: NodeId,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

#[derive(Debug, Args)]
struct Push {
    /// The worker
    node: NodeId,
    /// What the module is called
    module: String,
    /// Its file: WebAssembly
    file: PathBuf,
    /// What this version of it is called
    #[arg(long)]
    version: String,
    /// The file with the secret half of the key, as `class keygen` makes it
    #[arg(long, value_name = "PATH")]
    key: PathBuf,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

/// A version of a module at a worker
#[derive(Debug, Args)]
struct Version {
    /// The worker
    node: NodeId,
    /// The module
    module: String,
    /// The version
    version: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

#[derive(Debug, Args)]
struct RollBack {
    /// The worker
    node: NodeId,
    /// The module
    module: String,
    /// Only if this version is the default now, so that asking twice does not go back twice
    #[arg(long, value_name = "VERSION")]
    from: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Ls(list) => list.run().await,
            Command::Push(push) => push.run().await,
            Command::Switch(version) => version.switch().await,
            Command::Rollback(back) => back.run().await,
            Command::Rm(version) => version.remove().await,
            Command::Call(call) => call.run().await,
            Command::Keygen(keygen) => keygen.run(),
        }
    }
}

async fn client(target: &Target, node: &NodeId) -> Result<WasmClient, Failure> {
    Ok(WasmClient::new(target.calls().await?.worker(node)))
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let modules = client(&self.target, &self.node).await?.list().await?;
        match self.format.output {
            Format::Json => print_json(&modules.iter().map(module).collect()),
            Format::Table => print_table(&table(&modules)),
        }
    }
}

impl Push {
    async fn run(self) -> Result<(), Failure> {
        let wrong = |error: std::io::Error| Failure::usage(format!("{}: {error}", self.file.display()));
        let length = std::fs::metadata(&self.file).map_err(wrong)?.len();
        if length > MODULE_BYTES_MAX {
            let words = format!("{}: {} are more than any worker takes", self.file.display(), Size(length));
            return Err(Failure::usage(words));
        }
        let bytes = std::fs::read(&self.file).map_err(wrong)?;
        let text = SecretText::from_file(&self.key)?;
        if let Some(warning) = &text.warning {
            eprintln!("phalanx: {warning}");
        }
        let signer = Signer::from_seed(&*text.seed()?);
        let signed = signer.sign(&self.module, &self.version, bytes).map_err(Failure::usage)?;
        let pushed = client(&self.target, &self.node).await?.push(&signed).await?;
        match self.format.output {
            Format::Json => print_json(&version(&pushed)),
            Format::Table => {
                eprintln!(
                    "{}: {} {}, {}, verified",
                    self.node,
                    self.module,
                    pushed.version,
                    Size(pushed.bytes)
                );
                Ok(())
            }
        }
    }
}

impl Version {
    async fn switch(self) -> Result<(), Failure> {
        client(&self.target, &self.node).await?.switch(&self.module, &self.version).await?;
        is_default(&self.node, &self.module, &self.version, self.format.output)
    }

    async fn remove(self) -> Result<(), Failure> {
        client(&self.target, &self.node).await?.remove(&self.module, &self.version).await?;
        match self.format.output {
            Format::Json => {
                print_json(&json!({"module": self.module, "version": self.version, "removed": true}))
            }
            Format::Table => Ok(()),
        }
    }
}

impl RollBack {
    async fn run(self) -> Result<(), Failure> {
        let client = client(&self.target, &self.node).await?;
        let from = match self.from {
            Some(from) => from,
            None => {
                let modules = client.list().await?;
                let known = modules.iter().find(|known| known.module == self.module);
                let present = known.and_then(|known| known.defaults.last().cloned());
                present.ok_or_else(|| {
                    Failure::new(Exit::NotFound, format!("{} has no module {}", self.node, self.module))
                })?
            }
        };
        let version = client.roll_back(&self.module, &from).await?;
        is_default(&self.node, &self.module, &version, self.format.output)
    }
}

/// Says which version is the default now.
fn is_default(node: &NodeId, module: &str, version: &str, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => print_json(&json!({"module": module, "default": version})),
        Format::Table => {
            eprintln!("{node}: {module} is at {version}");
            Ok(())
        }
    }
}

fn hash(version: &VersionInfo) -> String {
    version.blake3.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn version(version: &VersionInfo) -> Value {
    json!({
        "version": version.version,
        "bytes": version.bytes,
        "blake3": hash(version),
        "signer": version.signer,
        "running": version.running,
    })
}

fn module(module: &ModuleInfo) -> Value {
    json!({
        "module": module.module,
        "default": module.defaults.last(),
        "defaults": module.defaults,
        "versions": module.versions.iter().map(version).collect::<Vec<_>>(),
    })
}

fn table(modules: &[ModuleInfo]) -> Table {
    let mut table = Table::new(&["MODULE", "VERSION", "DEFAULT", "SIZE", "SIGNER", "RUNNING", "BLAKE3"]);
    for module in modules {
        for version in &module.versions {
            let is_default = module.defaults.last() == Some(&version.version);
            table.row([
                module.module.clone(),
                version.version.clone(),
                if is_default { "yes".to_owned() } else { String::new() },
                Size(version.bytes).to_string(),
                version.signer.clone(),
                version.running.to_string(),
                hash(version)[..16].to_owned(),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_listed_with_their_versions() {
        let version = |name: &str| VersionInfo {
            version: name.to_owned(),
            blake3: [0xab; 32],
            bytes: 2_048,
            signer: "build".to_owned(),
            running: 1,
        };
        let known = ModuleInfo {
            module: "greet".to_owned(),
            defaults: vec!["1".to_owned(), "2".to_owned()],
            versions: vec![version("1"), version("2")],
        };
        insta::assert_snapshot!(format!(
            "{}\n{:#}",
            table(std::slice::from_ref(&known)).render(false),
            module(&known)
        ));
    }
}
