//! The command that makes secrets: the only one that prints them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use phalanx::{Secret, SystemEntropy};

use crate::credential::SecretText;
use crate::exit::Failure;
use crate::output::print;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a new cluster secret, or a worker's credential made of one
    Generate {
        /// Print what a worker may be given that must never be a control node, made of the secret in this file; - for
        /// the standard input
        #[arg(long, value_name = "FROM")]
        worker: Option<PathBuf>,
    },
}

impl Arguments {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Command::Generate { worker } = self.command;
        let text = match worker {
            None => Secret::generate(&SystemEntropy::new()).expose(),
            Some(from) => {
                let text = if from.as_os_str() == "-" {
                    SecretText::from_stdin()?
                } else {
                    SecretText::from_file(&from)?
                };
                if let Some(warning) = &text.warning {
                    eprintln!("phalanx: {warning}");
                }
                text.secret()?.worker_credential().expose()
            }
        };
        print(&format!("{text}\n"))
    }
}
