//! The commands that look at a configuration, and run nothing.

use std::env;

use clap::{Args, Subcommand};
use serde_json::{Map, json};

use crate::config::{ConfigArguments, KEYS, Layers, likely_mistakes};
use crate::credential;
use crate::exit::Failure;
use crate::output::{Format, FormatArguments, Table, print_json, print_table};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check everything that can be checked without starting the node
    Check(ConfigArguments),
    /// Show every key, what it is, and where that comes from; never a secret
    Show {
        #[command(flatten)]
        config: Box<ConfigArguments>,
        #[command(flatten)]
        format: FormatArguments,
    },
}

impl Arguments {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Check(config) => check(&config),
            Command::Show { config, format } => show(&config.layers()?, format.output),
        }
    }
}

fn check(config: &ConfigArguments) -> Result<(), Failure> {
    let settings = config.settings()?;
    let (_, warning) = credential::load(&settings)?;
    let variables = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for warning in warning.into_iter().chain(likely_mistakes(variables)) {
        eprintln!("phalanx: {warning}");
    }
    eprintln!("the configuration of a {} node of {} is good", settings.role, settings.cluster);
    Ok(())
}

fn show(layers: &Layers, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => {
            let mut all = Map::new();
            for key in KEYS {
                let value = match layers.given(key.name) {
                    Some(given) => json!({"values": given.values, "from": given.from.to_string()}),
                    None => json!({"values": [], "from": null}),
                };
                all.insert(key.name.to_owned(), value);
            }
            print_json(&all.into())
        }
        Format::Table => print_table(&table(layers)),
    }
}

fn table(layers: &Layers) -> Table {
    let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
    for key in KEYS {
        let (value, from) = match layers.given(key.name) {
            Some(given) => (given.values.join(" "), given.from.to_string()),
            None => Default::default(),
        };
        table.row([key.name.to_owned(), value, from]);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_key_is_shown_with_where_it_comes_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("phalanx.toml");
        std::fs::write(&path, "cluster = \"media\"\nweight = 2\n").unwrap();
        let mut layers = Layers::defaults();
        layers.read_file(&path).unwrap();
        layers.read_environment(|name| {
            (name == "PHALANX_DISCOVER").then(|| "phalanx://a phalanx://b".to_owned())
        });
        let shown = table(&layers).render(false);
        insta::assert_snapshot!(shown.replace(path.to_str().unwrap(), "FILE"));
        assert!(layers.read_file(Path::new("absent.toml")).is_err());
    }
}
