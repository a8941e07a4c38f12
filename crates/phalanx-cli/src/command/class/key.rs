//! The command that makes a key with which modules are signed.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::Args;
use phalanx::SystemEntropy;
use phalanx_drivers::wasm::Signer;
use serde_json::json;
use zeroize::Zeroizing;

use crate::exit::Failure;
use crate::output::{Format, FormatArguments, print, print_json};

/// Only its owner may read a key.
const MODE: u32 = 0o600;

#[derive(Debug, Args)]
#[command(after_help = "Workers take what is signed with it once their configuration names the public half.
Example: phalanx class keygen build.key")]
pub(super) struct Keygen {
    /// Where the secret half is written; a file that is there already is left alone
    file: PathBuf,
    #[command(flatten)]
    format: FormatArguments,
}

impl Keygen {
    pub(super) fn run(self) -> Result<(), Failure> {
        let wrong = |error: std::io::Error| Failure::failed(format!("{}: {error}", self.file.display()));
        let (signer, seed) = Signer::generate(&SystemEntropy::new());
        let seed = Zeroizing::new(seed);
        let mut text = Zeroizing::new(String::with_capacity(2 * seed.len() + 1));
        for byte in seed.iter() {
            let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
            text.extend([digit(byte >> 4), digit(byte & 0xf)]);
        }
        text.push('\n');
        let opened = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&self.file);
        opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(wrong)?;
        match self.format.output {
            Format::Json => print_json(&json!({"key": signer.key().to_string()})),
            Format::Table => print(&format!("{}\n", signer.key())),
        }
    }
}
