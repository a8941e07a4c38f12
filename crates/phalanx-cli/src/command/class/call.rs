//! The command that calls a function of shipped code.

use std::io::{IsTerminal, Read, Write};

use bytes::Bytes;
use clap::Args;
use phalanx::NodeId;
use phalanx_drivers::wasm::Entry;
use serde_json::json;

use super::client;
use crate::exit::Failure;
use crate::output::{Format, FormatArguments, json as forms, print_json};
use crate::target::Target;

/// The largest input: what fits a message.
const INPUT_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Args)]
#[command(after_help = "What the function returns goes to the standard output. It runs at most once.
Example: phalanx class call camera-7 greet run hello")]
pub(super) struct Call {
    /// The worker
    node: NodeId,
    /// The module
    module: String,
    /// The name under which it exports the function
    function: String,
    /// What the function is given, as text; - for the standard input
    #[arg(default_value = "", hide_default_value = true)]
    input: String,
    /// This version, instead of the default one
    #[arg(long)]
    version: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Call {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let input = match self.input.as_str() {
            "-" => {
                let mut input = Vec::new();
                // One byte more than fits, so that what does not fit is refused and not cut.
                std::io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_end(&mut input)?;
                Bytes::from(input)
            }
            _ => Bytes::from(self.input),
        };
        let mut entry = Entry::new(&self.module, &self.function);
        entry.version = self.version;
        let returned = client(&self.target, &self.node).await?.call(entry, input).await?;
        match self.format.output {
            Format::Json => print_json(&json!({
                "version": returned.version,
                "output": std::str::from_utf8(&returned.output).ok(),
                "output_hex": forms::hex(&returned.output),
                "fuel": returned.fuel,
            })),
            Format::Table => {
                let mut out = std::io::stdout().lock();
                out.write_all(&returned.output)?;
                // For people a line ends; for a pipe the output is what it is.
                if out.is_terminal() && !returned.output.ends_with(b"\n") {
                    out.write_all(b"\n")?;
                }
                Ok(out.flush()?)
            }
        }
    }
}
