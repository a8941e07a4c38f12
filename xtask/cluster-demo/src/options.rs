//! What the demo was asked to do.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
cargo xtask cluster-demo [OPTIONS]

  --controls N     control nodes to start with (default 3)
  --workers N      workers to start with (default 5)
  --input FOLDER   ship the files of this folder (default: this repository; what git tracks, elsewhere all
                   but .git and target)
  --seconds N      go on for at least so long (default 10)
  --seed N         choose workers, victims and ways by this number (default 1)
  --no-faults      kill and add nobody
  --headless       plain lines only (as now)
  --json FILE      write the results there
  --help           this text";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) controls: usize,
    pub(crate) workers: usize,
    pub(crate) input: Option<PathBuf>,
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    pub(crate) faults: bool,
    pub(crate) json: Option<PathBuf>,
}

/// What a node of the demo is started with; the secret comes through its environment, which no other user can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeOptions {
    pub(crate) is_control: bool,
    pub(crate) name: String,
    pub(crate) listen: String,
    pub(crate) peers: String,
    pub(crate) expected: usize,
    pub(crate) store: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Demo(Options),
    Node(NodeOptions),
    Help,
}

/// The most nodes one machine is asked to carry.
const NODES_MAX: usize = 64;

pub(crate) fn parse(arguments: &[String]) -> Result<Command, String> {
    if arguments.first().is_some_and(|first| first == "node") {
        return parse_node(&arguments[1..]).map(Command::Node);
    }
    let mut options =
        Options { controls: 3, workers: 5, input: None, seconds: 10, seed: 1, faults: true, json: None };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--controls" => options.controls = number(argument, value()?)?,
            "--workers" => options.workers = number(argument, value()?)?,
            "--input" => options.input = Some(value()?.into()),
            "--seconds" => options.seconds = number(argument, value()?)?,
            "--seed" => options.seed = number(argument, value()?)?,
            "--no-faults" => options.faults = false,
            "--headless" => {}
            "--json" => options.json = Some(value()?.into()),
            "--help" | "-h" => return Ok(Command::Help),
            other => return Err(format!("unknown option {other}")),
        }
    }
    let fits = |count: usize, least| (least..=NODES_MAX).contains(&count);
    let least = if options.faults { 2 } else { 1 };
    if !fits(options.controls, least) || !fits(options.workers, least) {
        return Err(format!("give {least} to {NODES_MAX} control nodes and as many workers"));
    }
    Ok(Command::Demo(options))
}

fn number<T: std::str::FromStr>(option: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{option} needs a number, not {value:?}"))
}

fn parse_node(arguments: &[String]) -> Result<NodeOptions, String> {
    match arguments {
        [role, name, listen, peers, expected, store] => Ok(NodeOptions {
            is_control: role == "control",
            name: name.clone(),
            listen: listen.clone(),
            peers: peers.clone(),
            expected: number("expected", expected)?,
            store: store.into(),
        }),
        _ => Err("a node is started by the demo itself".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &str) -> Result<Command, String> {
        parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_taken_and_mistakes_named() {
        let Ok(Command::Demo(options)) = parse_words("--controls 5 --no-faults --json out.json") else {
            panic!("these are good options");
        };
        assert_eq!((options.controls, options.workers, options.faults), (5, 5, false));
        assert_eq!(parse_words("--help"), Ok(Command::Help));
        assert!(parse_words("--workers many").unwrap_err().contains("--workers"));
        assert!(parse_words("--frobnicate").unwrap_err().contains("--frobnicate"));
        assert!(parse_words("--controls 1").is_err(), "who is killed last cannot be moved");
    }
}
